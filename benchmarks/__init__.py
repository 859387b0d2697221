"""Measuring the portal, and breaking it: `make bench`, `make chaos`."""
