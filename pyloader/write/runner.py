"""One run of a split, from what is done to its end: units are scattered, chunks written, manifests last."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import xxhash

from pyloader.deliver.engines import CallError, Engine, as_finished
from pyloader.errors import SplitError, WriteError
from pyloader.files import MANIFEST_NAME, ChunkEntry, Manifest, no_room, read_manifest
from pyloader.files.atomic import remove
from pyloader.machine.bars import progress_bar
from pyloader.options import format_bytes
from pyloader.write.beginning import chunk_sets
from pyloader.write.blocks import BLOCK_BYTES, Block
from pyloader.write.chunk_files import check_number, check_same_columns, is_whole, new_manifest
from pyloader.write.chunks_plan import ChunkTask, chunk_tasks, named_chunks
from pyloader.write.feeding import pieces_of
from pyloader.write.inputs import Inputs
from pyloader.write.job import CONTENT_RULE, ChunkReceipt, Job, ReadReceipt, Terms, UnitReceipt
from pyloader.write.left_out import BadRow, TooManyBadRowsError, refuse, write_down
from pyloader.write.line_files import lines_before
from pyloader.write.placing import place_all
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.record_values import unfit_together
from pyloader.write.refusals import deleting, discarding
from pyloader.write.removing import output_directory
from pyloader.write.request import Request
from pyloader.write.sizes import ChunkSizes
from pyloader.write.tasks import Work, packed, run_task, scatter, write
from pyloader.write.units import Unit, bytes_of_unit, plan_units

__all__ = ["Run", "num_buckets"]

_SEGMENT_BYTES = 2**23  # of one bucket, over all units
_MAX_BUCKETS = 2**12
_UNKNOWN_BYTES = 2**32  # what standard input is taken to hold


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
    ) -> None:
        self._request, self._inputs, self._job, self._terms = request, inputs, job, terms
        self._learnt, self._cut, self._show = learnt, cut, show
        self._engine, self._num_workers, self._sends = engine, num_workers, sends
        self._root = Path(request.output_dir)
        self._unit_bytes = bytes_of_unit(inputs.raw_bytes, request.sizes.bytes_in(inputs.raw_bytes))
        self._num_planned: int | None = None
        self._found: set[str] = set()

    def run(self) -> int:
        """Split, or go on; return how many chunks were written."""
        self._found = self._job.chunk_files()
        try:
            try:
                receipts = self._scattered()
                tasks = self._gathered(receipts)
                manifests, num_written = self._named(receipts, tasks)
            except _Refusal as exc:
                self._job.fail()  # the same command goes on when it allows more bad rows
                refuse(exc.row, exc.error, self._request.max_skipped)
            except SplitError:
                self._job.end()  # the dump is at fault: nobody can go on with this
                raise
            place_all(self._root, manifests)
        except SplitError:
            raise
        except KeyboardInterrupt as exc:
            raise KeyboardInterrupt(self._stopped()) from exc
        except Exception as exc:
            full = exc if isinstance(exc, WriteError) else no_room(self._job.directory, exc)
            if full is None:
                self._job.fail()
                raise
            remedy = f"{full.hint}, then give the same command again: it goes on from here"
            raise SplitError(full.path, full.what, remedy) from exc
        return num_written

    def _scattered(self) -> list[UnitReceipt]:
        """Read the dump; return what came of each unit, in order, when `self._learnt` is what all of them say."""
        begun = self._learnt.begun()
        if ReadReceipt().name not in self._job.receipts:
            units = self._units()
            ahead = self._probed(units, begun)
            self._check_can_be_added(begun)
            self._scatter(itertools.chain(ahead, units), begun)
            self._job.add(ReadReceipt())
        found = [receipt for receipt in self._job.receipts.values() if isinstance(receipt, UnitReceipt)]
        receipts = sorted(found, key=lambda receipt: receipt.name)
        if not any(sum(receipt.num_rows.values()) for receipt in receipts):
            kept = " that --where keeps" if self._request.where else ""
            raise SplitError(self._request.shown_inputs(), f"holds no samples{kept}.")
        self._check_content(receipts)
        self._join(receipts)
        rows = [row for receipt in receipts for row in self._placed(receipt)]
        write_down(rows, self._request.quarantine)
        return receipts

    def _units(self) -> Iterator[Unit]:
        for unit in plan_units(self._inputs.sources, self._unit_bytes):
            yield from [unit] if unit.stream is None else pieces_of(unit, self._job.made, self._unit_bytes)

    def _probed(self, units: Iterator[Unit], begun: Learnt) -> list[Unit]:
        """Read until the first rows have said what the columns are; return the units that this took.

        All units begin with what the first rows of the dump say, so that it makes no difference who reads them first.
        """
        preparation = Preparation(
            begun, self._request, self._inputs.format, _go_past, holdout_rule=self._terms.holdout_rule
        )
        ahead: list[Unit] = []
        first: list[bytes] = []
        for unit in units:
            ahead.append(unit)
            try:
                for source, span in unit.spans:
                    with closing(source.blocks(span)) as blocks:
                        for block in blocks:
                            if isinstance(block.content, bytes) and begun.layout.wants_arrays:
                                # As one block: a column may have no fraction in the first rows.
                                first.append(block.content)
                                if sum(map(len, first)) < BLOCK_BYTES:
                                    continue
                                block = replace(block, content=b"".join(first), line=1)  # noqa: PLW2901
                            if preparation.rows(block, source.name):
                                return ahead
            except SplitError as exc:
                raise self._located(unit, exc) from exc.__cause__
        if first:
            preparation.rows(Block(b"".join(first), 1, 0), self._inputs.sources[0].name)
        return ahead

    def _scatter(self, units: Iterator[Unit], begun: Learnt) -> None:
        work = self._work(begun.begun())
        total = sum(source.num_bytes for source in self._inputs.sources) or None
        with self._bar("read" if self._cut else "pass 1 of 2, scatter", total, "B", 0) as bar:

            def calls() -> Iterator[tuple[Unit, tuple[Any, ...]]]:
                for unit in units:
                    done = self._job.receipts.get(unit.name)
                    if isinstance(done, UnitReceipt) and done.piece == unit.digest:
                        self._forget_piece(unit)
                        bar.update(unit.num_bytes)
                    else:
                        yield unit, (scatter, work, unit)

            num_bad = num_rows = 0
            try:
                for unit, receipt in as_finished(self._engine, run_task, calls(), max_ahead=self._max_ahead):
                    self._job.add(receipt)
                    self._forget_piece(unit)
                    num_rows += sum(receipt.num_rows.values())
                    bar.update(unit.num_bytes)
                    bar.set_postfix_str(f"{num_rows:,} samples", refresh=False)
                    num_bad += len(receipt.bad)
                    if num_bad > self._request.max_skipped:
                        self._refuse_sum()
            except CallError as exc:
                self._raise(exc.key, exc.error)

    def _gathered(self, receipts: Sequence[UnitReceipt]) -> dict[str, list[ChunkTask]]:
        """Write the chunks of rows that were put aside; return their tasks, by output."""
        tasks = chunk_tasks(self._request, receipts, cut=self._cut is not None, shown=self._request.shown_inputs())
        every = [task for of_output in tasks.values() for task in of_output]
        cut = sum(len(entries) for receipt in receipts for entries in receipt.chunks.values())
        self._num_planned = cut + len(every)
        there = {
            f"{output}/{self._terms.first[output] + number}"
            for output, entries in self._terms.mended.items()
            for number, entry in enumerate(entries)
            if is_whole(output_directory(self._root, output), entry)
        }
        wanted = [
            task
            for task in every
            if task.name not in self._job.receipts and f"{task.output}/{self._terms.first[task.output] + task.number}" not in there
        ]
        if not wanted:
            return tasks
        work = self._work(self._learnt)
        calls = ((task, (write, work, task.name, task.parts)) for task in wanted)
        with self._bar("pass 2 of 2, write", len(every), " chunks", len(every) - len(wanted)) as bar:
            try:
                for _, receipt in as_finished(self._engine, run_task, calls, max_ahead=self._max_ahead):
                    self._job.add(receipt)
                    bar.update()
            except CallError as exc:
                raise exc.error from exc.error.__cause__
        return tasks

    def _named(
        self, receipts: Sequence[UnitReceipt], tasks: dict[str, list[ChunkTask]]
    ) -> tuple[dict[str, Manifest], int]:
        """Give the chunks their last names; return the manifests, and how many chunks are new."""
        chunks = self._learnt.layout.format
        made = {receipt.name: receipt.entry for receipt in self._job.receipts.values() if isinstance(receipt, ChunkReceipt)}
        names: list[tuple[str, str, str]] = []
        entries: dict[str, list[ChunkEntry]] = {}
        for output in self._request.outputs:
            found = named_chunks(output, receipts, tasks.get(output, []), made, first=self._terms.first[output], chunks=chunks)
            mended = self._terms.mended.get(output)
            if mended is not None:
                found = self._mending(output, found, mended)
            entries[output] = mended if mended is not None else [entry for entry, _ in found]
            names += [(output, entry.file, file) for entry, file in found]
        if not self._terms.mended:
            num_rows = sum(sum(receipt.num_rows.values()) for receipt in receipts)
            check_number(str(self._root), itertools.chain.from_iterable(entries.values()), num_rows)
        manifests = {output: self._manifest(output, of_output, receipts) for output, of_output in entries.items()}
        self._job.name_chunks(names)
        return manifests, len({file for _, _, file in names} - self._found)

    def _mending(
        self, output: str, found: Sequence[tuple[ChunkEntry | None, str]], mended: Sequence[ChunkEntry]
    ) -> list[tuple[ChunkEntry, str]]:
        """Return those of the chunks that take the place of damaged ones, which must be what the manifest lists."""
        directory = output_directory(self._root, output)
        replaced = []
        if len(found) != len(mended):
            raise self._other_chunks()
        for (entry, file), listed in zip(found, mended, strict=True):
            if is_whole(directory, listed):
                continue
            if entry is None or entry != listed:
                raise self._other_chunks()
            replaced.append((entry, file))
        return replaced

    def _manifest(self, output: str, entries: Sequence[ChunkEntry], receipts: Sequence[UnitReceipt]) -> Manifest:
        layout, terms = self._learnt.layout, self._terms
        columns = layout.written_specs(self._preparation().written_form())
        kept = terms.kept.get(output, [])
        made_by = {
            "command": terms.command,
            "dump": self._request.shown_inputs(),
            "fingerprint": terms.fingerprint,
            "content": _content(receipts),
            "num_kept": len(kept),
            "filled": self._learnt.filled,
            "num_skipped": self._learnt.num_skipped,
            "why": layout.why,
            "order": [spec.name for spec in columns],
        }
        if self._request.holdout:
            made_by |= {"holdout": dict(self._request.holdout), "holdout_rule": terms.holdout_rule}
        return new_manifest(
            self._root / output,
            kept,
            entries,
            columns=columns,
            chunks=layout.format,
            made_by=made_by,
            is_mending=bool(terms.mended),
        )

    def _preparation(self) -> Preparation:
        return Preparation(self._learnt, self._request, self._inputs.format, _go_past)

    def _work(self, learnt: Learnt) -> Work | bytes:
        work = Work(
            request=replace(self._request, inputs=()),
            input_format=self._inputs.format,
            learnt=msgspec.json.encode(learnt),
            made=self._job.made.absolute(),
            cut=self._cut,
            num_buckets=num_buckets(self._inputs.raw_bytes) if self._request.shuffle else 1,
            holdout_rule=self._terms.holdout_rule,
            versions=self._terms.versions,
            import_path=tuple(sys.path),
        )
        return packed(work) if self._sends else work

    @property
    def _max_ahead(self) -> int:
        return 1 if self._num_workers == 1 and not self._sends else 2 * self._num_workers

    def _forget_piece(self, unit: Unit) -> None:
        if unit.digest:
            for source, _ in unit.spans:
                remove(Path(source.path))

    def _check_can_be_added(self, begun: Learnt) -> None:
        """See to it early that the rows have the columns of the chunks that are there."""
        if self._terms.mended or begun.layout.form_name is None:
            return
        form = Preparation(begun, self._request, self._inputs.format, _go_past).written_form()
        columns, chunks = begun.layout.written_specs(form), begun.layout.format
        for output, kept in self._terms.kept.items():
            if kept and output in self._request.outputs:
                before = read_manifest(self._root / output / MANIFEST_NAME)
                check_same_columns(self._root / output, before, columns, chunks, names_only=True)

    def _check_content(self, receipts: Sequence[UnitReceipt]) -> None:
        if self._terms.expected_content not in ("", _content(receipts)):
            what = f"holds other rows than when {self._root}/ was made of it, so it cannot mend chunks there."
            remedy = f"Add them with --append, or start over: {deleting(chunk_sets(self._root))}"
            raise SplitError(self._request.shown_inputs(), what, remedy)

    def _other_chunks(self) -> SplitError:
        what = "cannot be mended: the same command makes other chunks now."
        return SplitError(f"{self._root}/", what, "Put the damaged ones back from a copy")

    def _join(self, receipts: Sequence[UnitReceipt]) -> None:
        """Put together what the units say of the columns; what does not fit together is looked for once more."""
        total: Learnt | None = None
        for receipt in receipts:
            before = None if total is None else msgspec.json.decode(msgspec.json.encode(total), type=Learnt)
            if total is None:
                total = msgspec.json.decode(msgspec.json.encode(receipt.learnt), type=Learnt)
            else:
                total.join(receipt.learnt)
            if (name := self._unfit(total)) and (before is None or not self._unfit(before)):
                self._read_again(receipt, before, name)
        assert total is not None
        if total.layout.form_name is None:
            found = next(receipt.learnt.layout for receipt in receipts if receipt.learnt.layout.form_name)
            total.layout.format_name, total.layout.form_name = found.format_name, found.form_name
            total.layout.arrays = found.arrays
        self._learnt = total

    def _unfit(self, learnt: Learnt) -> str:
        """Return the name of a column whose values cannot stand together; "" where all can."""
        for name, kinds in learnt.layout.kinds.items():
            value = (self._request.fill or {}).get(name)
            is_gap = value is not None and value != value and learnt.filled.get(name) and kinds - {"int", "float"}
            if unfit_together(kinds) or (is_gap and self._inputs.format == "jsonl" and learnt.layout.form_name == "json"):
                return name
        return ""

    def _read_again(self, receipt: UnitReceipt, before: Learnt | None, name: str) -> NoReturn:
        """Read a unit as if it came right after those before it, for the error that names the line."""
        for unit in plan_units(self._inputs.sources, self._unit_bytes):
            if unit.name != receipt.name or unit.stream is not None:
                continue
            preparation = Preparation(before or self._learnt, self._request, self._inputs.format, _go_past)
            try:
                for source, span in unit.spans:
                    with closing(source.blocks(span)) as blocks:
                        for block in blocks:
                            preparation.rows(block, source.name)
            except SplitError as exc:
                raise self._located(unit, exc) from exc.__cause__
        what = f"has values in {name!r} that cannot stand in one column."
        raise SplitError(self._request.shown_inputs(), what, "Give all of them the same kind")

    def _raise(self, unit: Unit, error: BaseException) -> NoReturn:
        if isinstance(error, TooManyBadRowsError):
            cause = error.__cause__
            rows = [replace_line(row, row.line + self._lines_before(unit)) for row in error.rows]
            write_down(rows[:-1], self._request.quarantine)
            located = self._located(unit, cause) if isinstance(cause, SplitError) else cause
            raise _Refusal(rows[-1], located)
        if isinstance(error, SplitError):
            raise self._located(unit, error) from error.__cause__
        raise error

    def _refuse_sum(self) -> NoReturn:
        found = [receipt for receipt in self._job.receipts.values() if isinstance(receipt, UnitReceipt)]
        rows = [row for receipt in sorted(found, key=lambda receipt: receipt.name) for row in self._placed(receipt)]
        allowed = self._request.max_skipped
        write_down(rows[:allowed], self._request.quarantine)
        raise _Refusal(rows[allowed], None)

    def _placed(self, receipt: UnitReceipt) -> list[BadRow]:
        """Return the rows that a unit left out, with their lines in the file."""
        if not receipt.bad:
            return []
        number, piece = map(int, receipt.name.split("-")[1:])
        unit = plan_units(self._inputs.sources, self._unit_bytes)[number]
        before = self._lines_before(unit)
        if piece:
            names = [f"unit-{number:06d}-{other:06d}" for other in range(piece)]
            before = sum(getattr(self._job.receipts.get(name), "num_lines", 0) for name in names)
        return [replace_line(row, row.line + before) for row in receipt.bad]

    def _located(self, unit: Unit, exc: SplitError) -> SplitError:
        """Return the error of a unit with the line in the file: the unit counts its own."""
        if exc.line is None or unit.first_line == 1:
            return exc
        return type(exc)(exc.path, exc.what, exc.hint, exc.line + self._lines_before(unit))

    def _lines_before(self, unit: Unit) -> int:
        if unit.first_line:
            return unit.first_line - 1
        source, span = unit.spans[0]
        return lines_before(source.name, span.start) if self._inputs.format in ("jsonl", "text") else 0

    def _stopped(self) -> str:
        if not self._job.is_worth_keeping:
            self._job.end()
            return "stopped before anything was kept."
        cut = [receipt.chunks.values() for receipt in self._job.receipts.values() if isinstance(receipt, UnitReceipt)]
        number = sum(len(entries) for outputs in cut for entries in outputs)
        number += sum(isinstance(receipt, ChunkReceipt) for receipt in self._job.receipts.values())
        of = f" of {self._num_planned:,}" if self._num_planned else ""
        return (
            f"stopped with {number:,}{of} chunk{'s' * ((self._num_planned or number) != 1)} written. "
            f"The same command goes on from there; {discarding(self._root)} gives up what was begun."
        )

    def _bar(self, what: str, total: int | None, unit: str, initial: int) -> Any:
        return progress_bar(what, total=total, unit=unit, initial=initial, hidden=not self._show)


class _Refusal(Exception):
    """One bad row too many."""

    def __init__(self, row: BadRow, error: BaseException | None) -> None:
        super().__init__(row, error)
        self.row, self.error = row, error


def num_buckets(raw_bytes: int) -> int:
    """Return into how many ranges of keys the rows of an output are put.  It costs time or memory, never order."""
    return min(_MAX_BUCKETS, max(1, -(-(raw_bytes or _UNKNOWN_BYTES) // _SEGMENT_BYTES)))


def replace_line(row: BadRow, line: int) -> BadRow:
    """Return the row with another line."""
    return msgspec.structs.replace(row, line=line)


def _content(receipts: Sequence[UnitReceipt]) -> str:
    """Return the digest of all rows, by the digests of the units."""
    return CONTENT_RULE + xxhash.xxh3_64_hexdigest("".join(receipt.digest for receipt in receipts).encode())


def _go_past(error: Exception, name: str, line: int, stage: str) -> None:
    """Go past a bad row: somebody else counts it."""
