"""Report: what an audit found."""

from __future__ import annotations

from dataclasses import dataclass

from pyloader.plan import Order

__all__ = ["Audit", "EpochAudit", "Finding", "SourceAudit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it must be."""

    # "missing" (nothing tells of these steps), "differs" (they had other samples than planned), "twice" (two processes
    # delivered them at the same time)
    kind: str
    # which epoch; of a mixture that of the source, and None where no source is named
    epoch: int | None
    first_step: int  # the first of these steps in it; of a mixture counted from the run's beginning
    last_step: int  # the last
    who: str  # which ranks
    what: str  # what was found
    source: str = ""  # of which source of a mixture; "" where that is not to be said


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochAudit:
    """What there is to say of an epoch."""

    epoch: int  # counted from 0
    # "complete", when every sample was delivered exactly once but for what the last-batch rule drops; "running", when
    # the steps so far were as planned; "partial", when the receipts begin in its middle, and are as planned; "bad"
    state: str
    num_steps: int  # how many steps it has
    first_step: int  # the first that there are receipts of
    steps_done: int  # how many steps from there on are told of by all ranks
    num_samples: int  # how many samples it has
    delivered: int  # how many were delivered
    dropped: int  # how many last_batch="drop" leaves out
    repeated: int  # how many rows stood in for others, or filled up the last batch
    ranks: tuple[int, ...]  # how many ranks there were, one number after the other
    behind: str = ""  # in a running epoch, the ranks that are not as far as the others, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAudit:
    """What there is to say of some epochs of a source of a mixture, of each of them the same."""

    source: str  # its name
    run: int  # which time the mixture was gone through, counted from 0
    first_epoch: int  # the first of the epochs, counted from 0
    last_epoch: int  # the last
    # as that of an epoch without a mixture; "running" is also one that the mixture ended before
    state: str
    num_samples: int  # how many samples an epoch has
    delivered: int  # how many were delivered
    dropped: int  # how many a source that ends leaves out, since all streams get equally many rows
    repeated: int  # how many rows stood in for others, or filled up the last batch
    ranks: tuple[int, ...]  # how many ranks there were, one number after the other
    last_step: int = -1  # of epochs that are not complete, the last step that all ranks tell of, counted from 0
    behind: str = ""  # of such, the ranks that are not as far as the others, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the receipts say."""

    epochs: tuple[EpochAudit, ...]  # of each epoch that there are receipts of; of a mixture ()
    findings: tuple[Finding, ...]  # what is not as it must be
    damaged: dict[str, int]  # the receipts with damaged records, and how many; their steps are missing
    num_receipts: int  # how many receipts there are
    num_replaced: int  # how many steps were delivered and taken back, when a run resumed before them
    order: Order  # of the samples
    sources: tuple[SourceAudit, ...] = ()  # of a mixture, of the epochs of each source

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not self.findings and not self.damaged
