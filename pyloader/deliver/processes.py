"""Processes: a function that is called in a thread, and runs in that thread's own worker process.

The threads are those of a step, so order, bounds and the places of errors stay as with threads.  A thread that waits
for its process leaves the interpreter's lock to others, so that user code in pure Python uses several cores.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from pyloader.deliver.lifecycle import Awaited, StepsClosed
from pyloader.deliver.messages import Message, receive, send
from pyloader.errors import WorkerDiedError, import_optional
from pyloader.machine.limits import memory_limits
from pyloader.machine.memory import RecycledMemory
from pyloader.options import format_bytes

__all__ = ["RemoteFunction"]

Out = TypeVar("Out")

_GRACE_SECONDS = 1.0

# Nothing is forked: whatever threads and devices this process has, the worker begins as a new interpreter.  It has our
# sys.path from its first import on, and neither imports nor runs the user's script again.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from pyloader.deliver.worker import serve; serve({descriptor})"

_connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_connections() -> None:
    for connection in list(_connections):
        connection.close()


# A forked child that kept them open would keep the workers alive after their parent's death, and hide theirs from it.
os.register_at_fork(after_in_child=_close_connections)


class RemoteFunction(Awaited, Generic[Out]):
    """`fn`, run in worker processes: one for each thread that calls, started by its first call.

    An exception arrives as itself, with the worker's traceback in a note.

    Args:
      fn: What the workers run; a `functools.partial` of the user's objects, say.
      doing: What a call is called in reports, by its arguments: "Problems read chunk-0003".

    Raises:
      TypeError: `fn` cannot be pickled; the message says why.
      MissingDependencyError: cloudpickle is not installed.
    """

    def __init__(self, fn: Callable[..., Out], *, doing: Callable[..., str]) -> None:
        import_optional("cloudpickle", wanted_by="worker_kind='process'")
        from pyloader.deliver import pickling  # it imports cloudpickle

        self._pickling, self._doing = pickling, doing
        self._function, self._known = pickling.pack_function(fn)
        self._memory = RecycledMemory()
        # Re-entrant: a finaliser may run in a thread that is inside one of these methods.
        self._lock = threading.RLock()
        self._workers: dict[int, _Worker] = {}
        self._closed = False

    def __call__(self, *args: Any) -> Out:
        values, error = self.each([args])
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback holds this frame
        return values[0]

    def each(self, calls: Sequence[tuple[Any, ...]]) -> tuple[list[Out], BaseException | None]:
        """Call the function with one tuple of arguments after another; they go to the process together.

        Returns:
          What came of them, and what the next one failed with: those after it are not made.

        Raises:
          StepsClosed: the step has been told to end.
        """
        values: list[Out] = []
        try:
            message = self._pickling.pack(calls, self._known)
        except Exception as exc:
            if len(calls) > 1:
                return self._one_by_one(calls)
            hint = "Arrays, numbers and strings can; or write worker_kind='thread'"
            refusal = TypeError(f"columns cannot be sent to a worker process: {exc}. {hint}")
            refusal.__cause__ = exc
            return values, refusal
        worker = self._own_worker()
        error: BaseException | None = None
        try:
            worker.send(message)
            for _ in calls:
                answer = worker.receive(self._memory)
                if not len(answer[0]):  # FAILED
                    failure = self._pickling.unpack(worker.receive(self._memory))
                    return values, error or failure.as_error()
                error = error or self._unpacked(answer, values)  # the others must not be there when the next calls go
        except (EOFError, OSError) as exc:
            if self._closed:
                raise StepsClosed from None
            return values, error or worker.death(self._doing(*calls[len(values)]), exc)
        return values, error

    def _unpacked(self, answer: Message, values: list[Out]) -> BaseException | None:
        """Add an answer to the values, or return why it cannot be had."""
        try:
            values.append(self._pickling.unpack(answer))
        except Exception as exc:
            return exc
        return None

    def _one_by_one(self, calls: Sequence[tuple[Any, ...]]) -> tuple[list[Out], BaseException | None]:
        """Make the calls before the one whose arguments cannot be sent."""
        values: list[Out] = []
        for call in calls:
            made, error = self.each([call])
            values += made
            if error is not None:
                return values, error
        return values, None

    def signal_close(self) -> None:
        """Tell the processes to end, and the threads not to wait for them."""
        with self._lock:
            self._closed = True
            for worker in self._workers.values():
                worker.hang_up()

    def join(self, deadline: float) -> list[str]:
        """Wait for the processes to end, until `deadline` (as `time.monotonic` counts); after a second, kill them.

        Returns:
          Those that could not even be killed.
        """
        patience = min(deadline, time.monotonic() + _GRACE_SECONDS)
        with self._lock:
            return [str(worker) for worker in self._workers.values() if not worker.end(patience, deadline)]

    def process_of_thread(self) -> int | None:
        """Return the process that works for the calling thread; None where there is none."""
        worker = self._workers.get(threading.get_ident())
        return None if worker is None else worker.process_id

    def _own_worker(self) -> _Worker:
        with self._lock:
            worker = None if self._closed else self._workers.get(threading.get_ident())
            if worker is None and not self._closed:
                worker = self._workers[threading.get_ident()] = _Worker(self._function)
            if self._closed:  # perhaps only now, by a finaliser that ran in this thread
                self.signal_close()
                self.join(time.monotonic() + _GRACE_SECONDS)
                raise StepsClosed
        assert worker is not None
        return worker


class _Worker:
    """One process, and the connection to it."""

    def __init__(self, function: bytes) -> None:
        self._function: bytes | None = function
        self._connection, theirs = socket.socketpair()
        _connections.update((self._connection, theirs))
        path = [entry for entry in sys.path if isinstance(entry, str)]
        program = _PROGRAM.format(path=path, descriptor=theirs.fileno())
        try:
            # In a process group of its own: the terminal's Ctrl-C is for the parent.
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()
        self._reaping = threading.RLock()

    def __str__(self) -> str:
        return f"worker process {self.process_id}"

    @property
    def process_id(self) -> int:
        """The process."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Send the arguments of some calls.

        Raises:
          OSError: the process has ended, or has been told to.
        """
        if self._function is not None:
            send(self._connection, (self._function, ()))
            self._function = None
        send(self._connection, message)

    def receive(self, memory: RecycledMemory) -> Message:
        """Wait for the next answer, and return it; it lies in `memory`.

        Raises:
          EOFError, OSError: as `send`.
        """
        return receive(self._connection, memory)

    def hang_up(self) -> None:
        """Tell the process to end, and wake the thread that waits for it."""
        with contextlib.suppress(OSError):  # it has ended already
            self._connection.shutdown(socket.SHUT_RDWR)

    def end(self, patience: float, deadline: float) -> bool:
        """Wait for the process to end, kill it after `patience`, and tell whether it has ended at `deadline`."""
        with self._reaping:
            for until in (patience, deadline):
                try:
                    self._process.wait(max(0.0, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self._process.kill()
                else:
                    self._connection.close()
                    return True
        return False

    def death(self, doing: str, cause: Exception) -> WorkerDiedError:
        """Return the error that says how the process ended, while it was `doing`."""
        exit_code = peak_bytes = None
        with self._reaping, contextlib.suppress(ChildProcessError, ProcessLookupError):  # reaped by somebody else
            if self._process.returncode is None:
                # It is ending, which this cannot change, unless the user's code has closed the connection.
                os.kill(self._process.pid, signal.SIGKILL)
                _, status, usage = os.wait4(self._process.pid, 0)
                exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
                # A new process begins with its parent's peak: it is a bound, exact for a worker that outgrew us.
                peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        error = WorkerDiedError(*_account_of_death(str(self), exit_code, peak_bytes, doing))
        error.__cause__ = cause
        return error


def _account_of_death(who: str, exit_code: int | None, peak_bytes: int | None, doing: str) -> tuple[str, str]:
    """Return what happened to a worker, and what to do about it.

    Args:
      who: The worker.
      exit_code: As `subprocess` counts, so that -9 is SIGKILL; None when nobody knows.
      peak_bytes: It had no more memory than this.
      doing: What it did.
    """
    what = f"{who} {_ending(exit_code)} while {doing}."
    if peak_bytes is not None:
        limits = ", ".join(f"{name} {format_bytes(limit)}" for name, limit in memory_limits().items())
        what += f" It had at most {format_bytes(peak_bytes)} of memory; {limits}."
    if exit_code == -signal.SIGKILL:
        return what, "Most often the system kills when memory runs out: use fewer workers, smaller chunks or batches"
    return what, "Its last words, if it had any, are on the standard error"


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended, nobody knows how,"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"
