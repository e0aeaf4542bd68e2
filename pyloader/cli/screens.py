"""How the commands look: aligned blocks and tables that fit the terminal, one-line samples, bars, JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from pyloader.cli.escaping import json_escaped, one_line

__all__ = [
    "as_block",
    "as_json",
    "as_table",
    "counted",
    "cut_at_edge",
    "one_line",
    "progress_bar",
    "progress_over_chunks",
    "python_text",
    "screen_width",
    "share_bar",
    "shortened",
]

T = TypeVar("T")


def screen_width() -> int:
    """Return how many characters a line may have: the terminal's width, 80 when there is none."""
    return max(40, shutil.get_terminal_size().columns)


def cut_at_edge(line: str) -> str:
    """Return as much of `line` as fits on the screen; all of it where it goes into a file or a pipe."""
    has_edge = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shortened(line, screen_width()) if has_edge else line


def counted(number: int, noun: str) -> str:
    """Return "1 chunk" or "7,318 chunks"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def python_text(text: str) -> str:
    """Return `text` as one writes it in Python, in double quotes where it can be."""
    return f'"{text}"' if text.isprintable() and not {'"', "\\"} & set(text) else repr(text)


def shortened(text: str, width: int) -> str:
    """Return as much of `text` as fits into `width` terminal cells, with "…" where it was cut."""
    if len(text) <= width and text.isascii():
        return text
    cells = 0
    for index, character in enumerate(text):
        cells += _cells(character)
        if cells > width:
            kept = text[:index]
            while kept and sum(map(_cells, kept)) > width - 1:
                kept = kept[:-1]
            return f"{kept}…"
    return text


def as_block(rows: Sequence[tuple[str, str]], *, label_width: int = 0) -> str:
    """Return labels with their texts beside them, one text column for all.

    Args:
      rows: (label, text).  A text breaks only where it has three spaces, so that a command stays in one piece to copy.
      label_width: The least room for labels, in characters.
    """
    rows = [(one_line(label), one_line(text)) for label, text in rows]
    indent = max([label_width, *(len(label) for label, _ in rows)]) + 3
    lines = []
    for label, text in rows:
        flowed = [""]
        for part in text.split("   "):
            longer = f"{flowed[-1]}   {part}" if flowed[-1] else part
            if flowed[-1] and indent + len(longer) > screen_width():
                flowed.append(part)
            else:
                flowed[-1] = longer
        lines += [f"{'' if number else label:{indent}}{line}".rstrip() for number, line in enumerate(flowed)]
    return "\n".join(lines)


def as_table(rows: Sequence[Sequence[str]], *, right: Collection[int] = (), gap: int = 3, cut: bool = True) -> str:
    """Return rows of texts in aligned columns.

    Args:
      rows: As many texts each; the first row may be titles.
      right: The columns to align at the right, counted from 0.
      gap: How many spaces are between two columns.
      cut: Whether a line ends at the screen's width, where there is a screen.
    """
    cells = [list(map(one_line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = (
            f"{text:>{width}}" if column in right else f"{text:{width}}"
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        line = (gap * " ").join(padded).rstrip()
        lines.append(cut_at_edge(line) if cut else line)
    return "\n".join(lines)


def share_bar(share: float, width: int) -> str:
    """Return a bar of `width` characters, of which a share in [0, 1] is full; readable without colour."""
    full, empty = ("▇", "▁") if _can_show("▇▁") else ("#", ".")
    num_full = round(share * width)
    return full * num_full + empty * (width - num_full)


def as_json(value: Any) -> str:
    """Return `value` as JSON, indented."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # names of files that are not UTF-8
        text = json.dumps(msgspec.to_builtins(value), indent=2)
    return json_escaped(text)


def progress_over_chunks(what: str, *, quiet: bool) -> Callable[[Sequence[T]], Iterable[T]]:
    """Return what shows a bar on stderr while chunks are walked; only on a terminal, and not when `quiet`."""

    return lambda chunks: progress_bar(chunks, what, " chunks", quiet=quiet)


def progress_bar(items: Iterable[T], what: str, unit: str, *, quiet: bool, leave: bool = True) -> Iterable[T]:
    """Return `items`, walked under a bar on stderr; only on a terminal, and not when `quiet`."""
    from tqdm import tqdm

    hidden = True if quiet else None
    width = screen_width() - 3  # a terminal that writes ^C behind the bar begins no new line for that
    bar: Iterable[T] = tqdm(items, desc=what, unit=unit, disable=hidden, leave=leave, ncols=width)
    return bar


def _can_show(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
