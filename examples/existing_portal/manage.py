"""The example portal's command line."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    # The engine, where it is not installed as a package.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
