"""docs/cli.md is what the program says of itself."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_manual_is_up_to_date():
    words = [sys.executable, ROOT / "tools" / "cli_docs.py", "--check"]
    done = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
