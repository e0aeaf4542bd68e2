"""User code: the functions of a run that call the user's methods, here or in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.datareader import read_chunk
from pyloader.deliver import RemoteFunction, Steps
from pyloader.encode import takes_rng
from pyloader.run.encoding import encode_and_collate
from pyloader.run.making import Encode
from pyloader.run.options import RunOptions

__all__ = ["user_functions"]


def user_functions(options: RunOptions, steps: Steps) -> tuple[Callable[[str], Columns], Encode]:
    """Return the functions that read a chunk, and that encode and collate a batch; `steps` ends what they start.

    Raises:
      TypeError: the user's objects cannot be sent to other processes; the message names the part that cannot.
    """
    draws = options.dataset is not None and takes_rng(options.dataset)
    read = partial(read_chunk, options.reader)
    stream = 0 if options.streams is None else options.streams.served[0]
    encode = partial(encode_and_collate, options.dataset, options.collator, options.seed if draws else None, stream)
    if not options.in_processes:
        return read, _converting(encode, options.convert)
    reader = type(options.reader).__name__
    makers = " and ".join(type(part).__name__ for part in (options.dataset, options.collator) if part is not None)
    return (
        steps.add_remote(RemoteFunction(read, doing=lambda path: f"{reader} read {path}")),
        _converting(
            steps.add_remote(
                RemoteFunction(
                    encode, doing=lambda _columns, _mask, epoch, step: f"{makers} made epoch {epoch}, step {step}"
                )
            ),
            options.convert,
        ),
    )


def _converting(encode: Encode, convert: Callable[[Any], Any] | None) -> Encode:
    """Return `encode`, with `convert` done here to what it answers."""
    if convert is None:
        return encode

    def encode_and_convert(
        columns: Columns, mask: np.ndarray | None, epoch: int, step: int
    ) -> tuple[Any, tuple[float, float]]:
        batch, (encoding, collating) = encode(columns, mask, epoch, step)
        begun = time.perf_counter()
        return convert(batch), (encoding, collating + time.perf_counter() - begun)

    return encode_and_convert
