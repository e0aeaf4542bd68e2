"""Transient errors: which failures to read may pass by themselves."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pyloader.errors import WorkerDiedError

__all__ = ["is_transient", "waits_before_retries"]

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0

# Network file systems and failing links give these.  What is missing, forbidden or damaged stays so.
_NUMBERS = {
    errno.EAGAIN,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


def is_transient(error: BaseException) -> bool:
    """Tell whether reading again may succeed, by the error or by one that it was raised from.

    Those are TimeoutError, ConnectionError, and an OSError of an input, network or stale-handle failure.
    """
    chain = list(_causes(error))
    # The end of a worker process is seen as a broken connection, and the next one would have the same end.
    return not any(isinstance(each, WorkerDiedError) for each in chain) and any(
        isinstance(each, TimeoutError | ConnectionError) or (isinstance(each, OSError) and each.errno in _NUMBERS)
        for each in chain
    )


def waits_before_retries(num_retries: int) -> tuple[float, ...]:
    """Return how many seconds to wait before each further try: twice as long each time, at most half a minute."""
    return tuple(
        min(_FIRST_WAIT_SECONDS * 2.0 ** min(number, 10), _LONGEST_WAIT_SECONDS) for number in range(num_retries)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()  # exceptions can be made to go in circles
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
