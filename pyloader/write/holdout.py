"""Which output a sample goes to: by what it holds, never by where it stands.

The same sample always goes to the same output, however the dump grows or is ordered; duplicates stay together.  Rule 2
looks at the row of the dump, before columns are chosen and it is encoded, so that it does not depend on these.  Rule 1,
that of earlier versions, looked at the bytes of what was written; a set that was begun by it goes on with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import xxhash

from pyloader.columns import Columns
from pyloader.errors import SplitError
from pyloader.write.rows import Rows

__all__ = [
    "HOLDOUT_RULE",
    "MAIN",
    "assignment",
    "canonical_encoder",
    "hashes_of_rows",
    "hashes_of_samples",
    "output_names",
    "samples_of",
    "value_of",
]

MAIN = "train"
HOLDOUT_RULE = 2


def output_names(holdout: Mapping[str, float] | None) -> tuple[str, ...]:
    """Return the outputs' directories, the main one first; "" when nothing is held out.

    Raises:
      ValueError: a name is no plain directory name, or the shares leave nothing for the main output.
    """
    if not holdout:
        return ("",)
    for name, share in holdout.items():
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name) or name == MAIN:
            raise ValueError(f"holdout {name!r} must be a plain directory name other than {MAIN!r}, such as val")
        if not 0 < share < 1:
            raise ValueError(f"holdout {name}={share} must be a share between 0 and 1, such as {name}=0.02")
    if sum(holdout.values()) >= 1:
        raise ValueError(f"the holdouts take {sum(holdout.values()):g} of all samples, and leave none to train on")
    return (MAIN, *holdout)


def assignment(hashes: np.ndarray, holdout: Mapping[str, float]) -> np.ndarray:
    """Return each row's output, as an index into `output_names(holdout)`: int64 array of the shape of `hashes`."""
    shares = np.cumsum(list(holdout.values()))
    output = np.searchsorted(shares, hashes / 2.0**64, side="right") + 1
    output[output > len(shares)] = 0
    return output


def hashes_of_rows(rows: Rows) -> np.ndarray:
    """Return the hash of each row's bytes: uint64 array of shape [len(rows)].  Rule 1."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, rows.pieces()), np.uint64, len(rows))


def hashes_of_samples(samples: Iterable[Mapping[str, Any]], key: str | None = None) -> np.ndarray:
    """Return the hash of each row's values: uint64 array of shape [number of samples].  Rule 2.

    The order of the columns, the way that numbers are spelled, and columns that hold null make no difference.

    Args:
      samples: The rows of the dump, with all its columns.
      key: The only column to look at; None looks at all.

    Raises:
      SplitError: a sample has no such column.
    """
    encode = canonical_encoder()
    hashes = []
    for sample in samples:
        if key is None:
            value: Any = {name: value for name, value in sample.items() if value is not None}
        else:
            value = value_of(sample, key, "--holdout-by")
        hashes.append(xxhash.xxh3_64_intdigest(encode(value)))
    return np.array(hashes, np.uint64)


def canonical_encoder() -> Callable[[Any], bytes]:
    """Return what gives equal values equal bytes, whatever the file that they come from is."""
    return msgspec.msgpack.Encoder(enc_hook=_plain, order="sorted").encode


def value_of(sample: Mapping[str, Any], key: str, option: str) -> Any:
    """Return the value of a column that the user named.

    Raises:
      SplitError: the sample has no such column.
    """
    if key not in sample:
        what = f"names {key!r}, and a row has {', '.join(sample)}."
        raise SplitError(option, what, "Name a column that every row has")
    return sample[key]


def samples_of(columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield the rows of `columns` as `hashes_of_samples` takes them."""
    names = list(columns)
    for row in zip(*map(_values, columns.values()), strict=True):
        yield dict(zip(names, row, strict=True))


def _values(values: Any) -> list[Any]:
    if isinstance(values, np.ndarray) and (values.ndim > 1 or values.dtype.kind not in "biuf"):
        plain = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
        about = f"{plain.dtype.str}{plain.shape[1:]}".encode()
        return [about + row.tobytes() for row in plain]
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return repr(value)
