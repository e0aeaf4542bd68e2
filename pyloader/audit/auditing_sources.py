"""Auditing sources: the receipts of a mixture are joined, and each epoch of each source is compared with what it must
have."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import msgspec

from pyloader.audit.auditing import same_order
from pyloader.audit.comparing_sources import SourceComparison
from pyloader.audit.history import history_of_receipts
from pyloader.audit.planned import check_batch
from pyloader.audit.receipts import Receipt, ReceiptSource, read_receipts, source_names
from pyloader.audit.report import Audit
from pyloader.audit.source_plans import SourcePlan
from pyloader.audit.units import Units, order_of_source, samples_of
from pyloader.errors import DataDirError, ReceiptError
from pyloader.files import ChunkList, in_version_of
from pyloader.plan import Order, Source

__all__ = ["audit_sources", "audited_sources"]

Counted = Callable[[ChunkList, Order], tuple[ChunkList, Units]]


def audited_sources(audit_dir: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the sources that the receipts in a directory tell of, sorted; () where they are of no mixture.

    Raises:
      ReceiptError: there are no receipts, or damaged ones.
    """
    return source_names(read_receipts(audit_dir))


def audit_sources(
    audit_dir: str | os.PathLike[str], sources: Mapping[str, ChunkList], counted: Counted = samples_of
) -> Audit:
    """Join the receipts of all ranks and runs of a mixture, and compare each epoch of each source with its plan.

    Args:
      audit_dir: What the loaders were given as `audit_dir`; of several machines, with the files of all of them in it.
      sources: The chunks of each source, by name.
      counted: Returns the chunks with the rows of the order, and what is counted of them: samples, but where documents
        were packed.

    Raises:
      ReceiptError: there are no receipts, or damaged ones, or of other sources, or of runs in different orders.
      DataDirError: the chunks' counts are unknown.
    """
    receipts = read_receipts(audit_dir)
    names = source_names(receipts)
    if not names:
        raise ReceiptError(os.fspath(audit_dir), "holds receipts of one source, and no mixture.", "Name its chunks")
    if names != tuple(sorted(sources)):
        lacking, stray = sorted(set(names) - set(sources)), sorted(set(sources) - set(names))
        what = f"is of the sources {', '.join(map(repr, names))}, "
        what += f"and {lacking[0]!r} was not given." if lacking else f"of which {stray[0]!r} is none."
        raise ReceiptError(os.fspath(audit_dir), what, "Give the chunks of each of them")
    order = same_order(receipts)
    plans = [
        _plan(order, _source_in(receipts, name), sources[name], number, counted) for number, name in enumerate(names)
    ]
    num_rows = [plan.num_rows for plan in plans]
    check_batch(order, sum(num_rows), sources[names[0]], is_one=all(num_rows))
    history, damaged = history_of_receipts(audit_dir, receipts, order.num_streams, None)
    comparison = SourceComparison(plans, history)
    return Audit(
        epochs=(),
        sources=comparison.compare(),
        findings=tuple(comparison.findings),
        damaged=damaged,
        num_receipts=len(receipts),
        num_replaced=history.num_replaced,
        order=order,
    )


def _source_in(receipts: Sequence[Receipt], name: str) -> ReceiptSource:
    """Return what all receipts say of a source.

    Raises:
      ReceiptError: they say different things.
    """
    found = [(receipt, source) for receipt in receipts for source in receipt.sources if source.name == name]
    (first, said), *others = found
    for other, source in others:
        if source != said:
            field = next(
                each for each in ReceiptSource.__struct_fields__ if getattr(source, each) != getattr(said, each)
            )
            what = f"tells of the source {name!r} with another {field} than {first.path.name}."
            raise ReceiptError(str(other.path), what, "Move the receipts of other runs out of this directory")
    return said


def _plan(order: Order, said: ReceiptSource, chunks: ChunkList, number: int, counted: Counted) -> SourcePlan:
    fingerprint, _, rows_digest = said.fingerprint.partition("-")
    version = None if said.data_version is msgspec.UNSET else said.data_version
    chunks = in_version_of(chunks, fingerprint, version) or chunks
    if chunks.fingerprint != fingerprint:
        what = f"holds other chunks of {said.name!r} than those that the receipts are of: names or sizes differ."
        raise DataDirError(chunks.place, what, "Name those that were read")
    if chunks.counts is None:
        what = "has no manifest that says how many samples each chunk holds, and their places depend on it."
        raise DataDirError(chunks.place, what, f"Count them once: pyloader index {shlex.quote(chunks.place)}")

    def units_of(run: int) -> tuple[ChunkList, Units]:
        return counted(chunks, order_of_source(order, said.name, rows_digest=rows_digest, run=run))

    made, _ = units_of(0)
    assert made.counts is not None
    source = Source(name=said.name, counts=made.counts, first_chunk=0, window=said.window, number=number)
    return SourcePlan(source, order, lru_cache(maxsize=2)(partial(_units, units_of)))


def _units(units_of: Callable[[int], tuple[ChunkList, Units]], run: int) -> Units:
    return units_of(run)[1]
