"""Chunks of litdata -> columns, without the package litdata."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Column, Columns
from pyloader.errors import ChunkReadError
from pyloader.files import Room, StoredPath, check_fits, found_beside, num_bytes_of, open_packed, refuse_pointer
from pyloader.files.unpacking import FETCH_AGAIN
from pyloader.machine.memory import keep_freed_memory
from pyloader.part import INDEX_AGAIN, Part
from pyloader.read.file_ranges import range_of
from pyloader.read.offset_tables import (
    ReadRange,
    SampleError,
    beginning,
    check_end,
    table,
    table_parts,
    value_starts,
)
from pyloader.read.options import NamedColumnsReader
from pyloader.read.spans import bytes_at, numbers_at, ragged_numbers, words_at

__all__ = ["INDEX_NAME", "LitDataReader", "has_litdata_index"]

INDEX_NAME = "index.json"
_KIND = "chunk of litdata"
_SCALARS = {"int": "<i8", "float": "<f8", "bool": "?"}
# By the number that litdata writes for a dtype of NumPy, and of PyTorch.
_NUMPY = ("i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16", "?")
_TORCH = (
    "<f4", "<f4", "<f8", "<f8", "<c8", "<c8", "<c16", "<c16", "<f2", "<f2", None,
    "u1", "i1", "<i2", "<i2", "<i4", "<i4", "<i8", "<i8", "?", "<u2",
)  # fmt: skip  # the gap is bfloat16
_BY_NAME = {"no_header_numpy": _NUMPY, "no_header_tensor": _TORCH}
_MOST_AXES = 64
_WHAT_FOLLOWS = "litdata keeps nested rows there, as Arrow: write them as Parquet, which pyloader reads"


class _Config(msgspec.Struct):
    """What an index says of its chunks."""

    data_format: list[str]
    data_spec: str = ""
    item_loader: str = "PyTreeLoader"
    compression: str | None = None
    compression_level: str | None = None
    encryption: Any = None


class _Index(msgspec.Struct):
    config: _Config


class _Form(msgspec.Struct):
    """What a sample is made of."""

    formats: dict[str, str]  # name -> format, in the order in which the values are stored
    is_tokens: bool  # whether a sample is the bytes of one value, without its length


class LitDataReader(NamedColumnsReader):
    """Chunks of litdata (chunk-0-0.bin), beside which its index.json lies; also packed as a whole (.zstd.bin).

    A sample that is a dict has a column for each key; of a dict within, "key.inner".  A list or tuple has "0", "1", and
    any other sample is the column "item".  Numbers are arrays, `str` a list of str; tensors and arrays of one dimension
    are `Ragged`, those of more a list of arrays.  Everything else arrives as the bytes that are stored, a Ragged:
    images, audio, `json`, and what litdata pickles, which is never unpickled.  A row of chunks for TokensLoader is a
    document.

    Args:
      columns: Which to read, in this order; None for all.
    """

    is_thread_safe = True
    finds_by_ranges = True
    needs_beside = True

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read all samples.

        Returns:
          The columns, as they stand in the sample, and how many samples there are.

        Raises:
          ChunkReadError: the chunk is cut or damaged, its index.json is missing, or says that it is encrypted, packed
            sample by sample, or written by an item loader that is not known.
        """
        config = _config(path)
        keep_freed_memory()
        refuse_pointer(path, os.path.getsize(path))
        packing = ".zst" if _is_packed(path) else ""
        if not packing:
            check_fits(path, os.path.getsize(path))
        with open_packed(path, packing=packing, room=Room(path, is_bounded=bool(packing))) as file:
            data = file.read()
        view = memoryview(data)

        def read(start: int, stop: int) -> memoryview:
            return view[start:stop]

        num_samples, _ = beginning(path, _KIND, read, len(data))
        check_end(path, read, len(data), num_samples, _WHAT_FOLLOWS)
        return self._columns(path, _form(path, config), read, len(data), 0, num_samples), num_samples

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts: where samples lie is read, and not the samples."""
        form = _form(path, _config(path))
        if _is_packed(path):
            if isinstance(path, StoredPath):
                what = f"is packed, and is read where its {INDEX_NAME} lies beside it: not from a store."
                raise ChunkReadError(path, what, "Copy both to a disk (aws s3 sync ADDRESS DIR), and index that")
            return None
        detail = msgspec.to_builtins(form)
        parts = table_parts(path, _KIND, chunk_bytes, chunk_samples, _WHAT_FOLLOWS)
        return [dataclasses.replace(part, detail=detail) for part in parts]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the samples of a part, which says what their values are: index.json is not needed."""
        try:
            form = msgspec.convert(part.detail, _Form)
        except msgspec.ValidationError as exc:
            raise ChunkReadError(path, f"has a part that is not one of litdata ({exc}).", INDEX_AGAIN) from exc
        read, size = functools.partial(range_of, path, memory=self._memory), os.path.getsize(path)
        num_samples, _ = beginning(path, _KIND, read, size)
        if part.stop > num_samples:
            what = f"has {num_samples:,} samples, and a part of {part.first:,} to {part.stop:,}."
            raise ChunkReadError(path, what, INDEX_AGAIN)
        return self._columns(path, form, read, size, part.first, part.stop), part.num_samples

    def _columns(self, path: str, form: _Form, read: ReadRange, size: int, first: int, stop: int) -> Columns:
        if first == stop:
            return {}
        names = list(form.formats)
        offsets = table(path, read, size, first, stop)
        data = np.frombuffer(read(int(offsets[0]), int(offsets[-1])), np.uint8)
        offsets = offsets - offsets[0]
        try:
            if form.is_tokens:
                starts = [offsets[:-1], offsets[1:]]
            else:
                starts = value_starts(data, offsets, [None] * len(names))
            columns: Columns = {}
            for name in self.columns or names:
                if name not in names:
                    what = f"has no column {name!r}; it has {', '.join(map(repr, names))}."
                    raise ChunkReadError(path, what, "Name some of these: LitDataReader(columns=[...])")
                place = names.index(name)
                columns[name] = _column(data, starts[place], starts[place + 1], form.formats[name], name)
        except SampleError as exc:
            where = f"sample {first + exc.sample:,} " if exc.sample is not None else ""
            raise ChunkReadError(path, f"{where}{exc.what}.", exc.hint or FETCH_AGAIN) from exc
        return columns


