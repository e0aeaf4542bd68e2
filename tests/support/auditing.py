"""What an audit says of loaders that wrote receipts beside their chunks."""

from __future__ import annotations

from pyloader.audit import audit_epochs
from pyloader.files import list_chunks

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]


def audited(directory):
    return audit_epochs(directory / "receipts", list_chunks(directory / "chunks"))


def found(audit):
    return [(f.kind, f.epoch, f.first_step, f.last_step, f.who, f.what) for f in audit.findings]


def close(loaders):
    for loader in loaders:
        loader.close()
