"""Scripts of the user's, run as they would run them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start_script(directory: Path, text: str) -> subprocess.Popen[str]:
    """Start a script that is not guarded by `if __name__ == "__main__"`, its output in pipes."""
    script = directory / "script.py"
    script.write_text(textwrap.dedent(text))
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script), str(directory / "chunks")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str], *, timeout: float = 30) -> tuple[int, str, str]:
    """Wait for a script, and return its exit code, output and errors."""
    with process:
        output, errors = process.communicate(timeout=timeout)
    return process.returncode, output, errors
