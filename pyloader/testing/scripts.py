"""Scripts: functions run in processes of their own, as a script would be, to see how those end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import SkipTest

from pyloader.errors import MissingDependencyError, import_optional
from pyloader.testing.laws import broken

__all__ = ["Ending", "in_child"]

_SECONDS = 60

# The function is taken from the standard input; what it defines at the top of a module stays until the exit.
_PROGRAM = "import sys; sys.path[:] = {path!r}; import pickle; pickle.load(sys.stdin.buffer)()"


class Ending(NamedTuple):
    """How a process ended."""

    code: int  # its exit code; -9 after SIGKILL
    output: str  # what it wrote on its standard output
    errors: str  # and on its standard error


def in_child(script: Callable[[], Any]) -> Ending:
    """Run a function in a new interpreter, and return how that ended.

    Raises:
      AssertionError: it did not end within a minute, and was killed.
      SkipTest: cloudpickle, which sends it there, is not installed.
      Exception: the function cannot be pickled.
    """
    try:
        cloudpickle = import_optional("cloudpickle", wanted_by="a check in another process")
    except MissingDependencyError as exc:
        raise SkipTest(str(exc)) from exc
    program = _PROGRAM.format(path=[entry for entry in sys.path if isinstance(entry, str)])
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    pipe = subprocess.PIPE
    # A session of its own: what it starts can be ended with it.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            output, errors = process.communicate(cloudpickle.dumps(script), _SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            _, errors = process.communicate()
            what = f"a script had not ended after {_SECONDS} s: {errors.decode(errors='replace')}"
            raise broken(5, what) from None
    return Ending(process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))
