"""Images and sounds as a dump has them: which files they are, and what is made of each before it is a row."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pyloader.errors import SplitError
from pyloader.files import longest_line, named_by_content, utf8_name
from pyloader.files.image_headers import IMAGE_SUFFIXES, read_image_header
from pyloader.files.sound_headers import SOUND_SUFFIXES, check_sound
from pyloader.options import format_bytes

__all__ = [
    "FETCH_OR_REMOVE",
    "LIST_SUFFIXES",
    "MEDIA",
    "MediaKind",
    "MediaOptions",
    "kind_of_file",
    "read_media",
    "unreadable",
]


class MediaKind(NamedTuple):
    """A kind of files of which each is a sample.

    Attributes:
      name: That of the input format.
      column: What the column of encoded bytes is called.
      noun: One of them.
      nouns: Several.
      suffixes: Of their files.
      check: Raises ValueError for bytes that are none, with the rest of a sentence.
    """

    name: str
    column: str
    noun: str
    nouns: str
    suffixes: tuple[str, ...]
    check: Callable[[bytes], object]

    def has(self, name: str) -> bool:
        """Tell whether a file is called as one of this kind is."""
        return os.path.splitext(name)[1].lower() in self.suffixes and not name.startswith(".")


FETCH_OR_REMOVE = "Fetch it again, or remove it (--check lists all such files)"  # what to do with a bad file

LIST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".jsonlines", ".parquet", ".pq", ".txt")  # of lists of paths

# Input format -> kind.
MEDIA = {
    "images": MediaKind("images", "image", "image", "images", IMAGE_SUFFIXES, read_image_header),
    "audio": MediaKind("audio", "audio", "sound", "sounds", SOUND_SUFFIXES, check_sound),
}


def kind_of_file(name: str) -> MediaKind | None:
    """Return the kind that a file is of by its name; None for any other file."""
    return next((kind for kind in MEDIA.values() if kind.has(name)), None)


@dataclass(frozen=True, kw_only=True)
class MediaOptions:
    """What is asked of images and sounds.

    Attributes:
      max_side: The longer side that images have at most, in pixels; None leaves all of them as they are.
      quality: Of the JPEG that is made of a larger one, 1 to 95.
      path_column: The column of a list that holds the paths of the files; None where the input is no list.
      media_root: The folder that these paths are in, and relative to; None is that of the list.
    """

    max_side: int | None = None
    quality: int = 90
    path_column: str | None = None
    media_root: str | None = None

    def __post_init__(self) -> None:
        if self.max_side is not None and self.max_side < 1:
            raise ValueError(f"max_side must be at least 1 pixel, got {self.max_side}")
        if not 1 <= self.quality <= 95:
            raise ValueError(f"quality must be 1 to 95, got {self.quality}")
        if self.max_side is None and self.quality != 90:
            raise ValueError("quality is that of images that are scaled down: give max_side as well")
        if self.media_root is not None and self.path_column is None:
            raise ValueError("media_root is where the paths of a list lead: give path_column as well")

    def words(self) -> list[str]:
        """Return how it is given on the command line."""
        words = []
        for option, value in (
            ("--max-side", self.max_side), ("--quality", self.quality if self.max_side else None),
            ("--path-column", self.path_column), ("--media-root", self.media_root),
        ):  # fmt: skip
            words += [] if value is None else [option, utf8_name(str(value))]
        return words

    @property
    def packages(self) -> tuple[str, ...]:
        """What decides about the bytes of images that are made anew."""
        return () if self.max_side is None else ("pillow",)


def read_media(kind: MediaKind, path: str, num_bytes: int) -> bytes | SplitError:
    """Return the bytes of a file that is a row.

    Args:
      kind: What it is.
      path: The file.
      num_bytes: Its size when the split began.

    Returns:
      The bytes; or what makes it a bad row: it cannot be read, is of no such kind, or ends early.

    Raises:
      SplitError: the file has changed since the split began.
    """
    if num_bytes > longest_line():
        what = f"has {format_bytes(num_bytes)}, more than a quarter of the memory."
        return SplitError(utf8_name(path), what, "Cut it into several")
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except OSError as exc:
        return unreadable(path, exc)
    if len(data) != num_bytes:
        what = f"has {len(data):,} bytes, and had {num_bytes:,} when the split began."
        raise SplitError(utf8_name(path), what, "Give the same command again, when nobody changes it")
    try:
        kind.check(data)
    except ValueError as exc:
        error = named_by_content(SplitError(path, f"{exc}.", FETCH_OR_REMOVE))
        return SplitError(utf8_name(path), error.what, error.hint)
    return data


def unreadable(path: str, exc: OSError) -> SplitError:
    """Return the error for a file or folder that cannot be read."""
    what = f"cannot be read ({(exc.strerror or str(exc)).lower()})."
    return SplitError(utf8_name(path), what, "Mend that, or move it away")
