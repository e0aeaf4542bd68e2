"""Who runs the tasks of a split, and how many there are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pyloader.deliver.engines import Engine, opened_engine
from pyloader.errors import MissingDependencyError, import_optional
from pyloader.write.beginning import known_arrays, text_columns
from pyloader.write.inputs import Inputs
from pyloader.write.job import Job, Terms
from pyloader.write.known_inputs import KnownInput
from pyloader.write.layout import Layout
from pyloader.write.preparing import Learnt
from pyloader.write.request import Request
from pyloader.write.runner import Run
from pyloader.write.set_chunks import sizes_of

__all__ = ["Workers", "chosen_engine"]

_WORTH_PROCESSES = 2**28  # bytes of a dump, for which the start of a process is little
# Of JSON lines that keep bytes and order: most of the work is to compress them, outside of the interpreter's lock.
_FEW_THREADS = 2
_log = logging.getLogger("pyloader")


@dataclass(frozen=True)
class Workers:
    """Where tasks run.

    Attributes:
      engine: As `split` has it; None chooses.
      number: How many run at once.
      address: Of a running Ray cluster, or None.
    """

    engine: str | Engine | None
    number: int
    address: str | None = None

    def carry_out(
        self,
        request: Request,
        inputs: Inputs,
        job: Job,
        terms: Terms,
        layout: Layout,
        *,
        waits: bool,
        show: bool,
        known: Sequence[KnownInput] | None,
    ) -> int:
        """Run the tasks of a split that has begun; return how many chunks were written.

        Args:
          request: What is to be done.
          inputs: The dump.
          job: What is done is noted there.
          terms: What the split was begun with.
          layout: Format and form of the rows.
          waits: Whether all rows are put aside before chunks are written, whatever their sizes.
          show: Whether to show bars.
          known: The inputs that were taken in before; None keeps no list of inputs.
        """
        request = replace(request, sizes=sizes_of(terms.sizes) or request.sizes)
        cut = None if waits else request.sizes.while_reading(inputs.raw_bytes)
        root = Path(request.output_dir)
        learnt = Learnt(layout=layout, fields={name: {"text"} for name in text_columns(terms, root)})
        if layout.wants_arrays:
            layout.arrays = tuple(known_arrays(terms, root))
            layout.ragged = {spec.name: {spec.dtype} for spec in layout.arrays if spec.kind == "ragged"}
        kind = self.engine if self.engine is not None else chosen_engine(request, inputs, self.number)
        sends = kind not in ("inline", "thread")
        with opened_engine(kind, self.number, address=self.address) as opened:
            run = Run(
                request, inputs, job, terms, learnt,
                cut=cut, engine=opened, num_workers=self.number, sends=sends, show=show, known=known,
            )  # fmt: skip
            return run.run()


def chosen_engine(request: Request, inputs: Inputs, num_workers: int) -> str:
    """Return where tasks run when nobody said: in processes, when that is worth their start and can be done."""
    if num_workers == 1:
        return "inline"
    if inputs.raw_bytes < _WORTH_PROCESSES or (num_workers <= _FEW_THREADS and _keeps_lines(request, inputs)):
        return "thread"
    try:
        import_optional("cloudpickle", wanted_by="A split in other processes")
        from pyloader.deliver.pickling import pack_function  # it imports cloudpickle

        pack_function(partial(_known, request.encode, request.where))
    except (TypeError, MissingDependencyError) as exc:
        _log.info("split in threads, since not all can be sent to processes: %s", exc)
        return "thread"
    return "process"


def _keeps_lines(request: Request, inputs: Inputs) -> bool:
    """Tell whether lines are only checked, and written as they are."""
    changes = (
        request.shuffle, request.encode, request.where, request.fill, request.columns, request.holdout, request.unique,
    )  # fmt: skip
    return inputs.format == "jsonl" and request.output_format in (None, "jsonl", "jsonl.zst") and not any(changes)


def _known(*given: Any) -> tuple[Any, ...]:
    return given
