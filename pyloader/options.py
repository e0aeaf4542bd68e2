"""Options: checks, old spellings, advice for options of other libraries, and sizes with units."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pyloader.machine.limits import available_bytes

__all__ = [
    "AUTO",
    "ELSEWHERE",
    "MOST",
    "check_workers",
    "checked_integer",
    "checked_max_skipped",
    "checked_seconds",
    "checked_threads",
    "checked_word",
    "format_bytes",
    "names_of",
    "parse_bytes",
    "parse_memory",
    "with_new_names",
]

AUTO = "auto"  # a number of threads that the loader finds by itself
MOST = 2**31 - 1  # of batches, threads, chunks in memory, epochs: sums and products of a few stay small integers

_OLD_NAMES = {"num_epoch": "num_epochs", "random_seed": "seed", "root_dir": "data_dir"}

# Options of other libraries, and what to write here.
ELSEWHERE = {
    "drop_last": 'Write last_batch="drop" (or "keep", "pad", "wrap")',
    "collate_fn": "Subclass DataCollator, write collate_batch(columns), and give it as datacollator=",
    "pin_memory": "Write datacollator=pyloader.torch.TorchDataCollator(pin_memory=True)",
    "prefetch_factor": "What is read ahead is bounded by max_queue_size, in chunks",
    "prefetch": "What is read ahead is bounded by max_queue_size, in chunks",
    "persistent_workers": "Workers live as long as the run; leave it out",
    "sampler": "The order is a function of seed, shuffle and shuffle_window; leave it out",
    "batch_sampler": "The order is a function of seed, shuffle and shuffle_window; leave it out",
    "worker_init_fn": "Set up what workers need in the __init__ of your classes, or when a method is first called",
    "generator": "Write seed=7",
    "timeout": "Write stall_timeout_seconds=60",
    "rank": "Write world=(rank, size)",
    "world_size": "Write world=(rank, size)",
    "num_replicas": "Write world=(rank, size)",
    "num_shards": "Write world=(rank, size)",
    "epochs": "Write num_epochs=5",
    "buffer_size": "Write shuffle_window=8, in chunks",
    "shuffle_buffer_size": "Write shuffle_window=8, in chunks",
    "transform": "Subclass Dataset and write batch_encode(columns)",
    "multiprocessing_context": 'Write worker_kind="process"; processes are never forked',
}

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)}


def with_new_names(
    owner: str,
    given: Mapping[str, Any],
    extra: Mapping[str, Any],
    *,
    others: Iterable[str] = (),
    elsewhere: Mapping[str, str] = ELSEWHERE,
) -> dict[str, Any]:
    """Return the options `given`, with the old spellings in `extra` taken in under their new names.

    Args:
      owner: Who has the options, to be named in errors.
      given: The options and their values.
      extra: What was given beside them.
      others: Further options that the owner has, for advice.
      elsewhere: What to write for options of other libraries.

    Raises:
      TypeError: `extra` has an option that `owner` does not know; the message says what to write.
    """
    options = dict(given)
    for name, value in extra.items():
        if name in _OLD_NAMES and _OLD_NAMES[name] in options:
            options[_OLD_NAMES[name]] = value
        else:
            advice = elsewhere.get(name) or _nearest(name, [*dict.fromkeys([*options, *others])])
            raise TypeError(f"{owner} has no option {name!r}. {advice}")
    return options


def checked_threads(name: str, value: Any, *, at_least: int) -> int | str:
    """Return `value`, a number of threads or "auto".

    Raises:
      TypeError, ValueError: it is none.
    """
    if isinstance(value, str) and value != AUTO:
        raise ValueError(f"{name} must be an integer or {AUTO!r}, got {value!r}")
    return AUTO if isinstance(value, str) else checked_integer(name, value, at_least=at_least, at_most=MOST)


def checked_integer(name: str, value: Any, *, at_least: int, at_most: int | None = None) -> int:
    """Return `value` as an int.

    Raises:
      TypeError: it is no integer.
      ValueError: it is below `at_least`, or above `at_most`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    if at_most is not None and value > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {value}")
    return int(value)


