"""Real time for a Django portal: from a saved row to the sockets that may see it. See `docs/embedding.md`."""

__version__ = "0.1.0"
"""Of the package, and of what it describes itself as."""
