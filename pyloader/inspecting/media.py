"""What columns of bytes hold, where these are images or sounds: how many, of which formats, how large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from pyloader.columns import Columns
from pyloader.files.image_headers import ImageHeader, ImageHeaderError, read_image_header
from pyloader.files.sound_headers import SoundHeaderError, sound_format
from pyloader.ragged import Ragged

__all__ = ["MediaSummary", "MediaTally", "byte_columns", "encoded_columns", "image_or_none", "shown_bytes"]

_SHOWN = 24  # bytes of a longer value
_SIDES_KEPT = 2**16  # different sizes; beyond that the middle is that of the first


class MediaSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one column of images, or of sounds, holds."""

    name: str  # its key
    kind: str  # "images" or "audio"
    formats: dict[str, int]  # "JPEG" and others -> how many rows are of it, most of them first
    num_others: int  # rows that are none, or end early
    # [width, height] in pixels: the one of fewest pixels, the median and the one of most; None for sounds
    smallest: tuple[int, int] | None = None
    middle: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None


class MediaTally:
    """Adds up what columns of bytes hold, chunk after chunk; its memory does not grow with the rows."""

    def __init__(self) -> None:
        self._formats: dict[str, dict[str, Counter[str]]] = {}  # column -> kind -> format -> rows
        self._others: Counter[str] = Counter()
        self._sizes: dict[str, Counter[tuple[int, int]]] = {}

    def watch(self, parts: Iterable[Columns]) -> Iterator[Columns]:
        """Yield `parts` unchanged, and take them in."""
        for part in parts:
            for name, values in byte_columns(part):
                self._add(name, values)
            yield part

    def _add(self, name: str, values: Iterable[bytes]) -> None:
        formats = self._formats.setdefault(name, {"images": Counter(), "audio": Counter()})
        sizes = self._sizes.setdefault(name, Counter())
        for value in values:
            if header := image_or_none(value):
                formats["images"][header.format] += 1
                if (size := (header.width, header.height)) in sizes or len(sizes) < _SIDES_KEPT:
                    sizes[size] += 1
            elif found := _sound_or_none(value):
                formats["audio"][found] += 1
            else:
                self._others[name] += 1

    def summaries(self) -> tuple[MediaSummary, ...]:
        """Return what was added up, of the columns of which more than half are images, or sounds."""
        found = []
        for name, kinds in sorted(self._formats.items()):
            total = sum(sum(formats.values()) for formats in kinds.values()) + self._others[name]
            for kind, formats in kinds.items():
                if (number := sum(formats.values())) * 2 > total:
                    summary = MediaSummary(
                        name=name, kind=kind, formats=dict(formats.most_common()), num_others=total - number
                    )
                    found.append(self._with_sizes(summary) if kind == "images" else summary)
        return tuple(found)

    def _with_sizes(self, summary: MediaSummary) -> MediaSummary:
        ordered = sorted(self._sizes[summary.name].items(), key=lambda item: (item[0][0] * item[0][1], item[0]))
        half, seen, middle = sum(number for _, number in ordered) / 2, 0, ordered[0][0]
        for size, number in ordered:
            seen, middle = seen + number, size
            if seen >= half:
                break
        return msgspec.structs.replace(summary, smallest=ordered[0][0], middle=middle, largest=ordered[-1][0])


def byte_columns(columns: Columns) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield the columns whose rows are bytes; without rows that are missing."""
    for name, values in columns.items():
        if isinstance(values, Ragged) and values.is_bytes:
            yield name, values
        elif isinstance(values, list) and any(isinstance(value, bytes) for value in values[:1000]):
            yield name, (value for value in values if isinstance(value, bytes))


def encoded_columns(columns: Columns) -> tuple[str, ...]:
    """Return the columns whose first row is an encoded image, or sound."""
    firsts = ((name, next(iter(values), b"")) for name, values in byte_columns(columns))
    return tuple(name for name, first in firsts if image_or_none(first) or _sound_or_none(first))


def image_or_none(data: bytes) -> ImageHeader | None:
    """Return the header of an encoded image; None for other bytes."""
    try:
        return read_image_header(data)
    except ImageHeaderError:
        return None


def _sound_or_none(data: bytes) -> str:
    try:
        return sound_format(data[:12])
    except SoundHeaderError:
        return ""


def shown_bytes(data: bytes) -> str:
    """Return bytes in one line: what they are and how many, or the first of them."""
    num_bytes = f"{len(data):,} bytes"
    if header := image_or_none(data):
        return f"{header.format}, {header.width:,} x {header.height:,} pixels, {num_bytes}"
    if len(data) <= 2 * _SHOWN:
        return str(data)
    sound = _sound_or_none(data)
    return f"{sound}, {num_bytes}" if sound else f"{data[:_SHOWN]!r}… {num_bytes}"
