"""Why nothing is written into a directory, and what to do about it.

There are three ways on from a split that was stopped, each with a word of its own: the same command goes on with it,
--discard-stopped gives up what it began, and --overwrite starts over, which is never offered without the number of
samples that it deletes.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pyloader.errors import ObjectChangedError, OutputDirError, SplitError, StoreError, WorkerDiedError, WriteError
from pyloader.files import MANIFEST_NAME, Manifest, origins_of

__all__ = [
    "death_of",
    "deleting",
    "discarding",
    "foreign_chunks",
    "made_by_an_earlier_version",
    "other_holdout",
    "stopped_by",
    "stopped_split",
    "stopped_with",
]


def death_of(doing: str, error: BaseException) -> WorkerDiedError:
    """Return the error for a task that no worker came to the end of."""
    what = f"Each worker that was {doing} died ({type(error).__name__})."
    return WorkerDiedError(what, "Was it out of memory? Give the same command again, with fewer --workers: it goes on")


def deleting(found: Mapping[str, Manifest], option: str = "--overwrite") -> str:
    """Return how one starts over, with what that deletes."""
    number = sum(manifest.num_samples for manifest in found.values())
    return f"{option}, which deletes its {number:,} sample{'s' * (number != 1)}"


def discarding(root: Path) -> str:
    """Return the command that gives up a stopped split."""
    return f"pyloader split {shlex.quote(os.path.join(root, ''))} --discard-stopped"


def stopped_by(error: WriteError | StoreError) -> SplitError:
    """Return the error for a split that a full disk, or a store, has stopped."""
    if isinstance(error, ObjectChangedError):
        hint = "Give the same command again once nothing is written there any more"
    else:
        then = f"{error.hint}, then give" if error.hint else "Give"
        hint = f"{then} the same command again: it goes on from here"
    return SplitError(error.path, error.what, hint)


def stopped_with(num_chunks: int, num_planned: int | None, root: Path) -> str:
    """Return what a split says that was stopped by Ctrl-C and can go on; `num_planned` is None while it is unknown."""
    of = f" of {num_planned:,}" if num_planned else ""
    return (
        f"stopped with {num_chunks:,}{of} chunk{'s' * ((num_planned or num_chunks) != 1)} written. "
        f"The same command goes on from there; {discarding(root)} gives up what was begun."
    )


def stopped_split(root: Path, stopped: str, command: str) -> OutputDirError:
    """Return the error for a directory where a split was stopped, when another writer comes."""
    that = f"a split that was stopped, of another command: {stopped}."
    what = f"holds {that}  This one is: {command}." if command else f"holds {that}"
    remedy = f"Go on with that, or give it up, which deletes no chunk that was there before it: {discarding(root)}"
    return OutputDirError(f"{root}/", what, remedy)


def foreign_chunks(root: Path, found: Mapping[str, Manifest], dump: str | None) -> OutputDirError:
    """Return the error for a directory with the chunks of another split than that of `dump`.

    Args:
      root: The directory.
      found: What it holds.
      dump: The inputs as they were typed; None for a `ChunkWriter`, whose options are named as Python has them.
    """
    output, manifest = next(iter(found.items()))
    number = sum(len(manifest.chunks) for manifest in found.values())
    held = f"holds {number:,} chunk{'s' * (number != 1)}"
    origins = [origin for origin in origins_of(manifest) if origin.dump]
    same = [origin for origin in origins if origin.dump == dump and origin.can_be_repeated]
    if same:
        what = f"{held}, among them those of this dump as it was, or split otherwise: {same[-1].command}. "
        what += "Chunks of a dump that has changed since cannot be mended."
    else:
        made = datetime.fromtimestamp((root / output / MANIFEST_NAME).stat().st_mtime)
        named = {"": "", "-": "standard input, "}
        other = origins[-1].dump if origins else ""
        what = f"{held} of another dump ({named.get(other, f'{other}, ')}{made:%Y-%m-%d})."
    append, overwrite = ("append=True", "overwrite=True") if dump is None else ("--append", "--overwrite")
    return OutputDirError(f"{root}/", what, f"Choose another directory, or {append}, or {deleting(found, overwrite)}")


def made_by_an_earlier_version(root: Path, found: Mapping[str, Manifest]) -> OutputDirError:
    """Return the error for damaged chunks that the same command made with an earlier version, which cut otherwise."""
    what = "holds damaged chunks that an earlier version of pyloader made of this dump; this one cuts it otherwise."
    return OutputDirError(f"{root}/", what, f"Put them back from a copy, or start over: {deleting(found)}")


def other_holdout(
    root: Path, found: Mapping[str, Manifest], outputs: Collection[str], holdout: Mapping[str, float]
) -> OutputDirError | None:
    """Return the error for samples to be added that would be held out otherwise than those before; None for the same.

    Args:
      root: The directory.
      found: What it holds.
      outputs: Where the new samples would go.
      holdout: The shares that are to be held out of them.
    """
    before = next((shares for manifest in found.values() if (shares := _holdout_of(manifest))), {})
    if set(found) <= set(outputs) and before in ({}, dict(holdout)):
        return None
    said, now = _options(before), _options(holdout)
    sets = " and ".join(f"{output}/" for output in sorted(found) if output)
    if said:
        what = f"was split with {said}, and this is {f'with {now}' if now else 'without it'}."
        remedy = f"Add to it with the same: --append {said}"
    elif sets:
        what = f"holds the chunk sets {sets}, and these samples would go to others."
        remedy = f"Name one of them: {root}/{min(output for output in found if output)}/"
    else:
        what, remedy = f"was split without --holdout, and this is with {now}.", "Leave --holdout out"
    return OutputDirError(f"{root}/", f"cannot be added to: it {what}", f"{remedy}, or choose another directory")


def _options(holdout: Mapping[str, float]) -> str:
    return " ".join(f"--holdout {name}={share:g}" for name, share in holdout.items())


def _holdout_of(manifest: Manifest) -> dict[str, Any]:
    """Return the shares held out of what a manifest lists; earlier versions wrote them only into the command."""
    said = manifest.made_by.get("holdout")
    if isinstance(said, dict):
        return said
    shares = re.findall(r"--holdout ([A-Za-z0-9][\w-]*)=([0-9.e-]+)", str(manifest.made_by.get("command", "")))
    try:
        return {name: float(share) for name, share in shares}
    except ValueError:
        return {}
