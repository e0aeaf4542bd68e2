"""Streams that can be read only from their beginning on, cut into pieces that tasks can read: packed files, pipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import xxhash

from pyloader.errors import ChunkReadError
from pyloader.files import count_newlines
from pyloader.files.no_room import no_room
from pyloader.write.blocks import BLOCK_BYTES, WHOLE, Source, ends_early, opened
from pyloader.write.file_digests import PartDigest
from pyloader.write.units import Unit

__all__ = ["pieces_of"]


def pieces_of(unit: Unit, directory: Path, piece_bytes: int, whole: PartDigest) -> Iterator[Unit]:
    """Yield the pieces of a stream, each a file of whole lines, and a unit of its own.

    A piece is a function of the stream's bytes and of `piece_bytes` alone.  Whoever has used a piece removes its file.

    Args:
      unit: The unit of the stream.
      directory: Where the files go.
      piece_bytes: About how large a piece is; it ends where a line does.
      whole: Takes every byte of the stream.

    Raises:
      SplitError: the stream is damaged, or ends early.
      WriteError: the disk is full.
    """
    source = unit.stream
    assert source is not None
    number, first_line, rest = 0, 1, b""
    try:
        with opened(source.opens) as stream:
            while True:
                path = directory / f"piece-{unit.index:06d}-{number:06d}"
                digest, size, num_lines = xxhash.xxh3_128(), 0, 0
                with open(path, "wb") as file:
                    try:
                        while block := rest or stream.read(BLOCK_BYTES):
                            end = block.find(b"\n", max(0, piece_bytes - size - 1)) + 1 or len(block)
                            is_full = block[end - 1 : end] == b"\n" and size + end >= piece_bytes
                            block, rest = block[:end], block[end:]
                            file.write(block)
                            digest.update(block)
                            whole.update(block)
                            size += len(block)
                            num_lines += count_newlines(block)
                            if is_full:
                                break
                    except OSError as exc:
                        raise no_room(path, exc) or exc from exc
                if not size and number:
                    path.unlink()
                    return
                yield _unit_of(unit, source, path, number, first_line, digest.hexdigest())
                number, first_line = number + 1, first_line + num_lines
    except ChunkReadError as exc:
        raise ends_early(source.opens, exc) from exc


def _unit_of(unit: Unit, source: Source, path: Path, piece: int, first_line: int, digest: str) -> Unit:
    assert isinstance(source.blocks, partial)
    # Only the first piece has a beginning to be looked at.
    form = source.blocks.keywords.get("form") if piece == 0 else None
    more = {"form": form} if "form" in source.blocks.keywords else {}
    read = replace(
        source, path=str(path), file=None, is_read_through=False, blocks=partial(source.blocks, path=str(path), **more)
    )
    return replace(unit, piece=piece, spans=((read, WHOLE),), first_line=first_line, digest=digest)
