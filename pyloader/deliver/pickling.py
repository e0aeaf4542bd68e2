"""Pickling: user code and its answers, from a script, a notebook or a closure, to another process and back.

cloudpickle sends by value what the other process cannot import.  A class that went to a worker with its function is
known there afterwards: from then on it is named, not sent, so that what comes back is of the parent's own class, and
that class stays as it was.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import pickle
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import cloudpickle

from pyloader.deliver.messages import Message

__all__ = ["Failure", "Known", "load_function", "pack", "pack_function", "unpack"]

_LARGE = 2**14  # bytes; a smaller buffer costs more beside the pickle than in it
_LONGEST_CHAIN = 8  # exceptions can be made to go in circles

# The classes that both sides know, each with a name of its own.
Known: TypeAlias = "Mapping[type, str]"

_by_name: WeakValueDictionary[str, type] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Failure:
    """What a call raised, on its way to another process."""

    pickled: tuple[bytes, ...]  # the exception, then those that it was raised from, as far as they can be pickled
    text: str  # the same in one line
    trace: str  # its traceback

    @classmethod
    def of(cls, error: BaseException, known: Known) -> Failure:
        """Return the failure that tells of `error`, to a process that knows the `known` classes."""
        text = traceback.format_exception_only(error)[-1].strip()
        trace = "".join(traceback.format_exception(error))
        chain: list[bytes] = []
        cause: BaseException | None = error
        with contextlib.suppress(Exception):
            while cause is not None and len(chain) < _LONGEST_CHAIN:
                stream = io.BytesIO()
                _Pickler(stream, known).dump(cause)
                chain.append(stream.getvalue())
                cause = cause.__cause__
        return cls(tuple(chain), text, trace)

    def as_error(self) -> BaseException:
        """Return the exception, with its traceback in a note; a RuntimeError when it cannot be had."""
        chain: list[BaseException] = []
        with contextlib.suppress(Exception):  # many exceptions can be pickled, and not unpickled
            for pickled in self.pickled:
                chain.append(pickle.loads(pickled))
        if not chain or not isinstance(chain[0], BaseException):
            chain = [RuntimeError(f"{self.text} (in a worker process, from which this exception cannot be sent)")]
        for raised, cause in itertools.pairwise(chain):
            raised.__cause__ = cause
        error = chain[0]
        error.add_note(f"pyloader: in a worker process:\n{self.trace.rstrip()}")
        return error


def pack(value: Any, known: Known) -> Message:
    """Return the message that holds `value`, for a process that knows the `known` classes.

    Raises:
      Exception: it cannot be pickled.
    """
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= _LARGE:
            buffers.append(raw)
        return raw.nbytes < _LARGE

    stream = io.BytesIO()
    _Pickler(stream, known, buffer_callback=keep_inside).dump(value)
    # Not getbuffer(): collecting a cycle that it is part of crashes CPython before 3.11.7.
    return stream.getvalue(), buffers


def unpack(message: Message) -> Any:
    """Return the object of a message; its arrays lie where the message lies."""
    pickled, buffers = message
    return pickle.loads(pickled, buffers=buffers)


def pack_function(function: Callable[..., Any]) -> tuple[bytes, Known]:
    """Return the pickle of a user's function, for `load_function` in a new process, and the classes known there then.

    Raises:
      TypeError: it cannot be pickled; the message names the part that cannot.
    """
    names: dict[type, str] = {}
    stream = io.BytesIO()
    try:
        # The dict fills while the function, which stands before it, is pickled.
        _Pickler(stream, {}, sent=names).dump((function, names))
    except Exception as exc:
        name, part = _culprit(function)
        raise TypeError(
            f"worker_kind='process' sends the user's objects to other processes, and {name} cannot be pickled: it is a "
            f"{type(part).__qualname__} ({exc}). Make it in the method that uses it, on first use, or leave it out in "
            "__getstate__, or write worker_kind='thread'"
        ) from exc
    _by_name.update((name, kind) for kind, name in names.items())
    return stream.getvalue(), names


def load_function(pickled: bytes | memoryview) -> tuple[Callable[..., Any], Known]:
    """Return the function that `pack_function` packed, and the classes that came with it."""
    function, names = pickle.loads(pickled)
    _by_name.update((name, kind) for kind, name in names.items())
    return function, names


def _class_named(name: str) -> type:
    return _by_name[name]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, stream: io.BytesIO, known: Known, sent: dict[type, str] | None = None, **options: Any) -> None:
        super().__init__(stream, protocol=5, **options)
        self._known, self._sent = known, sent

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, type):
            return super().reducer_override(value)
        if value in self._known:
            return _class_named, (self._known[value],)
        reduced = super().reducer_override(value)
        if self._sent is not None and reduced is not NotImplemented:  # it goes by value
            self._sent.setdefault(value, uuid.uuid4().hex)
        return reduced


def _culprit(value: Any) -> tuple[str, Any]:
    """Return the innermost part of `value` that cannot be pickled, and its name."""
    name, outer = "", [value]
    while True:
        for part_name, part in _parts(name, outer[-1]):
            if not _can_be_pickled(part) and not any(part is seen for seen in outer):  # objects may refer in circles
                name = part_name
                outer.append(part)
                break
        else:
            return name, outer[-1]


def _can_be_pickled(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, partial):
        yield from ((type(part).__name__, part) for part in value.args)
    elif isinstance(value, Mapping):
        yield from ((f"{name}[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"{name}[{index}]", part) for index, part in enumerate(value))
    elif inspect.isfunction(value):
        used = inspect.getclosurevars(value)
        yield from {**used.globals, **used.nonlocals}.items()
    elif isinstance(value, type):
        yield from ((f"{name}.{key}", part) for key, part in vars(value).items() if inspect.isfunction(part))
    else:
        yield from _attributes(name, value)
        yield type(value).__name__, type(value)


def _attributes(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    try:
        state = value.__getstate__()
    except Exception:
        return
    for attributes in state if isinstance(state, tuple) else (state,):
        if isinstance(attributes, dict):
            yield from ((f"{name}.{key}", part) for key, part in attributes.items())
