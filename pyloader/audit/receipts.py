"""Receipts: what the loop received, a record a step, in files that a killed process leaves whole.

A receipt is a line of JSON that says whose it is, with a checksum, and then records of 40 bytes, each with another.  A
record is handed to the system before its batch is handed to the loop, so that no kill -9 can lose one; a machine that
fails can.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from pyloader.audit.digests import WIDTH
from pyloader.errors import ReceiptError, StateError
from pyloader.plan import Order, check_order, order_digest

__all__ = ["Receipt", "ReceiptHeader", "ReceiptWriter", "are_whole", "read_receipts"]

_SUFFIX = ".receipt"
_LONGEST_HEADER = 2**16
_FORMAT, _VERSION = "pyloader-receipt", 1
_BEFORE_CHECKSUM = b',"checksum":'

_RECORD = np.dtype(
    [
        ("epoch", "<u4"),
        ("step", "<u4"),
        ("samples", "<u4"),
        ("stand_ins", "<u4"),
        ("sums", "<u8", 2),
        ("centiseconds", "<u4"),  # since the receipt was begun
        ("checksum", "<u4"),  # CRC-32 of what is before it
    ]
)
_PACKED = struct.Struct("<IIIIQQI")
_BLOCK_RECORDS = 2**16
_LONGEST = 2**32 - 1  # centiseconds: 497 days


class ReceiptHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose receipt it is."""

    format: str = _FORMAT  # always "pyloader-receipt"
    version: int = _VERSION  # the version of this format, 1
    order: Order  # all that the order of the samples depends on
    order_digest: str  # of the random numbers that it was derived with
    rank: int  # which rank it was
    size: int  # of how many
    begun_ns: int  # when the receipt was begun, nanoseconds since 1970
    process: str  # the host and the process id
    # the version of the chunks; of a set that was never added to there is none
    data_version: int | msgspec.UnsetType = msgspec.UNSET
    # CRC-32 of what is before it in its line; older receipts have none
    checksum: int | msgspec.UnsetType = msgspec.UNSET

    def line(self) -> bytes:
        """Return the header as the first line of a file."""
        unsigned = msgspec.json.encode(self)[:-1]
        return b"%s%s%d}\n" % (unsigned, _BEFORE_CHECKSUM, zlib.crc32(unsigned))

    def is_damaged(self, line: bytes) -> bool:
        """Tell whether the `line` that it was read from has changed, or says what no loader does."""
        try:
            check_order(self.order)
        except StateError:
            return True
        is_signed = self.checksum is not msgspec.UNSET
        changed = is_signed and zlib.crc32(line.rpartition(_BEFORE_CHECKSUM)[0]) != self.checksum
        is_rank = 0 <= self.rank < self.size and self.order.num_streams % self.size == 0
        return changed or not is_rank or not 0 <= self.begun_ns < 2**63


