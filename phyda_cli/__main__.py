"""`python -m phyda_cli` and the `phyda` script."""

from __future__ import annotations

import sys

from phyda_cli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
