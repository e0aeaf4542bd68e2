"""Receipts of what each rank's loop received, and the proof that it was every sample exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.audit.auditing import audit_epochs
    from pyloader.audit.auditing_sources import audit_sources, audited_sources
    from pyloader.audit.digests import WIDTH, digest_batches, digest_groups
    from pyloader.audit.receipts import ReceiptSource, ReceiptWriter
    from pyloader.audit.records import StepOfSources
    from pyloader.audit.report import Audit, EpochAudit, Finding, SourceAudit
    from pyloader.audit.units import PieceUnits, SampleUnits, Units, order_of_source, samples_of
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "auditing": "audit_epochs",
            "auditing_sources": "audit_sources audited_sources",
            "digests": "WIDTH digest_batches digest_groups",
            "receipts": "ReceiptSource ReceiptWriter",
            "records": "StepOfSources",
            "report": "Audit EpochAudit Finding SourceAudit",
            "units": "PieceUnits SampleUnits Units order_of_source samples_of",
        },
    )

__all__ = [
    "WIDTH",
    "Audit",
    "EpochAudit",
    "Finding",
    "PieceUnits",
    "ReceiptSource",
    "ReceiptWriter",
    "SampleUnits",
    "SourceAudit",
    "StepOfSources",
    "Units",
    "audit_epochs",
    "audit_sources",
    "audited_sources",
    "digest_batches",
    "digest_groups",
    "order_of_source",
    "samples_of",
]
