"""What the chunks of a set are like: those of an append follow them, in format and in size."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyloader.files import ChunkEntry, Manifest, form_of, origins_of
from pyloader.options import parse_bytes
from pyloader.write.formats import FORMATS
from pyloader.write.sizes import DEFAULT_CHUNK_BYTES, MIN_CHUNKS, ChunkSizes

__all__ = ["format_in_set", "said_sizes", "sizes_in_set", "sizes_of"]

_OPTIONS = {"--chunk-bytes": "chunk_bytes", "--chunk-samples": "chunk_samples", "--num-chunks": "num_chunks"}


def format_in_set(entries: Iterable[ChunkEntry]) -> str | None:
    """Return the format of chunks, one of FORMATS; None where they have several, or another."""
    forms = {form_of(entry.source) for entry in entries}
    return next((name for name, chunks in FORMATS.items() if {chunks.suffix} == forms), None)


def said_sizes(manifest: Manifest) -> dict[str, int]:
    """Return the size that was said when a set was first split, by its option; {} where none was said."""
    known = manifest.made_by.get("set_sizes")
    if isinstance(known, dict):
        return {name: value for name, value in known.items() if name in _OPTIONS.values() and type(value) is int}
    words: Sequence[str] = []
    try:
        words = shlex.split(origins_of(manifest)[0].command)
        found = {_OPTIONS[word]: value for word, value in itertools.pairwise(words) if word in _OPTIONS}
        return {name: parse_bytes(value) for name, value in found.items()}
    except (IndexError, ValueError):
        return {}


def sizes_of(said: Any) -> ChunkSizes | None:
    """Return sizes as a manifest has them; None where it has none, or none that make sense."""
    try:
        return ChunkSizes(**said) if said else None
    except (TypeError, ValueError):
        return None


def sizes_in_set(said: Mapping[str, int], entries: Sequence[ChunkEntry], raw_bytes: int = 0) -> ChunkSizes:
    """Return the sizes of the next chunks of a set.

    Where bytes or samples of a chunk were said, they hold on; where a number of chunks was, the largest chunk is the
    measure.  Where nothing was said, chunks grow with the set, as if all of it were split at once.

    Args:
      said: As `said_sizes` returns it.
      entries: The chunks that are there.
      raw_bytes: Of what is added, about; 0 when unknown.
    """
    found = sizes_of({name: said[name] for name in ("chunk_bytes", "chunk_samples") if name in said})
    if found is not None or not entries:
        return found or ChunkSizes()
    sizes = [entry.raw_bytes or entry.num_bytes for entry in entries]
    largest = max(1, *sizes)
    if "num_chunks" in said:
        return ChunkSizes(chunk_bytes=largest)
    even = -(-(sum(sizes) + raw_bytes) // MIN_CHUNKS)
    return ChunkSizes(chunk_bytes=max(largest, min(DEFAULT_CHUNK_BYTES, even)))
