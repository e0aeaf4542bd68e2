"""One run of a split, from what is done to its end: units are scattered, chunks written, manifests last."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from pyloader.deliver.engines import CallError, Engine, as_finished, is_death
from pyloader.errors import OutputDirError, SplitError, StoreError, WriteError
from pyloader.files.atomic import remove
from pyloader.files.no_room import no_room
from pyloader.machine.bars import progress_bar
from pyloader.write.beginning import chunk_sets
from pyloader.write.chunk_files import is_whole
from pyloader.write.chunks_plan import ChunkTask, chunk_tasks
from pyloader.write.feeding import pieces_of
from pyloader.write.file_digests import PartDigest
from pyloader.write.finishing import Finish, content_of
from pyloader.write.input_digests import digests_of_inputs, files_of_no_unit
from pyloader.write.inputs import Inputs
from pyloader.write.job import Job, Terms
from pyloader.write.joining import joined
from pyloader.write.key_pass import KeyPass
from pyloader.write.known_inputs import KnownInput, known_input
from pyloader.write.left_out import BadRow, TooManyBadRowsError, refuse, write_down
from pyloader.write.lines import Lines
from pyloader.write.placing import place_all
from pyloader.write.preparing import Learnt
from pyloader.write.probing import check_can_be_added, probed
from pyloader.write.ranges import Put, RangeTask, fan_outs, put_by_ranges, put_by_units, range_tasks
from pyloader.write.receipts import ReadReceipt, UnitReceipt
from pyloader.write.refusals import death_of, deleting, discarding, stopped_by, stopped_with
from pyloader.write.removing import output_directory
from pyloader.write.request import Request
from pyloader.write.sizes import ChunkSizes
from pyloader.write.storing import Storing, ToStore
from pyloader.write.table_cuts import cut_tables
from pyloader.write.tasks import read_through, scatter, scatter_again, write
from pyloader.write.unique import Dropped
from pyloader.write.units import Unit, bytes_of_unit, plan_units, slowest
from pyloader.write.work import Work, forget_work, packed, run_task

__all__ = ["Run"]


class Run:
    """Runs the tasks of a split that have not been run before.

    Args:
      request: What the user asked for.
      inputs: The dump.
      job: What is done is noted here.
      terms: What the split was begun with.
      learnt: What is known of the rows before any is read.
      cut: How the main output is cut while it is read; None when that takes the totals.
      engine: Runs the tasks.
      num_workers: How many it runs at once.
      sends: Whether it runs them in other processes.
      show: Whether to show bars.
      known: The inputs that were taken in before; None keeps no list of inputs.
    """

    def __init__(
        self,
        request: Request,
        inputs: Inputs,
        job: Job,
        terms: Terms,
        learnt: Learnt,
        *,
        cut: ChunkSizes | None,
        engine: Engine,
        num_workers: int,
        sends: bool,
        show: bool,
        known: Sequence[KnownInput] | None = (),
    ) -> None:
        self._request, self._inputs, self._job, self._terms = request, inputs, job, terms
        self._learnt, self._cut, self._show, self._known = learnt, cut, show, known
        self._engine, self._num_workers, self._sends = engine, num_workers, sends
        self._root, self._storing = request.root, Storing(request, job, terms)
        self._unit_bytes = bytes_of_unit(inputs.raw_bytes, request.sizes.bytes_in(inputs.raw_bytes))
        self._fans = fan_outs(inputs.raw_bytes) if request.shuffle else ()
        self._num_passes = 1 + max(1, len(self._fans))
        self._num_planned: int | None = None
        self._streams: dict[str, str] = {}  # cut into pieces while they were read -> their digests
        self._keys = KeyPass(request, job, terms, is_read_once=inputs.is_standard_input)

    def run(self) -> int:
        """Split, or go on; return how many chunks were written."""
        found = self._job.chunk_files()
        try:
            try:
                self._begin()
                receipts = self._scattered()
                tasks = self._gathered(receipts)
                finish = Finish(
                    self._request, self._inputs.format, self._job, self._terms, self._learnt, receipts,
                    self._inputs.labels, [*self._keys.earlier(), self._keys.part],
                )  # fmt: skip
                manifests, names = finish.manifests(tasks)
                if rest := self._storing.rest(self._work(self._learnt), names):
                    with self._bar("store", len(rest), " chunks", 0) as bar:
                        self._run(rest, bar, "storing a chunk")
                self._job.name_chunks(names)
            except _Refusal as exc:
                self._job.fail()  # the same command goes on when it allows more bad rows
                refuse(exc.row, exc.error, self._request.max_skipped)
            except _OtherStreamError as exc:
                what = "holds a split that was stopped, and what comes through the pipe now is not what came then."
                remedy = f"Give that up, and begin again: {discarding(self._root)}"
                raise OutputDirError(f"{self._root}/", what, remedy) from exc
            except SplitError:
                self._job.end()  # the dump is at fault: nobody can go on with this
                raise
            self._keys.keep()
            place_all(self._root, manifests, inputs=self._known_then(receipts))
        except SplitError:
            raise
        except KeyboardInterrupt as exc:
            raise KeyboardInterrupt(self._stopped()) from exc
        except Exception as exc:
            full = exc if isinstance(exc, WriteError | StoreError) else no_room(self._job.directory, exc)
            if full is None:
                self._job.fail()
                raise
            raise stopped_by(full) from exc
        finally:
            forget_work()
        return len({file for _, _, file in names} - found)

    def _begin(self) -> None:
        """Find out where large tables can be cut; then the units are known, and their lines can be counted."""
        bar = partial(self._bar, "find rows", self._inputs.num_bytes, "B", 0)
        try:
            self._inputs = cut_tables(self._inputs, self._unit_bytes, self._engine, max_ahead=self._max_ahead, bar=bar)
        except CallError as exc:
            self._raise(None, exc.error)
        self._lines = Lines(self._inputs, self._unit_bytes)
        self._files_of_no_unit = [] if self._known is None else files_of_no_unit(self._inputs, self._request.columns)

    def _scattered(self) -> list[UnitReceipt]:
        """Read the dump; return what came of each unit, in order, when `self._learnt` is what all of them say."""
        begun = self._learnt.begun()
        # A pipe is read again: nobody knows whether the same comes through it.
        if ReadReceipt().name not in self._job.receipts or self._inputs.is_standard_input:
            units = self._units()
            rule = self._terms.holdout_rule
            ahead = probed(units, begun, self._request, self._inputs.format, self._lines, holdout_rule=rule)
            check_can_be_added(begun, self._request, self._inputs.format, self._terms)
            dropped: dict[str, Dropped] = {}
            if self._request.unique:
                # What comes through a pipe stays on disk, for it is read twice.
                pieces = [*ahead, *units] if self._inputs.is_standard_input else []
                dropped = self._dropped(iter(pieces or itertools.chain(ahead, units)), begun)
                ahead, units = pieces, iter(()) if pieces else self._units()
            self._scatter(itertools.chain(ahead, units), begun, dropped)
        found = [receipt for receipt in self._job.receipts.values() if isinstance(receipt, UnitReceipt)]
        receipts = sorted(found, key=lambda receipt: receipt.name)
        if not any(sum(receipt.num_rows.values()) for receipt in receipts):
            kept = " that --where keeps" if self._request.where else ""
            kept += " whose key is new" if self._request.unique else ""
            raise SplitError(self._request.shown_inputs(), f"holds no samples{kept}.")
        if self._terms.expected_content not in ("", content_of(receipts)):
            what = f"holds other rows than when {self._root}/ was made of it, so it cannot mend chunks there."
            remedy = f"Add them with --append, or start over: {deleting(chunk_sets(self._root))}"
            raise SplitError(self._request.shown_inputs(), what, remedy)
        self._check_bad_rows()
        self._learnt = joined(receipts, self._request, self._inputs, self._lines, unit_bytes=self._unit_bytes)
        write_down(self._lines.left_out(self._job.receipts), self._request.quarantine)
        return receipts

    def _units(self) -> Iterator[Unit]:
        for unit in plan_units(self._inputs.sources, self._unit_bytes):
            if unit.stream is None:
                yield unit
                continue
            digest = PartDigest()
            yield from pieces_of(unit, self._job.aside, self._unit_bytes, digest)
            self._streams[unit.stream.name] = digest.hexdigest()

    def _dropped(self, units: Iterator[Unit], begun: Learnt) -> dict[str, Dropped]:
        """Return the rows of each unit whose key an earlier row has."""
        with self._bar("compare keys", self._inputs.num_bytes, "B", 0) as bar:

            def passed(unit: Unit) -> None:
                if not self._inputs.is_standard_input:
                    self._forget_piece(unit)
                bar.update(unit.num_bytes)

            work, size, ahead = self._work(begun.begun()), self._inputs.raw_bytes, self._max_ahead
            try:
                return self._keys.dropped(units, work, self._engine, size, max_ahead=ahead, passed=passed)
            except CallError as exc:
                self._raise(exc.key, exc.error)

    def _scatter(self, units: Iterator[Unit], begun: Learnt, dropped: Mapping[str, Dropped]) -> None:
        work = self._work(begun.begun())
        title = "read" if self._cut else f"pass 1 of {self._num_passes}, scatter"
        with self._bar(title, self._inputs.num_bytes or None, "B", 0) as bar:
            names: set[str] = set()
            begun_at: dict[str, tuple[Unit, float]] = {}  # when the units at work were begun, the first before all

            def calls() -> Iterator[tuple[Unit | ToStore | None, tuple[Any, ...]]]:
                for name, file in self._files_of_no_unit:
                    if name not in self._job.receipts:
                        yield None, (read_through, work, name, file)
                for unit in units:
                    names.add(unit.name)
                    yield from self._storing.units(work, unit.name)
                    done = self._job.receipts.get(unit.name)
                    if not isinstance(done, UnitReceipt):
                        begun_at[unit.name] = unit, time.monotonic()
                        yield unit, (scatter, work, unit, dropped.get(unit.name))
                        continue
                    self._forget_piece(unit)
                    if done.piece != unit.digest:
                        raise _OtherStreamError
                    bar.update(unit.num_bytes)

            num_rows = 0
            self._check_bad_rows()  # of runs before this one
            try:
                for unit, receipt in as_finished(self._engine, run_task, calls(), max_ahead=self._max_ahead):
                    self._job.add(receipt)
                    if not isinstance(unit, Unit):
                        continue
                    self._forget_piece(unit)
                    num_rows += sum(receipt.num_rows.values())
                    del begun_at[unit.name]
                    bar.set_postfix_str(f"{num_rows:,} samples{slowest(begun_at)}", refresh=False)
                    bar.update(unit.num_bytes)
                    if receipt.bad:
                        self._check_bad_rows()
            except CallError as exc:
                self._raise(exc.key, exc.error)
        if any(isinstance(found, UnitReceipt) and found.name not in names for found in self._job.receipts.values()):
            raise _OtherStreamError
        self._job.add(ReadReceipt(streams=self._streams))

    def _known_then(self, receipts: Sequence[UnitReceipt]) -> list[KnownInput]:
        """Return the inputs that are known when the chunks are in their places; none where the list stays as it is."""
        if self._known is None or self._terms.mended:
            return []
        parts = digests_of_inputs(self._inputs, self._unit_bytes, receipts, self._job.receipts, self._files_of_no_unit)
        root, version = None if self._request.place else self._root, self._terms.data_version
        new = [known_input(root, file, version, parts.get(file.path, ())) for file in self._inputs.files]
        return [*self._known, *new]

    def _gathered(self, receipts: Sequence[UnitReceipt]) -> dict[str, list[ChunkTask]]:
        """Write the chunks of rows that were put aside; return their tasks, by output."""
        is_cut, shown = self._cut is not None, self._request.shown_inputs()
        tasks = chunk_tasks(self._request, receipts, self._put(receipts), cut=is_cut, shown=shown)
        every = [task for of_output in tasks.values() for task in of_output]
        cut = sum(len(entries) for receipt in receipts for entries in receipt.chunks.values())
        self._num_planned = cut + len(every)
        wanted = [task for task in every if task.name not in self._job.receipts and not self._is_in_place(task)]
        if not wanted:
            return tasks
        work = self._work(self._learnt)
        calls = self._storing.among(work, ((task, (write, work, task.name, task.parts)) for task in wanted))
        title = f"pass {self._num_passes} of {self._num_passes}, write"
        with self._bar(title, len(every), " chunks", len(every) - len(wanted)) as bar:
            self._run(calls, bar, "writing a chunk")
        return tasks

    def _put(self, receipts: Sequence[UnitReceipt]) -> dict[str, list[Put]]:
        """Put the rows of a large shuffle aside once more, in as many rounds as it takes; return where all rows are."""
        outputs = self._request.outputs
        put = {output: put_by_units(receipts, index, output) for index, output in enumerate(outputs)}
        for level in range(1, len(self._fans)):
            tasks: dict[str, list[RangeTask]] = {}
            for index, output in enumerate(outputs):
                num_rows = sum(receipt.num_rows[output] for receipt in receipts)
                num_bytes = sum(receipt.raw_bytes[output] for receipt in receipts)
                max_rows = num_rows * self._unit_bytes // max(1, num_bytes)
                tasks[output] = list(range_tasks(index, put[output], self._fans, level, max_rows=max_rows))
            every = [task for of_output in tasks.values() for task in of_output]
            wanted = [task for task in every if task.name not in self._job.receipts]
            work = self._work(self._learnt)
            calls = ((task, (scatter_again, work, task)) for task in wanted)
            title = f"pass {level + 1} of {self._num_passes}, scatter"
            with self._bar(title, len(every), " ranges", len(every) - len(wanted)) as bar:
                self._run(calls, bar, "putting rows aside")
            put = {output: put_by_ranges(of_output, self._job.receipts) for output, of_output in tasks.items()}
            self._job.end_round(level)
        return put

    def _run(self, calls: Iterable[tuple[Any, tuple[Any, ...]]], bar: Any, doing: str) -> None:
        """Run tasks that read what was put aside, or bring chunks to a store."""
        try:
            for task, receipt in as_finished(self._engine, run_task, calls, max_ahead=self._max_ahead):
                self._job.add(receipt)
                bar.update(not (isinstance(task, ToStore) and doing == "writing a chunk"))
        except CallError as exc:
            error = exc.error
            raise death_of(doing, error) if is_death(error) else error from error.__cause__

    def _is_in_place(self, task: ChunkTask) -> bool:
        """Tell whether a chunk that is to be mended is whole."""
        listed = self._terms.mended.get(task.output, [])
        directory, is_stored = output_directory(self._root, task.output), self._request.place is not None
        return task.number < len(listed) and is_whole(directory, listed[task.number], is_stored=is_stored)

    def _work(self, learnt: Learnt) -> Work | bytes:
        work = Work(
            request=replace(self._request, inputs=()),
            input_format=self._inputs.format,
            learnt=msgspec.json.encode(learnt),
            made=self._job.made.absolute(),
            aside=self._job.aside.absolute(),
            cut=self._cut,
            fans=self._fans,
            holdout_rule=self._terms.holdout_rule,
            syncs=self._sends,
            versions=self._terms.versions,
            import_path=tuple(sys.path),
            working_dir=os.getcwd(),
        )
        return packed(work) if self._sends else work

    @property
    def _max_ahead(self) -> int:
        return 1 if self._num_workers == 1 and not self._sends else 2 * self._num_workers

    def _forget_piece(self, unit: Unit) -> None:
        for source, _ in unit.spans if unit.digest else ():
            remove(Path(source.path))

    def _raise(self, unit: Unit | ToStore | str | None, error: BaseException) -> NoReturn:
        """Raise the error of a unit, with the line in the file; or of another task."""
        if not isinstance(unit, Unit):
            doing = {ToStore: "storing a chunk", str: "comparing keys"}.get(type(unit), "reading a file")
            raise death_of(doing, error) if is_death(error) else error
        if isinstance(error, TooManyBadRowsError):
            cause = error.__cause__
            rows = self._lines.of_rows(unit, list(error.rows))
            write_down(rows[:-1], self._request.quarantine)
            raise _Refusal(rows[-1], self._lines.located(unit, cause) if isinstance(cause, SplitError) else cause)
        if isinstance(error, SplitError):
            raise self._lines.located(unit, error) from error.__cause__
        raise death_of(f"reading {unit.spans[0][0].name}", error) if is_death(error) else error

    def _check_bad_rows(self) -> None:
        """Refuse rows of several units that are too many together, over all runs."""
        allowed = self._request.max_skipped
        finished = [receipt for receipt in self._job.receipts.values() if isinstance(receipt, UnitReceipt)]
        if sum(len(receipt.bad) for receipt in finished) > allowed:
            rows = self._lines.left_out(self._job.receipts)
            write_down(rows[:allowed], self._request.quarantine)
            raise _Refusal(rows[allowed], None)

    def _stopped(self) -> str:
        if self._job.is_worth_keeping:
            return stopped_with(len(self._job.chunk_files()), self._num_planned, self._root)
        self._job.end()
        return "stopped before anything was kept."

    def _bar(self, what: str, total: int | None, unit: str, initial: int) -> Any:
        return progress_bar(what, total=total, unit=unit, initial=initial, hidden=not self._show)


class _OtherStreamError(Exception):
    """What is done is of another stream than the one that is read; that one may come once more."""


class _Refusal(Exception):
    """One bad row too many."""

    def __init__(self, row: BadRow, error: BaseException | None) -> None:
        super().__init__(row, error)
        self.row, self.error = row, error
