"""Sources of a mixture, as they are typed: NAME=DIR for each."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from pyloader.files.stores import printable

__all__ = ["source_words", "typed_sources"]


def typed_sources(words: Sequence[str], names: Sequence[str], command: str) -> dict[str, str]:
    """Return where the chunks of each source are.

    Args:
      words: What was typed, NAME=DIR each.
      names: The sources that there are; a name may have a "=" in it.
      command: What the command begins with, for the error.

    Raises:
      ValueError: a source lacks, or is typed twice, or a word names none.
    """
    found: dict[str, str] = {}
    wanted = " ".join(f"{shlex.quote(f'{name}=')}DIR" for name in names)
    for word in words:
        name = max((name for name in names if word.startswith(f"{name}=")), key=len, default=None)
        if name is None:
            shown = printable(word)
            raise ValueError(f"{shown!r} names no source of this mixture. Name the chunks of each: {command} {wanted}")
        if name in found:
            raise ValueError(f"the source {name!r} was typed twice: {command} {wanted}")
        found[name] = word[len(name) + 1 :]
    if lacking := [name for name in names if not found.get(name)]:
        raise ValueError(f"the source {lacking[0]!r} was not typed. Name the chunks of each: {command} {wanted}")
    return found


def source_words(places: Mapping[str, str]) -> str:
    """Return sources as they are typed, without what is secret in an address."""
    return " ".join(shlex.quote(f"{name}={printable(place)}") for name, place in places.items())