class ReceiptWriter:
    """Writes what one rank received, into a directory that all ranks share or that is gathered later.

    Args:
      directory: Where to; made if it is not there.
      rank: Which rank this is.
      size: Of how many.

    Attributes:
      data_version: The version of the chunks, for receipts that are begun; None for a set that was never added to.

    Raises:
      ReceiptError: nothing can be written there.
    """

    def __init__(self, directory: str | os.PathLike[str], *, rank: int, size: int) -> None:
        self.data_version: int | None = None
        self._directory, self._rank, self._size = Path(directory), rank, size
        self._order: Order | None = None
        self._begun = 0.0
        self._file = -1
        self._path = self._directory
        self._close: weakref.finalize[..., ReceiptWriter] | None = None
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if not os.access(self._directory, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as exc:
            raise self._error(exc) from exc

    def write(self, order: Order, epoch: int, step: int, digest: np.ndarray) -> None:
        """Write that a batch was received.

        Args:
          order: The order it is of; another than before begins another receipt.
          epoch: Its epoch.
          step: Its step in it.
          digest: Its digest, uint64 of shape [4].

        Raises:
          ReceiptError: it could not be written; the next one begins another receipt.
        """
        try:
            if order is not self._order and order != self._order:
                self._begin(order)
            elapsed = min(int((time.monotonic() - self._begun) * 100), _LONGEST)
            fields = _PACKED.pack(epoch, step, *digest.tolist(), elapsed)
            self._append(fields + zlib.crc32(fields).to_bytes(4, "little"))
        except OSError as exc:
            self.close()
            raise self._error(exc) from exc

    def close(self) -> None:
        """Close the receipt that is being written; another `write` begins another."""
        if self._close is not None:
            self._close()
        self._order = None

    def _begin(self, order: Order) -> None:
        self.close()
        begun_ns, self._begun = time.time_ns(), time.monotonic()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(begun_ns // 10**9))
        name = f"rank-{self._rank}-of-{self._size}-{stamp}-{os.urandom(4).hex()}{_SUFFIX}"
        self._path = self._directory / name
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._close = weakref.finalize(self, os.close, self._file)  # also when the loader is dropped
        header = ReceiptHeader(
            order=order,
            order_digest=order_digest(),
            rank=self._rank,
            size=self._size,
            begun_ns=begun_ns,
            process=f"{socket.gethostname()}:{os.getpid()}",
            data_version=msgspec.UNSET if self.data_version is None else self.data_version,
        )
        self._append(header.line())
        self._order = order

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]

    def _error(self, exc: OSError) -> ReceiptError:
        remedy = "Make room, or leave out audit_dir" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        what = f"could not be written: {exc.strerror or exc}."
        return ReceiptError(str(self._path), what, remedy or "Give audit_dir a directory that can be written to")


@dataclass(frozen=True, eq=False)
class Receipt:
    """A receipt that can be read."""

    path: Path  # its file
    header: ReceiptHeader  # whose it is
    records_at: int  # where its records begin, in bytes
    num_records: int  # how many it has, less one that was broken off

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the records, some at a time, as structured arrays: "epoch", "step", "centiseconds" and others."""
        for start in range(0, self.num_records, _BLOCK_RECORDS):
            yield self._records(start, min(start + _BLOCK_RECORDS, self.num_records))

    def digests(self, start: int, stop: int) -> np.ndarray:
        """Return the digests in records [start, stop), uint64 of shape [stop - start, 4]."""
        records = self._records(start, stop)
        digests = np.empty((len(records), WIDTH), np.uint64)
        digests[:, 0], digests[:, 1], digests[:, 2:] = records["samples"], records["stand_ins"], records["sums"]
        return digests

    def _records(self, start: int, stop: int) -> np.ndarray:
        return np.fromfile(self.path, _RECORD, stop - start, offset=self.records_at + start * _RECORD.itemsize)


def read_receipts(directory: str | os.PathLike[str]) -> list[Receipt]:
    """Return the receipts in a directory and those below it, less those of loaders that delivered nothing.

    Of several copies of one, the longest.

    Raises:
      ReceiptError: there are none, or one is none of this version.
    """
    found: dict[ReceiptHeader, Receipt] = {}
    for path in sorted(Path(directory).rglob(f"*{_SUFFIX}")):
        receipt = _read(path)
        if receipt is not None and found.get(receipt.header, receipt).num_records <= receipt.num_records:
            found[receipt.header] = receipt
    if not found:
        what = "holds no receipts." if os.path.isdir(directory) else "is no directory of receipts."
        raise ReceiptError(os.fspath(directory), what, "Have them written: DataLoader(..., audit_dir='receipts')")
    return list(found.values())


def are_whole(records: np.ndarray) -> np.ndarray:
    """Return which records have the checksum that they say, bool of shape [len(records)]."""
    data, size = memoryview(records.tobytes()), _RECORD.itemsize
    sums = (zlib.crc32(data[at : at + _PACKED.size]) for at in range(0, len(data), size))
    agree: np.ndarray = np.fromiter(sums, np.uint32, len(records)) == records["checksum"]
    return agree


def _read(path: Path) -> Receipt | None:
    with open(path, "rb") as file:
        line = file.readline(_LONGEST_HEADER)
        num_bytes = os.fstat(file.fileno()).st_size
    if not line.endswith(b"\n") and len(line) < _LONGEST_HEADER:  # killed before anything was delivered
        return None
    try:
        header = msgspec.json.decode(line, type=ReceiptHeader)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ReceiptError(str(path), f"is no receipt ({exc}).", "Move it away, or fetch it again") from exc
    if (header.format, header.version) != (_FORMAT, _VERSION):
        what = f"is of format {header.format!r}, version {header.version}; this pyloader reads {_FORMAT!r}, {_VERSION}."
        raise ReceiptError(str(path), what)
    if header.is_damaged(line):
        whose = f"rank {header.rank} of {header.size}, with {header.order.num_streams} streams"
        raise ReceiptError(str(path), f"is of {whose}: its header is damaged.", "Fetch it again")
    num_records = (num_bytes - len(line)) // _RECORD.itemsize
    return Receipt(path, header, len(line), num_records) if num_records else None
