"""Children: a function run in a process of its own, as a script would run it, to see how that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from pyloader.errors import import_optional

__all__ = ["Ending", "run_child"]

# The function is taken from the standard input; what it defines at the top of a module stays until the exit.
_PROGRAM = "import sys; sys.path[:] = {path!r}; import pickle; pickle.load(sys.stdin.buffer)()"


class Ending(NamedTuple):
    """How a process ended.

    Attributes:
      code: Its exit code, -9 after SIGKILL; None when it was still running, and was killed.
      output: What it wrote on its standard output.
      errors: And on its standard error.
    """

    code: int | None
    output: str
    errors: str


def run_child(function: Callable[[], Any], *, timeout: float) -> Ending:
    """Run `function` in a new interpreter that ends when it is done; after `timeout` seconds kill it.

    Raises:
      MissingDependencyError: cloudpickle is not installed.
      Exception: the function cannot be pickled.
    """
    cloudpickle = import_optional("cloudpickle", wanted_by="a check in another process")
    program = _PROGRAM.format(path=[entry for entry in sys.path if isinstance(entry, str)])
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    pipe = subprocess.PIPE
    # A session of its own: what it starts can be ended with it.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            output, errors = process.communicate(cloudpickle.dumps(function), timeout)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            code = None
    return Ending(code, output.decode(errors="replace"), errors.decode(errors="replace"))
