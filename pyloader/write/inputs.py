"""What was named on the command line -> the sources to read, in order."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from pyloader.columns import ColumnSpec
from pyloader.errors import SplitError
from pyloader.files import packing_of, store_scheme, suffix_of
from pyloader.files.stores import parse_address
from pyloader.read.dialect import Dialect
from pyloader.write.array_files import array_file, arrays_as_columns, npz_members, with_ragged
from pyloader.write.arrow_files import arrow_sources
from pyloader.write.blocks import STANDARD_INPUT, Block, Source
from pyloader.write.input_files import InputFile, InputName, InputNames, as_names, input_file
from pyloader.write.line_files import blocks_of_lines
from pyloader.write.media import MEDIA, MediaOptions
from pyloader.write.media_folders import media_folder
from pyloader.write.media_lists import media_list
from pyloader.write.record_files import record_source
from pyloader.write.request import Request
from pyloader.write.stored_inputs import stored_inputs
from pyloader.write.tables import blocks_of_fields
from pyloader.write.token_files import Windows, token_source
from pyloader.write.unknown_inputs import directory_error, suffix_error

__all__ = ["INPUT_FORMATS", "Inputs", "find_inputs", "input_groups"]

_Blocks: TypeAlias = Callable[..., Generator[Block, None, None]]

_SUFFIXES = {
    "jsonl": (".jsonl", ".ndjson", ".jsonlines", ".json"), "text": (".txt", ".text"), "csv": (".csv",),
    "tsv": (".tsv",), "npy": (".npy",), "npz": (".npz",), "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather"), "tokens": (".bin",),
    "arrayrecord": (".arrayrecord", ".array_record", ".ar"),
}  # fmt: skip
INPUT_FORMATS = (*_SUFFIXES, *MEDIA)

_STREAMS = ("jsonl", "text", "csv", "tsv")  # of lines
_CAN_BE_CUT = ("jsonl", "text")  # at any newline: in the others it may stand within quotes

# What unpacked text comes to, in packed bytes; only an estimate, for the sizes of units and the free space.
_TYPICAL_RATIO = 4


@dataclass(frozen=True)
class Inputs:
    """The dump.

    Attributes:
      format: One of INPUT_FORMATS.
      sources: In the order in which their rows come.
      files: What tells this dump from another; empty for standard input.
      raw_bytes: Of all files unpacked, an estimate where they are packed; 0 for standard input.
      schema: The Arrow schema of the columns that are kept, for Parquet and Arrow files; None for others.
      windows: How files of tokens are cut; None for others.
      leftover_tokens: After the last whole window of each file of tokens, in no row.
      labels: What the numbers in the column "label" of a folder of images or sounds stand for.
      waits: Whether only all rows together say what the columns are.
    """

    format: str
    sources: tuple[Source, ...]
    files: tuple[InputFile, ...] = ()
    raw_bytes: int = 0
    schema: Any = None
    windows: Windows | None = None
    leftover_tokens: int = 0
    labels: tuple[str, ...] = ()
    waits: bool = False

    @property
    def num_bytes(self) -> int:
        """On disk; 0 for standard input."""
        return sum(source.num_bytes for source in self.sources)

    @property
    def is_standard_input(self) -> bool:
        """Whether it can be read only once."""
        return not self.files


def find_inputs(request: Request, *, known_labels: Sequence[str] = (), record: ColumnSpec | None = None) -> Inputs:
    """Find the files, and what they are.

    Args:
      request: What names them, and says how they are read.
      known_labels: Of a folder of images or sounds: those that have a number already.
      record: The array that each record of ArrayRecord files holds; None where they are bytes.

    Raises:
      SplitError: a file is missing, of no known format, or of another format than the others.
      StoreError: a store cannot be asked.
    """
    names, input_format, columns, windows = request.inputs, request.input_format, request.columns, request.windows
    if input_format is not None and input_format not in INPUT_FORMATS:
        raise ValueError(f"there is no input format {input_format!r}; there are {', '.join(INPUT_FORMATS)}")
    read = columns if columns is None else list(dict.fromkeys([*columns, *request.looked_at]))
    if isinstance(names, Mapping):
        _refuse_windows("npy", windows)
        return _arrays({column: _expand(as_names(given), column) for column, given in _kept(names, read).items()})
    given = as_names(names)
    if "-" in given:
        _refuse_windows("standard input", windows)
        return _standard_input(len(given), request)
    if (found_media := _media(given, input_format, request.media, known_labels)) is not None:
        _refuse_windows(found_media.format, windows)
        return found_media
    files = tuple(_expand(given))
    formats = [input_format or _format_of(file.path, windows) for file in files]
    for file, found in zip(files, formats, strict=True):
        if found != formats[0]:
            what = f"is {found}, but {files[0].path} is {formats[0]}."
            raise SplitError(file.path, what, "Split them into directories of their own, or say --from")
    blocks = _blocks(formats[0], request)
    if formats[0] == "tokens":
        return _tokens(files, windows)
    _refuse_windows(formats[0], windows)
    if formats[0] == "npy":
        return replace(_arrays({"data": files}), files=files)
    if formats[0] == "npz":
        members = [npz_members(file, read, request.fill or {}) for file in files]
        paths = [file.path for file in files]
        sources, sizes = zip(*map(arrays_as_columns, paths, members), strict=True)
        return Inputs("npz", sources, files, sum(sizes))
    if formats[0] == "arrayrecord":
        records = tuple(record_source(file, record) for file in files)
        return Inputs("arrayrecord", records, files, sum(source.raw_bytes for source in records))
    if blocks is None:
        tables, schema = arrow_sources(files, formats[0], columns=read, fill=request.fill)
        for name in set(read or ()).difference(columns or ()):
            schema = schema.remove(schema.get_field_index(name))
        return Inputs(formats[0], tables, files, sum(table.raw_bytes for table in tables), schema)
    lines = tuple(_lines(file, blocks, formats[0]) for file in files)
    return Inputs(formats[0], lines, files, sum(source.raw_bytes for source in lines))


def _lines(file: InputFile, blocks: _Blocks, input_format: str) -> Source:
    path, size, is_packed = file.path, file.num_bytes, bool(packing_of(file.path))
    raw_bytes = size * _TYPICAL_RATIO if is_packed else size
    read = partial(blocks, path, path=file) if file.is_stored else partial(blocks, path)
    of_store = file if file.is_stored else None
    if input_format not in _CAN_BE_CUT:
        return Source(path, size, read, raw_bytes, is_read_through=True, file=of_store)
    length = 0 if is_packed else size
    return Source(path, size, read, raw_bytes, length, is_stream=is_packed, is_read_through=True, file=of_store)


def _blocks(name: str, request: Request) -> _Blocks | None:
    """Return what reads the blocks of a file of lines; None for one of another format."""
    delimiter, quote = request.delimiter, request.quote
    if name in ("csv", "tsv"):
        dialect = Dialect.of_file(f".{name}", delimiter=delimiter, quote=quote)
        return partial(
            blocks_of_fields, dialect=dialect, columns=request.columns, quoted_newlines=request.quoted_newlines
        )
    if delimiter is not None or quote is not None or not request.quoted_newlines:
        said = "delimiter and quote are" if request.quoted_newlines else "quoted_newlines is"
        raise ValueError(f"{said} for csv and tsv, and this is {name}. Say what it is: --from csv")
    # Where the user named the format, text may look like anything.
    form = None if name == "text" and request.input_format is not None else name
    return partial(blocks_of_lines, form=form) if name in _STREAMS else None


def _kept(names: Mapping[str, Any], columns: Sequence[str] | None) -> Mapping[str, Any]:
    # All of them where none is kept: there is an error to come, and it says what there is.
    return {name: value for name, value in names.items() if columns is None or name in columns} or names


def _standard_input(num_names: int, request: Request) -> Inputs:
    input_format = request.input_format
    if num_names > 1:
        raise ValueError("- is standard input, and stands alone: name only -, or only files")
    if input_format is None:
        raise ValueError("standard input has no suffix to go by. Say what it is: --from jsonl (or text, csv, tsv)")
    if input_format not in _STREAMS:
        raise ValueError(f"standard input cannot be {input_format}. Write it to a file first")
    blocks = _blocks(input_format, request)
    assert blocks is not None
    source = Source(STANDARD_INPUT, 0, partial(blocks, STANDARD_INPUT), is_stream=True)
    return Inputs(input_format, (source,))


def _arrays(columns: Mapping[str, Sequence[InputFile]]) -> Inputs:
    files = tuple(file for group in columns.values() for file in group)
    for file in files:
        if suffix_of(file.path) not in _SUFFIXES["npy"]:
            raise SplitError(file.path, "is no .npy file by its name.", "Columns are given as image=x.npy label=y.npy")
    arrays = {column: [array_file(file) for file in group] for column, group in columns.items()}
    source, raw_bytes = arrays_as_columns(" ".join(file.path for file in files), with_ragged(arrays))
    return Inputs("npy", (source,), files, raw_bytes)


def input_groups(names: InputNames, columns: Sequence[str] | None = None) -> list[tuple[InputFile, ...]]:
    """Return the files that are named, those with the same rows together; nothing is read.

    Args:
      names, columns: Of a request.

    Raises:
      SplitError: a file is missing.
    """
    if isinstance(names, Mapping):
        found = [_expand(as_names(given), column) for column, given in _kept(names, columns).items()]
        is_even = len({len(files) for files in found}) == 1
        return list(zip(*found, strict=True)) if is_even else [tuple(file for files in found for file in files)]
    given = as_names(names)
    if "-" not in given and (folder := _folder(given)) is not None:
        return [(file,) for file in folder.files]
    return [] if "-" in given else [(file,) for file in _expand(given)]


def _tokens(files: tuple[InputFile, ...], windows: Windows | None) -> Inputs:
    if windows is None:
        what = "A .bin file is taken for tokens, one after another. Say how many make a sample: --window 1025"
        raise SplitError(files[0].path, "does not say where a sample begins.", what)
    sources, leftover = zip(*(token_source(file, windows) for file in files), strict=True)
    raw_bytes = sum(source.raw_bytes for source in sources)
    return Inputs("tokens", sources, files, raw_bytes, windows=windows, leftover_tokens=sum(leftover))


def _refuse_windows(what: str, windows: Windows | None) -> None:
    if windows is not None:
        raise ValueError(f"window is for files of tokens, and this is {what}. If it is tokens, say so: --from tokens")


def _media(
    names: Sequence[InputName], input_format: str | None, options: MediaOptions, known_labels: Sequence[str]
) -> Inputs | None:
    """Return the images, or sounds, of a folder or a list; None where what is named is neither."""
    if options.path_column is not None:
        files = _expand(names)
        listed = media_list([file.path for file in files], input_format, options)
        raw_bytes = sum(source.raw_bytes for source in listed.sources)
        return Inputs(listed.kind.name, listed.sources, tuple(files), raw_bytes, waits=not listed.is_even)
    found = _folder(names, input_format, known_labels) if input_format in (None, *MEDIA) else None
    if found is None and input_format in MEDIA:
        what = f"is no folder of {MEDIA[input_format].nouns}."
        hint = "Name one, alone, or with files in it; or a list of their paths: --path-column NAME"
        raise SplitError(os.fspath(names[0]), what, hint)
    if options.max_side is not None and (found is None or found.format != "images"):
        raise ValueError("max_side is for images, and this is none: name a folder of images, or a list of their paths")
    return found


def _folder(
    names: Sequence[InputName],
    input_format: str | None = None,
    known_labels: Sequence[str] = (),
) -> Inputs | None:
    """Return the images, or sounds, of the folder that is named first, or those of its files that are named after it.

    None where that is no such folder, or something else is named with it.
    """
    folder, *only = [os.fspath(name) for name in names]
    if not os.path.isdir(folder) or not all(name.startswith(os.path.join(folder, "")) for name in only):
        return None
    found = media_folder(
        folder,
        [file.path for file in _expand(only)],
        input_format=input_format,
        known_labels=known_labels,
        other_suffixes=[suffix for suffixes in _SUFFIXES.values() for suffix in suffixes],
    )
    if found is None:
        return None
    files = tuple(InputFile(*file) for file in found.files)
    raw_bytes = sum(source.raw_bytes for source in found.sources)
    return Inputs(found.kind.name, found.sources, files, raw_bytes, labels=found.labels)


def _expand(names: Sequence[InputName], column: str = "") -> list[InputFile]:
    files: list[InputFile] = []
    for name in names:
        found = _found(name, column)
        if twice := {file.path for file in files}.intersection(file.path for file in found):
            raise SplitError(min(twice), "is named twice.", "Name each file once")
        files += found
    return files


def _found(given: InputName, column: str) -> list[InputFile]:
    if isinstance(given, InputFile):
        return [given]
    name = os.fspath(given)
    if store_scheme(name).lower() == "file":
        name = f"/{parse_address(name).path}"
    if store_scheme(name):
        return stored_inputs(name, column)
    if os.path.isdir(name):
        raise directory_error(name, _SUFFIXES)
    found = [name]
    if not os.path.exists(name) and not (found := sorted(filter(os.path.isfile, glob.glob(name, recursive=True)))):
        from pyloader.files import no_such_place  # it brings what knows of stores

        hint = "" if glob.has_magic(name) else no_such_place(name).hint
        raise SplitError(name, "there is no such file.", hint)
    return [input_file(path, column) for path in found]


def _format_of(path: str, windows: Windows | None = None) -> str:
    for name, suffixes in _SUFFIXES.items():
        if suffix_of(path) in suffixes:
            return "tokens" if name == "npy" and windows is not None else name
    raise suffix_error(path, _SUFFIXES)
