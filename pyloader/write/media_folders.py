"""A folder of images, or of sounds: each file is a row, and the folder that it lies in is its label."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from pyloader.columns import Columns
from pyloader.errors import SplitError
from pyloader.files import is_chunk_name, suffix_of, utf8_name
from pyloader.write.blocks import Source
from pyloader.write.media import LIST_SUFFIXES, MEDIA, MediaKind, kind_of_file, unreadable
from pyloader.write.media_rows import media_sources

__all__ = ["MediaFolder", "media_folder"]

_File = tuple[str, int, int]  # path, size, time of change in nanoseconds


class MediaFolder(NamedTuple):
    """What a folder holds.

    Attributes:
      kind: Whether these are images or sounds.
      sources: Runs of files, sorted by name.
      files: (path, size, time of change in nanoseconds) of each.
      labels: The names of the folders in it, in the order of the numbers that stand for them; empty when the files
        lie in the folder itself, and have no label.
    """

    kind: MediaKind
    sources: tuple[Source, ...]
    files: tuple[_File, ...]
    labels: tuple[str, ...]


def media_folder(
    folder: str,
    only: Sequence[str] = (),
    *,
    input_format: str | None = None,
    known_labels: Sequence[str] = (),
    other_suffixes: Collection[str] = (),
) -> MediaFolder | None:
    """Look at a folder; None when there is no image and no sound in it.

    It is of the kind that most of its files are.  Hidden files, READMEs and other names that no chunk has are passed
    over.

    Args:
      folder: The folder.
      only: Of the files below it, these alone; all where none is named.
      input_format: "images" or "audio" where that is said.
      known_labels: Those that have a number already, from 0 on; others get the numbers after these, sorted by name.
      other_suffixes: Of files that can be split as well, for the error.

    Raises:
      SplitError: there are other files in it, or some images lie in folders and some do not.
    """
    paths = list(only or _files_below(folder))
    kind = MEDIA[input_format] if input_format else _kind_of_most(paths)
    if kind is None and not only:
        return None
    kind = kind or MEDIA["images"]
    mine = sorted((path, *_size_and_time(path)) for path in paths if kind.has(os.path.basename(path)))
    if not mine and not only:
        return None
    if others := [path for path in paths if not kind.has(os.path.basename(path)) and (only or _is_data(path))]:
        raise _not_of_kind(folder, kind, sorted(others), other_suffixes)
    labels = _labels(folder, kind, mine, known_labels)
    numbers = {label: number for number, label in enumerate(labels)}

    def columns_of(start: int, stop: int) -> Callable[[], Columns]:
        paths = [path for path, *_ in mine[start:stop]]
        used = {label: numbers[label] for path in paths if (label := _label(folder, path))}
        return partial(_columns, folder, paths, used)

    sources = media_sources(kind, [file[:2] for file in mine], columns_of)
    return MediaFolder(kind, sources, tuple(mine), labels)


def _kind_of_most(paths: Sequence[str]) -> MediaKind | None:
    found = Counter(kind.name for path in paths if (kind := kind_of_file(os.path.basename(path))) is not None)
    return MEDIA[max(sorted(found), key=lambda name: found[name])] if found else None


def _is_data(path: str) -> bool:
    name = os.path.basename(path)
    return is_chunk_name(name) or kind_of_file(name) is not None  # cameras begin names with an underscore


def _columns(folder: str, paths: Sequence[str], numbers: Mapping[str, int]) -> Columns:
    columns: Columns = {}
    if numbers:
        columns["label"] = np.array([numbers[_label(folder, path)] for path in paths], np.int64)
    columns["name"] = [_relative(folder, path) for path in paths]
    return columns


def _not_of_kind(folder: str, kind: MediaKind, others: Sequence[str], other_suffixes: Collection[str]) -> SplitError:
    more = f", like {len(others) - 1:,} more" if len(others) > 1 else ""
    what = f"is no {kind.noun} by its name{more}, but lies in a folder of {kind.nouns} ({', '.join(kind.suffixes)})."
    suffixes = [suffix for path in others if (suffix := suffix_of(path)) in other_suffixes]
    pattern = shlex.quote(os.path.join(folder, "**", f"*{suffixes[0]}")) if suffixes else ""
    listed = " --path-column NAME, where it lists the files" if suffixes and suffixes[0] in LIST_SUFFIXES else ""
    instead = f", or name what is to be split: {pattern}{listed}" if suffixes else ""
    return SplitError(utf8_name(others[0]), what, f"Move it out of that folder{instead}")


def _labels(folder: str, kind: MediaKind, files: Sequence[_File], known: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}  # a file of each
    for path, *_ in files:
        found.setdefault(_label(folder, path), path)
    bare = found.pop("", "")
    if bare and found:
        labelled = next(iter(found.values()))
        what = f"lies in no folder that could be its label, as {utf8_name(labelled)} does."
        raise SplitError(utf8_name(bare), what, f"Move it into one, or out of the folder of {kind.nouns}")
    return (*known, *sorted(found.keys() - set(known))) if found else ()


def _label(folder: str, path: str) -> str:
    label, slash, _ = _relative(folder, path).partition("/")
    return label if slash else ""


def _relative(folder: str, path: str) -> str:
    return utf8_name(path.removeprefix(os.path.join(folder, "")))


def _files_below(folder: str, within: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Yield the files below a folder, those that links lead to as well, and no hidden ones."""
    try:
        about = os.stat(folder)
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as exc:
        raise unreadable(folder, exc) from exc
    if (this := (about.st_dev, about.st_ino)) in within:
        raise SplitError(utf8_name(folder), "is a link to a folder that it lies in.", "Remove the link")
    for entry in entries:
        if entry.is_dir():
            yield from _files_below(entry.path, (*within, this))
        else:
            yield entry.path


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        about = os.stat(path)
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return about.st_size, about.st_mtime_ns
