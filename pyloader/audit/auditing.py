"""Auditing: the receipts of all ranks and runs are joined, and each epoch is compared with what it must have."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from pyloader.audit.comparing import Comparison
from pyloader.audit.history import history_of_receipts
from pyloader.audit.planned import streams_of_order
from pyloader.audit.receipts import Receipt, read_receipts, source_names
from pyloader.audit.report import Audit
from pyloader.audit.units import Units, samples_of
from pyloader.errors import ReceiptError
from pyloader.files import ChunkList, in_version_of
from pyloader.plan import Order, order_digest

__all__ = ["audit_epochs", "same_order"]

_MOST_EPOCHS = 100_000  # each of which takes its time, also when nothing tells of it


def audit_epochs(
    audit_dir: str | os.PathLike[str],
    chunks: ChunkList,
    counted: Callable[[ChunkList, Order], tuple[ChunkList, Units]] = samples_of,
) -> Audit:
    """Join the receipts of all ranks and runs, and compare each epoch with what it must have.

    It takes memory for the steps of an epoch of one rank, and none for the samples.

    Args:
      audit_dir: What the loaders were given as `audit_dir`; of several machines, with the files of all of them in it.
      chunks: The chunks that they read.
      counted: Returns the chunks with the rows of the order, and what is counted of them: samples, but where documents
        were packed.

    Raises:
      ReceiptError: there are no receipts, or damaged ones, or they are of other chunks, or of runs in different orders.
      DataDirError: the chunks' counts are unknown.
    """
    receipts = read_receipts(audit_dir)
    if names := source_names(receipts):
        what = f"holds receipts of a mixture of {', '.join(map(repr, names))}."
        raise ReceiptError(os.fspath(audit_dir), what, f"Name the chunks of each: {'=DIR '.join(names)}=DIR")
    chunks = _chunks_of(receipts, chunks)
    order = _only_order(receipts, chunks)
    chunks, units = counted(chunks, order)
    streams = streams_of_order(order, chunks)
    steps = streams.steps_per_epoch
    history, damaged = history_of_receipts(audit_dir, receipts, order.num_streams, steps)
    comparison = Comparison(streams, history, units)
    first, last = history.first // steps, (history.stop - 1) // steps
    if last - first > _MOST_EPOCHS:
        what = f"holds receipts of epoch {first:,} and of epoch {last:,}, more than {_MOST_EPOCHS:,} apart."
        raise ReceiptError(os.fspath(audit_dir), what, "One of them is damaged, or of another run: move it away")
    epochs = tuple(map(comparison.epoch, range(first, last + 1)))
    return Audit(
        epochs=epochs,
        findings=tuple(comparison.findings),
        damaged=damaged,
        num_receipts=len(receipts),
        num_replaced=history.num_replaced,
        order=order,
    )


def _chunks_of(receipts: Sequence[Receipt], chunks: ChunkList) -> ChunkList:
    """Return the chunks in the version that all receipts are of."""
    first, *others = receipts
    for other in others:
        if (mine := _version(other)) != (theirs := _version(first)):
            what = f"is of version {mine} of the chunks, and {first.path.name} of version {theirs}."
            remedy = f"All ranks of a run read one version: DataLoader(..., data_version={min(mine, theirs)})"
            raise ReceiptError(str(other.path), what, f"{remedy}; receipts of other runs belong elsewhere")
    number = first.header.data_version
    return in_version_of(chunks, first.header.order.fingerprint, number or None) or chunks


def _version(receipt: Receipt) -> int:
    return receipt.header.data_version or 1


def _only_order(receipts: Sequence[Receipt], chunks: ChunkList) -> Order:
    for receipt in receipts:
        if receipt.header.order.fingerprint != chunks.fingerprint:
            what = f"is of other chunks: their names or sizes differ from those of {chunks.root}."
            raise ReceiptError(
                str(receipt.path), what, "Give each dataset an audit_dir of its own, and audit it with it"
            )
    return same_order(receipts)


def same_order(receipts: Sequence[Receipt]) -> Order:
    """Return the order that all receipts are of.

    Raises:
      ReceiptError: they are of several, or of another NumPy.
    """
    for receipt in receipts:
        if receipt.header.order_digest != order_digest():
            what = "was written under a NumPy whose random numbers differ from this one's."
            raise ReceiptError(str(receipt.path), what, "Audit under the NumPy that the run had")
    first, *others = receipts
    for other in others:
        if other.header.order != first.header.order:
            what = f"was written with {_options(other, first)}, and {first.path.name} with {_options(first, other)}."
            raise ReceiptError(str(other.path), what, "Move the receipts of other runs out of this directory")
    return first.header.order


def _options(receipt: Receipt, other: Receipt) -> str:
    mine, theirs = receipt.header.order, other.header.order
    differing = (name for name in Order.__slots__ if getattr(mine, name) != getattr(theirs, name))
    return ", ".join(f"{name}={getattr(mine, name)!r}" for name in differing)
