"""Known inputs: which files a set of chunks has taken in, so that an append takes each of them once.

The list lies in the directory that was split into, and is read by writers alone.  A line for each file: the version
that took it in, its path relative to the directory, size, time of change and digest.  Standard input has no line.
A list whose lines speak of later versions than the manifests is of a set that is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from pyloader.errors import ChunkReadError, OutputDirError, SplitError
from pyloader.files import INPUTS_NAME, Manifest, utf8_name
from pyloader.write.file_digests import digest_of_file, joined_digest
from pyloader.write.inputs import InputFile
from pyloader.write.removing import version_of_chunk

__all__ = [
    "KnownInput",
    "NewInputs",
    "encode_inputs",
    "known_input",
    "new_inputs",
    "newest_version",
    "read_known_inputs",
]


class KnownInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that was taken in.

    Attributes:
      version: The version of the set that took it in.
      path: Relative to the directory of the list; absolute where the two have nothing in common.
      num_bytes: Its size.
      modified_ns: When it was changed last, nanoseconds since 1970.
      digest: Of what it holds, as `digest_of_file` has it; "" when it is not known.
      num_parts: In how many parts that was taken.
      column: The column that it was named for; "" where no column was.
    """

    version: Annotated[int, msgspec.Meta(ge=1)]
    path: str
    num_bytes: int
    modified_ns: int
    digest: str = ""
    num_parts: Annotated[int, msgspec.Meta(ge=1, le=2**24)] = 1
    column: str = ""


@dataclass(frozen=True)
class NewInputs:
    """What is new among inputs.

    Attributes:
      groups: Those that are new; the files of a group have the same rows.
      num_known: How many are known.
      aliases: Of the known ones, those that lie under another name or time than before.
    """

    groups: tuple[tuple[InputFile, ...], ...]
    num_known: int = 0
    aliases: tuple[KnownInput, ...] = field(default=())


def newest_version(found: Mapping[str, Manifest]) -> int:
    """Return the newest version of some sets, which count together; 0 where there is none.

    The names of chunks have a say: earlier versions of pyloader leave the number out of manifests that they write.
    """
    manifests = found.values()
    named = (version_of_chunk(chunk.source) for manifest in manifests for chunk in manifest.chunks)
    return max((*(manifest.version_number for manifest in manifests), *named), default=0)


def read_known_inputs(root: Path, found: Mapping[str, Manifest]) -> list[KnownInput]:
    """Return what the sets `found` in a directory have taken in.

    Raises:
      OutputDirError: the list is damaged.
    """
    path, newest = root / INPUTS_NAME, newest_version(found)
    try:
        lines = msgspec.json.Decoder(KnownInput).decode_lines(path.read_bytes()) if path.is_file() else []
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        remedy = "Remove it: then every input that is named counts as new, also one that was taken in before"
        raise OutputDirError(str(path), f"is damaged ({exc}).", remedy) from exc
    return [line for line in lines if line.version <= newest]


def encode_inputs(known: Iterable[KnownInput]) -> bytes:
    """Return what the list of these inputs holds."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in known)


def known_input(root: Path, file: InputFile, version: int, parts: Sequence[str] = ()) -> KnownInput:
    """Return the line of a file that a version takes in, with the digests of its parts."""
    return KnownInput(
        version=version,
        path=_listed_path(root, file.path),
        num_bytes=file.num_bytes,
        modified_ns=file.modified_ns,
        digest=joined_digest(parts) if parts and all(parts) else "",
        num_parts=len(parts) or 1,
        column=file.column,
    )


def new_inputs(root: Path, known: Sequence[KnownInput], groups: Iterable[tuple[InputFile, ...]]) -> NewInputs:
    """Return which inputs are new: nothing is read of one that has the name, size and time of a known one.

    What has the size of a known one, under another name or time, is read, and is known where its digest is.

    Raises:
      SplitError: a file has other content than when it was taken in under the same name; or one of several that belong
        together is known, and another is not.
    """
    by_path: dict[tuple[str, str], list[KnownInput]] = {}
    by_size: dict[tuple[str, int], list[KnownInput]] = {}
    for line in known:
        by_path.setdefault((line.column, line.path), []).append(line)
        by_size.setdefault((line.column, line.num_bytes), []).append(line)
    new, aliases, num_known, before = [], [], 0, set(known)
    for group in groups:
        found = [_known_as(root, file, by_path, by_size) for file in group]
        lines = [line for line in found if line is not None]
        if len(lines) == len(group) and len({line.version for line in lines}) == 1:
            num_known += 1
            aliases += [line for line in lines if line not in before]
            continue
        # What only looks like another file is none of it: labels may be the same for other images.
        mixed = [file for file, line in zip(group, found, strict=True) if line and (file.column, line.path) in by_path]
        if mixed:
            other = next((file for file, line in zip(group, found, strict=True) if line is None), group[0])
            what = f"belongs to {mixed[0].path}, which was taken in before, and was not taken in with it."
            raise SplitError(other.path, what, "Name the two alone, and take both in: --again")
        new.append(group)
    return NewInputs(tuple(new), num_known, tuple(aliases))


def _known_as(
    root: Path,
    file: InputFile,
    by_path: Mapping[tuple[str, str], Sequence[KnownInput]],
    by_size: Mapping[tuple[str, int], Sequence[KnownInput]],
) -> KnownInput | None:
    """Return the line of a known file, a new one where its name or time is new; None for a file that is not known."""
    here = known_input(root, file, 0)
    same_name = by_path.get((file.column, here.path), ())
    for line in same_name:
        if (line.num_bytes, line.modified_ns) == (here.num_bytes, here.modified_ns):
            return line
    digests: dict[int, str] = {}
    for line in by_size.get((file.column, here.num_bytes), ()):
        if line.digest and line.num_parts not in digests:
            try:
                digests[line.num_parts] = digest_of_file(file.path, line.num_parts)
            except ChunkReadError:  # damaged, which is said when it is split
                digests[line.num_parts] = ""
        if line.digest and line.digest == digests[line.num_parts]:
            return msgspec.structs.replace(line, path=here.path, modified_ns=here.modified_ns)
    if same_name:
        raise _changed(root, file, here, same_name[-1])
    return None


def _changed(root: Path, file: InputFile, here: KnownInput, before: KnownInput) -> SplitError:
    times = [f"{datetime.fromtimestamp(line.modified_ns / 1e9):%Y-%m-%d %H:%M:%S}" for line in (before, here)]
    what = f"is not what version {before.version} of {root}/ took in under this name: "
    what += f"that had {before.num_bytes:,} bytes, of {times[0]}; this has {here.num_bytes:,}, of {times[1]}."
    remedy = "Put what is new into a file of another name; or name this one alone, and take it whole: --again"
    return SplitError(file.path, what, remedy)


def _listed_path(root: Path, path: str) -> str:
    whole, directory = os.path.abspath(path), os.path.abspath(root)
    shares = os.path.commonpath([whole, directory]) != os.path.sep
    return utf8_name(os.path.relpath(whole, directory) if shares else whole)
