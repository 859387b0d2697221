"""The server this product ships: Daphne with close codes, reasons, back-pressure and a drain."""
