"""The keys of the rows in a set of chunks, kept beside its manifest: rows that are added later are compared with them.

Each split with `unique` leaves a file of the keys that it took in, sorted; the manifest names these files, and how many
samples the set had then.  Where it has others by now, somebody has added rows whose keys nobody knows.
"""

from __future__ import annotations

import bisect
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from pyloader.errors import OutputDirError
from pyloader.files import Manifest
from pyloader.files.atomic import written_whole

__all__ = ["Unique", "contained", "earlier_keys", "keep_keys", "keys_file"]

_PART = re.compile(r"[0-9a-f]{16}")  # a manifest may come from anybody
_KEY_BYTES = 16  # two words, little-endian
_BLOCK_KEYS = 2**20  # in memory at a time


class Unique(msgspec.Struct, kw_only=True):
    """What a manifest says of keys.

    Attributes:
      columns: That the keys are made of.
      parts: The splits whose keys are kept, by their fingerprints, in order.
      num_samples: In all outputs, when the last of them was finished.
    """

    columns: list[str]
    parts: list[str]
    num_samples: int


def keys_file(place: Path, part: str) -> Path:
    """Return where the keys of a split lie, in the directory of its main output."""
    return place / f".keys-{part}"


def earlier_keys(
    root: Path, found: Mapping[str, Manifest], place: Path, columns: Sequence[str], *, part: str
) -> list[str]:
    """Return the splits whose keys the rows of another one are compared with.

    Args:
      root: The directory, for errors.
      found: The sets of chunks that are in it.
      place: Where the files of keys are.
      columns: That the keys are made of.
      part: The fingerprint of the other split; where it has been there before, those before it are returned.

    Raises:
      OutputDirError: rows are there whose keys were not kept, or keys of other columns.
    """
    if not found:
        return []
    remedy = "Split all dumps together into another directory, or add without --unique"
    try:
        said = msgspec.convert(next(iter(found.values())).made_by.get("unique"), Unique)
    except msgspec.ValidationError as exc:
        what = "holds rows whose keys were not kept: they were not split with --unique."
        raise OutputDirError(f"{root}/", what, remedy) from exc
    if said.columns != list(columns):
        what = f"holds rows that are unique by {','.join(said.columns)}, not by {','.join(columns)}."
        raise OutputDirError(f"{root}/", what, f"Say --unique {','.join(said.columns)}")
    earlier = said.parts[: said.parts.index(part)] if part in said.parts else said.parts
    if earlier is said.parts and said.num_samples != sum(manifest.num_samples for manifest in found.values()):
        raise OutputDirError(f"{root}/", "holds rows that were added without --unique.", remedy)
    for name in earlier:
        path = keys_file(place, name)
        if not _PART.fullmatch(name) or not path.is_file() or path.stat().st_size % _KEY_BYTES:
            raise OutputDirError(str(path), "is missing, or damaged; it holds the keys of rows that are there.", remedy)
    return earlier


def keep_keys(place: Path, part: str, files: Sequence[Path]) -> None:
    """Keep the keys of a split; `files` are sorted, one after another.

    Raises:
      WriteError: the disk is full.
    """
    place.mkdir(parents=True, exist_ok=True)
    with written_whole(keys_file(place, part)) as beside, open(beside, "wb") as kept:
        for path in files:
            with open(path, "rb") as file:
                shutil.copyfileobj(file, kept, 2**20)


def contained(path: str, keys: np.ndarray) -> np.ndarray:
    """Tell which keys are in a file of keys: bool array of shape [number of keys].

    Args:
      path: The file.
      keys: uint64 array of shape [number of keys, 2], sorted; no key is there twice.
    """
    found = np.zeros(len(keys), np.bool_)
    if not len(keys):
        return found
    with open(path, "rb", buffering=0) as file:
        size = file.seek(0, 2) // _KEY_BYTES
        start = bisect.bisect_left(range(size), int(keys[0, 0]), key=lambda place: _upper(file, place))
        file.seek(start * _KEY_BYTES)
        while len(block := np.frombuffer(_read(file), "<u8").reshape(-1, 2)) and block[0, 0] <= keys[-1, 0]:
            found |= _in_block(block, keys)
    return found


def _in_block(block: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Tell which keys are in a block of sorted keys."""
    upper = np.ascontiguousarray(block[:, 0])
    first, stop = np.searchsorted(upper, keys[:, 0], "left"), np.searchsorted(upper, keys[:, 0], "right")
    lower = block[np.minimum(first, len(block) - 1), 1]
    found = (first < stop) & (lower == keys[:, 1])
    for place in np.flatnonzero(stop - first > 1).tolist():  # one in 2**64 pairs of keys has the same upper half
        found[place] = keys[place, 1] in block[first[place] : stop[place], 1]
    return np.asarray(found)


def _upper(file: IO[bytes], place: int) -> int:
    file.seek(place * _KEY_BYTES)
    return int.from_bytes(file.read(8), "little")


def _read(file: IO[bytes]) -> bytes:
    data = file.read(_BLOCK_KEYS * _KEY_BYTES)
    while len(data) % _KEY_BYTES and (more := file.read(_KEY_BYTES - len(data) % _KEY_BYTES)):
        data += more
    return data
