"""A database backend for Django (`ENGINE`): PostgreSQL, with a statement that goes along with the COMMIT."""
