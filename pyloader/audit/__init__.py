"""Receipts of what each rank's loop received, and the proof that it was every sample exactly once."""

from pyloader.audit.auditing import audit_epochs
from pyloader.audit.digests import digest_batches
from pyloader.audit.receipts import ReceiptWriter
from pyloader.audit.report import Audit, EpochAudit, Finding

__all__ = ["Audit", "EpochAudit", "Finding", "ReceiptWriter", "audit_epochs", "digest_batches"]
