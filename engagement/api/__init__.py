"""The REST API under `/api/v1/`: JSON, by JWT or session, of the clients that the caller sees."""
