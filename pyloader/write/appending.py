"""What an append takes in: the inputs that the set does not know yet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyloader.files import INPUTS_NAME, origins_of, write_whole
from pyloader.write.beginning import check_can_be_added_to, chunk_sets
from pyloader.write.input_files import InputFile, InputNames, as_names
from pyloader.write.inputs import input_groups
from pyloader.write.known_inputs import KnownInput, encode_inputs, new_inputs, read_known_inputs
from pyloader.write.placing import finish_placing
from pyloader.write.request import Request
from pyloader.write.same_set import other_command
from pyloader.write.set_chunks import format_in_set

__all__ = ["Taking", "what_to_take"]

_NAMED = 20  # inputs, in the command that a manifest keeps


@dataclass(frozen=True)
class Taking:
    """What a split takes in.

    Attributes:
      request: With the inputs that are new; None when none is.
      made_by: The command that makes the same chunks again.
      known: The inputs that were taken in before.
      num_known: How many of those that were named are among them.
      output_format: That of the set that is added to, where there is one; None leaves it open.
      note: That the set was made by another command; "" otherwise.
    """

    request: Request | None
    made_by: str
    known: Sequence[KnownInput] = ()
    num_known: int = 0
    output_format: str | None = None
    note: str = ""


def what_to_take(request: Request, *, overwrite: bool) -> Taking:
    """Return what a split takes in; its directory is locked.

    An append passes over what is known, unless it is the very command that took it in: that one mends its chunks.

    Raises:
      SplitError: an input is missing, or has changed since it was taken in; or the directory holds something else.
    """
    root = request.root
    finish_placing(root)
    found = {} if overwrite else chunk_sets(root)
    known = read_known_inputs(root, found)
    entries = [entry for manifest in found.values() for entry in manifest.chunks]
    output_format = format_in_set(entries) if request.append else None
    first, now = other_command(found, request.command()) if request.append else "", request.command()
    note = f"the set was made by {first}, and is added to by {now}" if first else ""
    everything = Taking(request, request.command(), known, output_format=output_format, note=note)
    if request.again or not (request.append and known):
        return everything
    groups = input_groups(request.inputs, request.columns)
    fingerprint = request.fingerprint([file for line in zip(*groups, strict=True) for file in line])
    is_ours = all(fingerprint in {origin.fingerprint for origin in origins_of(manifest)} for manifest in found.values())
    if is_ours or not groups:
        return everything
    new = new_inputs(None if request.place else root, known, groups, shown=str(root))
    known = [*known, *new.aliases]
    if not new.num_known:
        return replace(everything, known=known)
    if not new.groups:
        check_can_be_added_to(root, found, request)
        if new.aliases:
            write_whole(root / INPUTS_NAME, encode_inputs(known))
        return replace(everything, request=None, known=known, num_known=new.num_known)
    taking = replace(request, inputs=_names(request.inputs, new.groups))
    is_short = len(new.groups) == 1 or (len(new.groups) <= _NAMED and not isinstance(request.inputs, Mapping))
    made_by = (taking if is_short else request).command()
    return replace(everything, request=taking, made_by=made_by, known=known, num_known=new.num_known)


def _names(given: InputNames, groups: Sequence[tuple[InputFile, ...]]) -> InputNames:
    if not isinstance(given, Mapping):
        files = [file for group in groups for file in group]
        paths: list[str | os.PathLike[str]] = [file if file.is_stored else file.path for file in files]
        first = as_names(given)[0]
        return [first, *paths] if os.path.isdir(first) else paths  # a folder of images, and some of its files
    columns = dict.fromkeys(file.column for group in groups for file in group)
    return {column: [file.path for group in groups for file in group if file.column == column] for column in columns}