def has_litdata_index(path: str) -> bool:
    """Tell whether an index.json of litdata lies beside a file."""
    try:
        return _told(path) is not None
    except ChunkReadError:
        return False


def _is_packed(path: str) -> bool:
    return ".zstd." in os.path.basename(path)  # in litdata's own cache, where they are unpacked, the index stays


def _column(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, encoding: str, name: str) -> Column:
    """Return the column of values that lie at these places, in a format of litdata."""
    kind, _, code = encoding.partition(":")
    try:
        if kind in _SCALARS:
            dtype = np.dtype(_SCALARS[kind])
            if (wrong := stops - starts != dtype.itemsize).any():
                raise SampleError(int(wrong.argmax()), f"has {name!r} that is no {kind}")
            return numbers_at(data, starts, dtype)
        if kind in _BY_NAME:
            return ragged_numbers(bytes_at(data, starts, stops), _dtype(_BY_NAME[kind], int(code), name))
        if kind in ("numpy", "tensor"):
            return [_array(data, a, b, kind, name) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        rows = bytes_at(data, starts, stops)
        return [str(text, "utf-8") for text in rows] if kind == "str" else rows
    except SampleError:
        raise
    except ValueError as exc:
        raise SampleError(None, f"is damaged: {name!r} is no {encoding[:40]} ({exc})") from exc


def _array(data: np.ndarray, start: int, stop: int, kind: str, name: str) -> np.ndarray:
    """Return one array: its dtype, how many axes, their lengths, and its numbers."""
    word = "<u4" if kind == "numpy" else ">u4"
    code, num_axes = words_at(data[:stop], start, 2, word).tolist()
    if num_axes > _MOST_AXES:
        raise ValueError(f"it says that it has {num_axes:,} axes")
    shape = tuple(words_at(data[:stop], start + 8, num_axes, word).tolist())
    dtype, begin = np.dtype(_dtype(_NUMPY if kind == "numpy" else _TORCH, code, name)), start + 8 + 4 * num_axes
    if stop - begin != dtype.itemsize * math.prod(shape):
        raise ValueError("its numbers do not fill its shape")
    return numbers_at(data, np.array([begin]), dtype, shape).reshape(shape)


def _dtype(known: Sequence[str | None], code: int, name: str) -> str:
    dtype = known[code] if 0 <= code < len(known) else None
    if dtype is None:
        raise SampleError(None, f"{name!r} is of a dtype that NumPy does not have, {code}")
    return dtype


def _config(path: str) -> _Config:
    config = _told(path)
    if config is None:
        what = f"has no {INDEX_NAME} of litdata beside it, which says what its values are."
        raise ChunkReadError(path, what, "Put it there, or, in a store, have it read once: pyloader index ADDRESS")
    packing = (config.compression or "").partition(":")[0]
    for is_so, what in (
        (bool(config.encryption), "is encrypted"),
        (packing not in ("", "zstd"), f"is packed with {packing[:40]!r}"),
        (config.compression_level not in (None, "chunk"), "is packed in pieces"),
        (config.item_loader not in ("PyTreeLoader", "TokensLoader"), f"is for {config.item_loader[:40]!r}"),
    ):
        if is_so:
            hint = "Write it again without that: litdata.optimize(...), or pyloader.write.ChunkWriter"
            raise ChunkReadError(path, f"{what}, says its {INDEX_NAME}, which pyloader does not read.", hint)
    return config


def _told(path: str) -> _Config | None:
    index = found_beside(path, INDEX_NAME)
    return None if index is None else _read_index(*index)


@functools.lru_cache(maxsize=4)
def _read_index(path: str, _state: Hashable) -> _Config:
    text = range_of(path, 0, num_bytes_of(path))
    try:
        return msgspec.json.decode(text, type=_Index).config
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ChunkReadError(path, f"is no index of litdata ({exc}).", "Fetch it again") from exc


def _form(path: str, config: _Config) -> _Form:
    if config.item_loader == "TokensLoader":
        return _Form({"tokens": (config.data_format or [""])[0]}, is_tokens=True)
    try:
        _, tree = json.loads(config.data_spec)
        formats = dict(zip(map(_name, _leaves(tree)), config.data_format, strict=True))
        if len(formats) < len(config.data_format):
            raise ValueError("two values of one name")
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        what = f"has samples of a form that is not known ({exc})."
        raise ChunkReadError(path, what, "Dicts, lists and tuples are known: write samples as one of these") from exc
    return _Form(formats, is_tokens=False)


def _name(keys: tuple[str, ...]) -> str:
    return ".".join(keys) or "item"


def _leaves(tree: Any) -> Iterator[tuple[str, ...]]:
    """Yield the keys that lead to each value."""
    kind, inner = tree["type"], tree["children_spec"]
    if kind is None:
        yield ()
        return
    if kind not in ("builtins.dict", "builtins.list", "builtins.tuple"):
        raise ValueError(f"{str(kind)[:40]!r}")
    keys = json.loads(tree["context"]) if kind == "builtins.dict" else range(len(inner))
    for key, child in zip(keys, inner, strict=True):
        yield from ((str(key), *rest) for rest in _leaves(child))
