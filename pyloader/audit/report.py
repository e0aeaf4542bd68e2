"""Report: what an audit found."""

from __future__ import annotations

from dataclasses import dataclass

from pyloader.plan import Order

__all__ = ["Audit", "EpochAudit", "Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it must be.

    Attributes:
      kind: "missing" (nothing tells of these steps), "differs" (they had other samples than planned), "twice" (two
        processes delivered them at the same time).
      epoch: Which epoch.
      first_step: The first of these steps in it.
      last_step: The last.
      who: Which ranks.
      what: What was found.
    """

    kind: str
    epoch: int
    first_step: int
    last_step: int
    who: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochAudit:
    """What there is to say of an epoch.

    Attributes:
      epoch: Counted from 0.
      state: "complete", when every sample was delivered exactly once but for what the last-batch rule drops; "running",
        when the steps so far were as planned; "partial", when the receipts begin in its middle, and are as planned;
        "bad".
      num_steps: How many steps it has.
      first_step: The first that there are receipts of.
      steps_done: How many steps from there on are told of by all ranks.
      num_samples: How many samples it has.
      delivered: How many were delivered.
      dropped: How many last_batch="drop" leaves out.
      repeated: How many rows stood in for others, or filled up the last batch.
      ranks: How many ranks there were, one number after the other.
      behind: In a running epoch, the ranks that are not as far as the others, in words.
    """

    epoch: int
    state: str
    num_steps: int
    first_step: int
    steps_done: int
    num_samples: int
    delivered: int
    dropped: int
    repeated: int
    ranks: tuple[int, ...]
    behind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the receipts say.

    Attributes:
      epochs: Of each epoch that there are receipts of.
      findings: What is not as it must be.
      damaged: The receipts with damaged records, and how many; their steps are missing.
      num_receipts: How many receipts there are.
      num_replaced: How many steps were delivered and taken back, when a run resumed before them.
      order: Of the samples.
    """

    epochs: tuple[EpochAudit, ...]
    findings: tuple[Finding, ...]
    damaged: dict[str, int]
    num_receipts: int
    num_replaced: int
    order: Order

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not self.findings and not self.damaged
