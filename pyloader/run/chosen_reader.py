"""The chosen reader: what reads the chunks of a loader, and what stands for the nulls in them."""

from __future__ import annotations

import os
from copy import copy

from pyloader.datareader import DataReader, can_read_parts
from pyloader.errors import DataDirError
from pyloader.files import ChunkList, suffix_of
from pyloader.read import Nulls, ParquetReader, nulls_of, reader_for
from pyloader.run.arguments import LoaderArguments

__all__ = ["chosen_reader"]


def chosen_reader(
    given: LoaderArguments, datareader: DataReader | None, chunks: ChunkList
) -> tuple[DataReader, Nulls | None]:
    """Return what reads the chunks, and what stands for the nulls in them.

    Args:
      given: The options.
      datareader: The reader that they name for these chunks; None takes the one that the chunks name.
      chunks: What is read.

    Raises:
      TypeError: the chunks are parts of files, and the reader reads whole ones.
      DataDirError: no reader is known for them, or they are of several kinds.
    """
    # Compared with None: a part of the user's may have a length, and be empty.
    is_ours = datareader is None
    reader = _reader_of(chunks) if datareader is None else datareader
    known = chunks.manifest.columns if chunks.manifest is not None and is_ours else ()
    _check_reads_parts(reader, chunks)
    nulls = nulls_of(given.nulls, known, gaps_make_lists=reader.gaps_make_lists)
    if nulls is not None and isinstance(reader, ParquetReader):  # which fills them itself, faster than others can after
        reader = copy(reader)  # other loaders may have the same one
        reader.nulls = nulls
    return reader, nulls


def _check_reads_parts(reader: DataReader, chunks: ChunkList) -> None:
    """Raise where a chunk is a part of a file, and the reader reads whole files.

    Raises:
      TypeError: so it is.
    """
    if chunks.has_parts and not can_read_parts(reader):
        name = type(reader).__name__
        what = f"data_dir={chunks.place!r} has files that were indexed in parts, and {name} has no read_part beside"
        hint = "Write read_part(path, part), or name the files themselves in a list: data_dir=[...]"
        raise TypeError(f"{what} its read_file. {hint}")


def _reader_of(chunks: ChunkList) -> DataReader:
    """Return the reader that the chunks' manifest or suffix names.

    Raises:
      DataDirError: no reader is known for the suffix, or the chunks have several.
    """
    reader = reader_for(chunks.file(0), manifest=chunks.manifest)
    if chunks.manifest is not None:
        return reader
    first_of_kind = {suffix_of(name): name for name in reversed(chunks.names)}
    for suffix, name in first_of_kind.items():
        if type(reader_for(os.path.join(chunks.root, name))) is not type(reader):
            what = f"holds chunks of different kinds, {chunks.names[0]} and {name}."
            raise DataDirError(str(chunks.root), what, f"Name those of one kind: data_dir='{chunks.root}/*{suffix}'")
    return reader
