"""A list of images, or of sounds: a table with a column of their paths, and with others that are kept beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from pyloader.columns import Column, Columns, concatenate_columns, slice_columns
from pyloader.datareader import read_chunk
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import suffix_of, utf8_name
from pyloader.options import format_bytes
from pyloader.read import reader_for
from pyloader.write.blocks import Source
from pyloader.write.media import LIST_SUFFIXES, MEDIA, MediaKind, MediaOptions, kind_of_file
from pyloader.write.media_rows import media_sources

__all__ = ["MediaList", "media_list"]

_LARGEST_BYTES = 2**30  # a list is in memory as a whole


class MediaList(NamedTuple):
    """What is listed.

    Attributes:
      kind: Whether these are images or sounds.
      sources: Runs of files, in the order of the list.
      is_even: Whether every column is of numbers, or of text in every row, so that its first rows say what it is.
    """

    kind: MediaKind
    sources: tuple[Source, ...]
    is_even: bool


def media_list(lists: Sequence[str], input_format: str | None, options: MediaOptions) -> MediaList:
    """Return the files that are listed, in the order of the list, as sources of rows.

    A row has the bytes of its file, and the columns of the list.  The column of paths stays under its name, or under
    "name" where its own is that of the bytes.

    Args:
      lists: Files of a table each, with the same columns.
      input_format: "images" or "audio"; None goes by the suffixes of the paths.
      options: Where its paths are, and lead.

    Raises:
      SplitError: a list cannot be read, or a path in it leads out of the folder.
    """
    assert options.path_column is not None
    if input_format not in (None, *MEDIA):
        raise ValueError(f"path_column says that this is a list of images or sounds, and not {input_format}")
    tables = [_table(path, options.path_column) for path in lists]
    if odd := [path for path, table in zip(lists, tables, strict=True) if table.keys() != tables[0].keys()]:
        what = f"has the columns {', '.join(tables[lists.index(odd[0])])}, and {lists[0]} has {', '.join(tables[0])}."
        raise SplitError(odd[0], what, "Split lists of the same columns together")
    paths = [
        _within(options.media_root or os.path.dirname(path) or ".", named, f"{path}, row {row:,}")
        for path, table in zip(lists, tables, strict=True)
        for row, named in enumerate(table[options.path_column], start=1)
    ]
    columns = concatenate_columns(tables)
    kind = MEDIA[input_format] if input_format else _kind_of_most(lists[0], paths)
    if options.path_column == kind.column:
        columns = {"name" if name == kind.column else name: values for name, values in columns.items()}
    if kind.column in columns or len(columns) < len(tables[0]):
        what = f"has a column {kind.column!r}, or 'name', beside the paths: these are for the bytes and their file."
        raise SplitError(lists[0], what, "Rename it")

    def columns_of(start: int, stop: int) -> Callable[[], Columns]:
        return partial(dict, slice_columns(columns, start, stop))

    sources = media_sources(kind, [(path, _size(path)) for path in paths], columns_of)
    return MediaList(kind, sources, all(isinstance(of, np.ndarray) or _is_text(of) for of in columns.values()))


def _table(path: str, column: str) -> Columns:
    if suffix_of(path) not in LIST_SUFFIXES:
        what = f"is no list of paths by its suffix; known: {', '.join(LIST_SUFFIXES)}."
        raise SplitError(path, what, "Write the paths, and what is known of each file, as one of these")
    if (num_bytes := os.path.getsize(path)) > _LARGEST_BYTES:
        hint = "Cut it into several, and add one after the other: --append"
        raise SplitError(path, f"has {format_bytes(num_bytes)}, and a list is read whole.", hint)
    try:
        table = read_chunk(reader_for(path), path)
    except ChunkReadError as exc:
        raise SplitError(exc.path, exc.what, exc.hint, exc.line) from exc
    if column not in table:
        raise SplitError(path, f"has no column {column!r}; it has {', '.join(table)}.", "Name the one of the paths")
    if not _is_text(table[column]):
        raise SplitError(path, f"has {column!r}, which is not text in every row.", "Name the column of the paths")
    return table


def _within(root: str, path: str, where: str) -> str:
    """Return where a path leads; the list may be a stranger's, and must not take in other files of this machine."""
    found = os.path.normpath(os.path.join(root, path))
    base = os.path.normpath(root)
    inside = found.startswith(os.path.join(base, "")) or (base == "." and not found.startswith(("..", os.sep)))
    if not inside or "\0" in path:
        what = f"lists {utf8_name(path)!r}, which is not in {utf8_name(base)}/."
        raise SplitError(where, what, "Name the folder that all files are in: --media-root DIR")
    return found


def _kind_of_most(path: str, paths: Sequence[str]) -> MediaKind:
    found = Counter(kind.name for name in paths if (kind := kind_of_file(os.path.basename(name))) is not None)
    if not found:
        raise SplitError(path, "lists no image and no sound, by the suffixes.", "Say which it is: --from images")
    return MEDIA[max(sorted(found), key=lambda name: found[name])]


def _is_text(values: Column) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _size(path: str) -> int:
    """Return the size of a listed file; 0 where there is none, which is a bad row."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
