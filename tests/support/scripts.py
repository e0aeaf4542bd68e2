"""Scripts of the user's, run as they would run them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
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


def run_beside(commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Run programs that belong together at the same time, and return what each printed and logged.

    Args:
      commands: Python's own arguments, of each.
      environments: The variables of each; it finds here what this process imports.
    """
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen(
            [sys.executable, *command],
            env={**environment, **path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, environment in zip(commands, environments, strict=True)
    ]
    try:
        answers = [process.communicate(timeout=100) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * len(processes), answers
    return answers


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def finished(process: subprocess.Popen[str], *, timeout: float = 30) -> tuple[int, str, str]:
    """Wait for a script, and return its exit code, output and errors."""
    with process:
        output, errors = process.communicate(timeout=timeout)
    return process.returncode, output, errors
