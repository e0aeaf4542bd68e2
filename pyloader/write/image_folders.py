"""A folder of images: each file is a row, its bytes as they are, and the folder that it lies in is its label."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Generator, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import is_chunk_name, refuse_pointer, suffix_of, utf8_name
from pyloader.write.blocks import BLOCK_BYTES, Block, Source, Span

__all__ = ["IMAGE_SUFFIXES", "ImageFolder", "image_folder", "is_image"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_FILES_OF_SOURCE = 256  # at most: millions of files have few sources, and a unit of small images has many

_File = tuple[str, int, int]  # path, size, time of change in nanoseconds


class ImageFolder(NamedTuple):
    """What a folder holds.

    Attributes:
      sources: Runs of images, sorted by name.
      files: (path, size, time of change in nanoseconds) of each image.
      labels: The names of the folders in it, in the order of the numbers that stand for them; empty when the images
        lie in the folder itself, and have no label.
    """

    sources: tuple[Source, ...]
    files: tuple[_File, ...]
    labels: tuple[str, ...]


def is_image(name: str) -> bool:
    """Tell whether a file is called as an image is."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def image_folder(
    folder: str,
    only: Sequence[str] = (),
    *,
    known_labels: Sequence[str] = (),
    other_suffixes: Collection[str] = (),
) -> ImageFolder | None:
    """Look at a folder; None when there is no image in it.

    Hidden files, READMEs and other names that no chunk has are passed over.

    Args:
      folder: The folder.
      only: Of the files below it, these alone; all where none is named.
      known_labels: Those that have a number already, from 0 on; others get the numbers after these, sorted by name.
      other_suffixes: Of files that can be split as well, for the error.

    Raises:
      SplitError: there are other files in it, or some images lie in folders and some do not.
    """
    images: list[_File] = []
    others: list[str] = []
    for path in only or _files_below(folder):
        if is_image(os.path.basename(path)):
            images.append((path, *_size_and_time(path)))
        elif only or is_chunk_name(os.path.basename(path)):
            others.append(path)
    if others and (images or only):
        raise _no_image(folder, sorted(others), other_suffixes)
    if not images:
        return None
    images.sort()
    labels = _labels(folder, images, known_labels)
    numbers = {label: number for number, label in enumerate(labels)}
    sources = tuple(_source(folder, files, numbers) for files in _runs(images))
    return ImageFolder(sources, tuple(images), labels)


def _no_image(folder: str, others: Sequence[str], other_suffixes: Collection[str]) -> SplitError:
    more = f", like {len(others) - 1:,} more" if len(others) > 1 else ""
    what = f"is no image by its name{more}, but lies in a folder of images ({', '.join(IMAGE_SUFFIXES)})."
    suffixes = [suffix for path in others if (suffix := suffix_of(path)) in other_suffixes]
    pattern = shlex.quote(os.path.join(folder, "**", f"*{suffixes[0]}")) if suffixes else ""
    instead = f", or name what is to be split: {pattern}" if suffixes else ""
    return SplitError(utf8_name(others[0]), what, f"Move it out of that folder{instead}")


def _labels(folder: str, images: Sequence[_File], known: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}  # an image of each
    for path, *_ in images:
        found.setdefault(_label(folder, path), path)
    bare = found.pop("", "")
    if bare and found:
        labelled = next(iter(found.values()))
        what = f"lies in no folder that could be its label, as {utf8_name(labelled)} does."
        raise SplitError(utf8_name(bare), what, "Move it into one, or out of the folder of images")
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
        raise _unreadable(folder, exc) from exc
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
        raise _unreadable(path, exc) from exc
    return about.st_size, about.st_mtime_ns


def _runs(images: Sequence[_File]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Yield (path, size) of a few megabytes of images at a time."""
    run: list[tuple[str, int]] = []
    num_bytes = 0
    for path, size, _ in images:
        run.append((path, size))
        num_bytes += size
        if len(run) == _FILES_OF_SOURCE or num_bytes >= BLOCK_BYTES:
            yield tuple(run)
            run, num_bytes = [], 0
    if run:
        yield tuple(run)


def _source(folder: str, files: tuple[tuple[str, int], ...], numbers: dict[str, int]) -> Source:
    num_bytes = sum(size for _, size in files)
    used = {label: numbers[label] for path, _ in files for label in [_label(folder, path)] if label}
    return Source(files[0][0], num_bytes, partial(_blocks, folder, files, used), num_bytes)


def _blocks(
    folder: str, files: Sequence[tuple[str, int]], numbers: dict[str, int], span: Span
) -> Generator[Block, None, None]:
    columns: Columns = {"image": [_content(path, size) for path, size in files]}
    if numbers:
        columns["label"] = np.array([numbers[_label(folder, path)] for path, _ in files], np.int64)
    columns["name"] = [_relative(folder, path) for path, _ in files]
    yield Block(columns, 1, sum(size for _, size in files), files=[utf8_name(path) for path, _ in files])


def _content(path: str, num_bytes: int) -> bytes:
    try:
        refuse_pointer(path, num_bytes)
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except ChunkReadError as exc:
        raise SplitError(utf8_name(path), exc.what, exc.hint) from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if len(data) != num_bytes:
        what = f"has {len(data):,} bytes, and had {num_bytes:,} when the split began."
        raise SplitError(utf8_name(path), what, "Give the same command again, when nobody changes it")
    return data


def _unreadable(path: str, exc: OSError) -> SplitError:
    what = f"cannot be read ({(exc.strerror or str(exc)).lower()})."
    return SplitError(utf8_name(path), what, "Mend that, or move it out of the folder")
