"""User code: the functions of a run that call the user's methods, here or in other processes."""

from __future__ import annotations

from functools import partial

from pyloader.columns import Columns
from pyloader.datareader import DataReader, read_chunk, read_good_rows
from pyloader.deliver import RemoteFunction, Steps
from pyloader.encode import takes_rng
from pyloader.run.encoding import encode_and_collate
from pyloader.run.making import Encode
from pyloader.run.options import RunOptions
from pyloader.run.reading import Read

__all__ = ["user_functions"]


def user_functions(options: RunOptions, steps: Steps) -> tuple[Read, Encode]:
    """Return the functions that read a chunk, and that encode and collate a batch; `steps` ends what they start.

    Raises:
      TypeError: the user's objects cannot be sent to other processes; the message names the part that cannot.
    """
    draws = options.dataset is not None and takes_rng(options.dataset)
    read: Read = partial(read_good_rows if options.skips else _read_all_rows, options.reader)
    stream = 0 if options.streams is None else options.streams.served[0]
    encode = partial(encode_and_collate, options.dataset, options.collator, options.seed if draws else None, stream)
    if not options.in_processes:
        return read, encode
    reader = type(options.reader).__name__
    makers = " and ".join(type(part).__name__ for part in (options.dataset, options.collator) if part is not None)
    return (
        steps.add_awaited(RemoteFunction(read, doing=lambda path: f"{reader} read {path}")),
        steps.add_awaited(
            RemoteFunction(
                encode, doing=lambda _columns, _mask, epoch, step: f"{makers} made epoch {epoch}, step {step}"
            )
        ),
    )


def _read_all_rows(reader: DataReader, path: str) -> tuple[Columns, dict[int, str]]:
    return read_chunk(reader, path), {}
