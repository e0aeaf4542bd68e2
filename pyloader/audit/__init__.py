"""Receipts of what each rank's loop received, and the proof that it was every sample exactly once."""

from pyloader.audit.auditing import audit_epochs
from pyloader.audit.digests import WIDTH, digest_batches, digest_groups
from pyloader.audit.receipts import ReceiptWriter
from pyloader.audit.report import Audit, EpochAudit, Finding
from pyloader.audit.units import PieceUnits, SampleUnits, Units, samples_of

__all__ = [
    "WIDTH",
    "Audit",
    "EpochAudit",
    "Finding",
    "PieceUnits",
    "ReceiptWriter",
    "SampleUnits",
    "Units",
    "audit_epochs",
    "digest_batches",
    "digest_groups",
    "samples_of",
]