def checked_max_skipped(value: Any, totals: Sequence[int], *, of: str) -> list[int]:
    """Return how many of each of `totals` may be skipped: an integer, or a share such as "1%", rounded down.

    Args:
      value: What the user gave.
      totals: How many there are of each kind.
      of: The kinds, for errors: "chunks and rows".

    Raises:
      TypeError, ValueError: it is neither.
    """
    if not isinstance(value, str):
        return [checked_integer("max_skipped", value, at_least=0)] * len(totals)
    number, percent, rest = value.partition("%")
    try:
        if not percent or rest or not 0 <= float(number) <= 100:
            raise ValueError
    except ValueError:
        raise ValueError(
            f'max_skipped must be a number of {of}, or a share of them such as "1%", not {value!r}'
        ) from None
    return [math.floor(float(number) / 100 * total) for total in totals]


def checked_seconds(name: str, value: Any) -> float | None:
    """Return `value`, a number of seconds or None.

    Raises:
      ValueError: it is no number above 0.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise ValueError(f"{name} must be a number of seconds above 0, got {value!r}")
    return value


def checked_word(name: str, value: Any, *choices: str) -> str:
    """Return `value`, which is one of `choices`.

    >>> checked_word("fruit", "pear", "apple", "pear")
    'pear'

    Raises:
      ValueError: it is none of them.
    """
    if value not in choices:
        *others, last = (f'"{word}"' for word in choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, not {value!r}")
    return str(value)


def check_workers(worker_kind: str, num_workers: int | str, num_readers: int | str = 1) -> None:
    """Raise when workers are to be processes, and there are none, or have nobody who reads for them.

    Raises:
      ValueError: it is so.
    """
    if worker_kind == "process" and num_workers == 0:
        raise ValueError('worker_kind="process" needs num_workers of at least 1, one process each; 0 starts none')
    if num_readers == 0 and num_workers != 0:
        raise ValueError(
            "num_readers=0 reads in the loop's own thread, and needs num_workers=0; threads need 1 or more"
        )


def parse_bytes(text: str | int) -> int:
    """Return a size in bytes: 4096, "64MiB" (2**20 each), "64MB" (10**6 each), "1.5 GB".

    >>> parse_bytes("64MiB"), parse_bytes("1.5 GB")
    (67108864, 1500000000)

    Raises:
      ValueError: it is not a size.
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a size; write 64MiB (powers of two) or 64MB (powers of ten)")
    return round(float(match[1]) * _UNITS[match[2]])


def parse_memory(name: str, value: Any) -> int | None:
    """Return an amount of memory in bytes, or None.

    Args:
      name: What it is called in errors.
      value: A number of bytes, a size such as "2GB" or "1.5GiB", or a share such as "25%": of the control group's limit
        where one is set, else of the machine's memory.

    Raises:
      TypeError: it is neither a number nor a str.
      ValueError: it is no size, or none above 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not (isinstance(value, str) or hasattr(value, "__index__")):
        raise TypeError(
            f"{name} must be a number of bytes, a size such as '2GB', or a share such as '25%', got {value!r}"
        )
    share = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", value) if isinstance(value, str) else None
    if share is None:
        num_bytes = parse_bytes(value if isinstance(value, str) else int(value))
    elif 0 < float(share[1]) <= 100:
        num_bytes = int(available_bytes() * float(share[1]) / 100)
    else:
        raise ValueError(f"{name} must be a share of the memory above 0% and up to 100%, got {value!r}")
    if num_bytes < 1:
        raise ValueError(f"{name} must be at least 1 byte, got {value!r}")
    return num_bytes


def format_bytes(num_bytes: float) -> str:
    """Return a size in powers of ten, to be read.

    >>> format_bytes(999), format_bytes(31_234_567_890)
    ('999 B', '31.2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(num_bytes) < 999.5 or unit == "GB":
            break
        num_bytes /= 1000
    digits = 0 if unit == "B" or num_bytes >= 99.95 else 1
    return f"{num_bytes:,.{digits}f} {unit}"


def _nearest(name: str, options: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, options, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(options)}"


def names_of(home: str, *names: str, of: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of module `of`, which finds some names of module `home`: they once were in `of`."""

    def found(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module(home), name)
        raise AttributeError(f"module {of!r} has no attribute {name!r}")

    return found
