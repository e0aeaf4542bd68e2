"""A worker process: it runs one function for one thread of its parent, and ends with the connection to it.

Over the connection come the function, once, and then the arguments of one call, or of several at a time; the answer to
each goes back.  Nothing has a name that could be left behind, and the end of the parent, however sudden, is the end of
the file.
"""

from __future__ import annotations

import faulthandler
import io
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pyloader.deliver.messages import FAILED, Message, receive, send
from pyloader.deliver.pickling import Failure, Known, load_function, pack, unpack
from pyloader.machine.memory import RecycledMemory

__all__ = ["serve"]

_GRACE_SECONDS = 1.0


def serve(descriptor: int) -> None:
    """Answer calls that come over the socket `descriptor`, until its other side is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the connection
    faulthandler.enable()  # a crash shows where
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what was printed is seen, however this process ends
    connection = socket.socket(fileno=descriptor)
    os.register_at_fork(after_in_child=connection.close)  # a child of the user's must not keep it open
    threading.Thread(target=_end_soon_after, args=(connection,), name="pyloader-worker-watch", daemon=True).start()
    memory = RecycledMemory()
    try:
        function = _Function(receive(connection, memory)[0])
        while True:
            function.answer(receive(connection, memory), partial(send, connection))  # and nothing of it is kept
    except (EOFError, OSError):  # the parent has closed the connection, or has ended
        return


class _Function:
    """The function, unpickled for the first call: an error in that is an error of the call."""

    def __init__(self, packed: bytes | memoryview) -> None:
        self._packed: bytes | memoryview | None = packed
        self._function: Callable[..., Any] | None = None
        self._known: Known = {}

    def answer(self, calls: Message, reply: Callable[[Message], None]) -> None:
        """Reply to each call with what came of it, up to the first that fails: to that with FAILED, and a Failure.

        Each answer goes as soon as it is made, so that a process that dies takes none of those before along.
        """
        given: deque[tuple[Any, ...]] | None = None
        while given is None or given:
            try:
                if given is None:
                    given = deque(self._loaded_with(calls))
                assert self._function is not None
                answer = self._sendable(self._function(*given.popleft()))
            except BaseException as exc:  # the loop in the parent must see everything
                exc.__traceback__ = exc.__traceback__ and exc.__traceback__.tb_next  # without our own frame
                reply(FAILED)
                reply(pack(Failure.of(exc, self._known), self._known))
                return
            reply(answer)
            del answer  # not to be held while the next one is made

    def _loaded_with(self, calls: Message) -> Sequence[tuple[Any, ...]]:
        """Return the arguments of calls; before the first of them the function is unpickled."""
        if self._packed is not None:
            self._function, self._known = load_function(self._packed)
            self._packed = None
        arguments: Sequence[tuple[Any, ...]] = unpack(calls)
        return arguments

    def _sendable(self, value: Any) -> Message:
        try:
            return pack(value, self._known)
        except Exception as exc:
            hint = "Return arrays, lists, numbers and strings, or write worker_kind='thread'"
            raise TypeError(f"what was returned cannot be sent from a worker process: {exc}. {hint}") from exc


def _end_soon_after(connection: socket.socket) -> None:
    """End this process when the other side is closed, also in the middle of a call, which is given a second to end."""
    hung_up = select.poll()
    hung_up.register(connection, 0)  # a hang-up is reported unasked, and nothing else is
    hung_up.poll()
    time.sleep(_GRACE_SECONDS)
    os._exit(1)
