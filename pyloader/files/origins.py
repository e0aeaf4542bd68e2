"""Which command made which chunks: a directory that was added to has several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pyloader.files.manifest import ChunkEntry, Manifest

__all__ = ["Origin", "first_origins", "makers_of", "origins_of"]

_STANDARD_INPUT = "-"


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one command made: the next `num_chunks` chunks of a manifest, in the order of their names."""

    num_chunks: int  # how many
    command: str = ""  # the command; "" when it is not known
    dump: str = ""  # what it read, to be shown
    fingerprint: str = ""  # of its inputs and options
    content: str = ""  # of all its rows; "" when it is not known
    sizes: dict[str, int] = msgspec.field(default_factory=dict)  # how it was cut, where the command does not say it
    is_partial: bool = False  # whether other chunks that it made were joined since

    @property
    def can_be_repeated(self) -> bool:
        """Whether giving the command again would write the same chunks: standard input does not come twice."""
        is_split = bool(self.command) and not self.command.startswith(("pyloader index", "pyloader compact"))
        return is_split and not self.is_partial and self.dump != _STANDARD_INPUT


def origins_of(manifest: Manifest) -> list[Origin]:
    """Return who made the chunks, first to last; manifests of earlier versions know only the last command."""
    made_by, total = manifest.made_by, len(manifest.chunks)
    try:
        found = msgspec.convert(made_by.get("origins", []), list[Origin], strict=False)
        if found and sum(origin.num_chunks for origin in found) == total:
            return found
        kept = min(total, max(0, msgspec.convert(made_by.get("num_kept", 0), int)))
        last = msgspec.convert({**made_by, "num_chunks": total - kept}, Origin)
    except msgspec.ValidationError:
        return [Origin(num_chunks=total)]
    return [Origin(num_chunks=kept), last] if kept else [last]


def first_origins(manifest: Manifest, chunks: Sequence[ChunkEntry]) -> dict[str, Any]:
    """Return `made_by` of some chunks, when these are all that the first commands made; else nothing."""
    found, number = [], 0
    for origin in origins_of(manifest):
        if number < len(chunks):
            found.append(msgspec.to_builtins(origin))
            number += origin.num_chunks
    is_whole = number == len(chunks) and tuple(chunks) == manifest.chunks[:number]
    return {"origins": found} if is_whole else {}


def makers_of(manifest: Manifest, files: Iterable[str]) -> list[tuple[Origin, list[ChunkEntry]]]:
    """Return who made these chunks, with the chunks that each has made of them."""
    wanted, start, found = set(files), 0, []
    for origin in origins_of(manifest):
        chunks = manifest.chunks[start : start + origin.num_chunks]
        start += origin.num_chunks
        if chosen := [entry for entry in chunks if entry.file in wanted]:
            found.append((origin, chosen))
    return found
