"""What the tasks of a split have in common, and how they run: in this process, or sent to another."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from pyloader.deliver import this_thread
from pyloader.errors import EngineError, import_optional
from pyloader.machine.memory import keep_freed_memory, return_freed_memory
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.request import Request
from pyloader.write.sizes import ChunkSizes
from pyloader.write.unique import UniqueRows
from pyloader.write.versions import versions

__all__ = ["Work", "forget_work", "packed", "run_task"]


@dataclass(frozen=True, eq=False)
class Work:
    """What all tasks of a kind have in common.

    Attributes:
      request: The options; without its inputs.
      input_format: One of INPUT_FORMATS.
      learnt: What is known of the columns, as JSON.
      made: Where chunks are written.
      aside: Where rows are put aside.
      cut: How the main output is cut while it is read; None when its rows are put aside.
      fans: Into how many ranges of keys each round of a shuffled split parts those before it; () without a shuffle.
      holdout_rule: As `pyloader.write.holdout` has it.
      syncs: Whether tasks see to it that chunks last through a power failure; else whoever takes the receipts does.
      versions: Of what decides about bytes, where the split was begun.
      import_path: Where user code was found there.
      working_dir: What relative names of inputs are relative to.
    """

    request: Request
    input_format: str
    learnt: bytes
    made: Path
    aside: Path
    cut: ChunkSizes | None
    fans: tuple[int, ...]
    holdout_rule: int
    syncs: bool
    versions: dict[str, str]
    import_path: tuple[str, ...]
    working_dir: str

    @property
    def keeps_lines(self) -> bool:
        """Whether rows are JSON lines that are checked, and run no code of the user."""
        return self.input_format == "jsonl" and self.request.encode is None and self.request.where is None

    def preparation(
        self, bad: Callable[[Exception, str, int, str], None], unique: UniqueRows | None = None
    ) -> tuple[Learnt, Preparation]:
        """Return what turns blocks into rows, and what it learns meanwhile."""
        learnt, rule = msgspec.json.decode(self.learnt, type=Learnt), self.holdout_rule
        return learnt, Preparation(learnt, self.request, self.input_format, bad, holdout_rule=rule, unique=unique)


def packed(work: Work) -> bytes:
    """Return `work` as it is sent to another process.

    Raises:
      TypeError: the user's `encode` or `where` cannot be sent; the message names the part that cannot.
      MissingDependencyError: cloudpickle is not installed.
    """
    import_optional("cloudpickle", wanted_by="A split in other processes")
    from pyloader.deliver.pickling import pack_function  # it imports cloudpickle

    sent, _ = pack_function(partial(_identity, work))
    return sent


def run_task(task: Callable[..., Any], work: Work | bytes, *args: Any) -> Any:
    """Return `task(work, *args)`; for packed work, what it raised comes back as a `Failure`."""
    if isinstance(work, Work):
        keep_freed_memory()
        return task(_of_thread(work, this_thread()), *args)
    try:
        return task(_unpacked(work, this_thread()), *args)
    except Exception as exc:
        from pyloader.deliver.pickling import Failure

        return Failure.of(exc, {})


@functools.lru_cache(maxsize=64)
def _of_thread(work: Work, thread: Any) -> Work:
    """Return the work of this thread: an encoder that is given by its name, or class, is made once a thread."""
    return replace(work, request=replace(work.request))


@functools.lru_cache(maxsize=64)
def _unpacked(work: bytes, thread: Any) -> Work:
    """Return the work that was sent, for this thread."""
    from pyloader.deliver.pickling import load_function

    loaded, _ = load_function(work)
    found: Work = loaded()
    if found.keeps_lines:
        keep_freed_memory()
    else:  # as rows, as Python's objects and as Arrow's arrays they are there several times
        return_freed_memory()
    if (here := versions(found.request.media.packages)) != found.versions:
        pairs = [(name, here.get(name, ""), other) for name, other in found.versions.items()]
        differing = [f"{name} {own or 'missing'} instead of {other}" for name, own, other in pairs if own != other]
        what = f"A worker on {os.uname().nodename} has {', '.join(differing)}, which may write other bytes."
        raise EngineError(what, "Install the same versions there, and give the same command again")
    output, scratch, began_in = found.made.parent.parent, found.aside, Path(found.working_dir)
    places = [(found.made, output), (scratch, scratch), (began_in, began_in)]
    if unseen := [shown for place, shown in places if not place.is_dir()]:
        what = f"{unseen[0]} cannot be seen by a worker on {os.uname().nodename}."
        raise EngineError(what, "Name a directory that all nodes see, and inputs that they see under the same names")
    if os.getcwd() != found.working_dir:
        os.chdir(found.working_dir)  # a worker of Ray has a directory of its own
    sys.path += [path for path in found.import_path if path not in sys.path]
    return found


def forget_work() -> None:
    """Let go of what the threads of this process have made for their tasks: an encoder may be a large model."""
    _of_thread.cache_clear()


def _identity(work: Work) -> Work:
    return work
