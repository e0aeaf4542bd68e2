"""Real text -> a raw dump, one JSON object per line: Python's own library, or the user's file."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from pyloader.errors import SplitError
from pyloader.files import open_chunk

__all__ = ["TextDump", "library_files", "library_texts", "texts_of", "write_text_dump"]

_BLOCK_CHARACTERS = 2**20


@dataclass(slots=True)
class TextDump:
    """What was written."""

    num_samples: int = 0  # lines in the dump; the ids are 0 .. num_samples - 1
    num_bytes: int = 0  # the text's size as UTF-8
    # int64 array of shape [256]: how often each byte occurs in the text
    byte_counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))


def library_files() -> list[Path]:
    """Return the standard library's own source files, sorted."""
    root = Path(sysconfig.get_path("stdlib"))
    foreign = {"site-packages", "dist-packages"}
    return [path for path in sorted(root.rglob("*.py")) if foreign.isdisjoint(path.relative_to(root).parts)]


def library_texts() -> Iterator[str]:
    """Yield the text of each source file of the standard library."""
    return (path.read_text(encoding="utf-8", errors="replace") for path in library_files())


def texts_of(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the text in a .jsonl file (the first column whose value is a str), or in any other file as it stands.

    Raises:
      SplitError: a line of the .jsonl is no JSON object, or has no text.
    """
    shown = os.fspath(path)
    with open_chunk(path) as file:
        if ".jsonl" not in Path(path).suffixes:
            while block := file.read(_BLOCK_CHARACTERS):
                yield block
            return
        for number, line in enumerate(file, start=1):
            try:
                row = msgspec.json.decode(line, type=dict)
            except msgspec.DecodeError as exc:
                raise SplitError(shown, f"is not a JSON object ({exc}).", "Mend or drop the line", number) from exc
            text = next((value for value in row.values() if isinstance(value, str)), None)
            if text is None:
                raise SplitError(shown, "has no column of text.", "The demo learns from text", number)
            yield text


def write_text_dump(
    target: str | os.PathLike[str], texts: Iterable[str], *, max_bytes: int, piece_bytes: int = 128
) -> TextDump:
    """Write `texts` as {"id": 0, "text": "..."} lines of at most `piece_bytes` bytes of text each.

    Stops at the text that brings it to `max_bytes` bytes, so that a dump of any size will do.
    """
    dump = TextDump()
    encoder = msgspec.json.Encoder()
    with open(target, "wb") as file:
        for text in texts:
            data = text.encode(errors="replace")
            dump.byte_counts += np.bincount(np.frombuffer(data, np.uint8), minlength=256)
            dump.num_bytes += len(data)
            for piece in _pieces(data, piece_bytes):
                file.write(encoder.encode({"id": dump.num_samples, "text": piece}) + b"\n")
                dump.num_samples += 1
            if dump.num_bytes >= max_bytes:
                break
    return dump


def _pieces(data: bytes, piece_bytes: int) -> Iterator[str]:
    """Cut UTF-8 text into pieces of at most `piece_bytes` bytes, never inside a character."""
    start = 0
    while start < len(data):
        stop = min(start + piece_bytes, len(data))
        while stop < len(data) and data[stop] & 0xC0 == 0x80:
            stop -= 1
        yield data[start:stop].decode()
        start = stop
