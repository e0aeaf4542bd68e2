"""Receipts: what the loop received, a record a step, in files that a killed process leaves whole.

A receipt is a line of JSON that says whose it is, with a checksum, and then records, each with another: of 40 bytes,
of a mixture of 24 and 36 for each source.  A record is handed to the system before its batch is handed to the loop, so
that no kill -9 can lose one; a machine that fails can.
"""

from __future__ import annotations

import errno
import os
import socket
import time
import weakref
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from pyloader.audit.records import StepOfSources, digests_in, packed_record, record_of_sources, record_type
from pyloader.errors import ReceiptError, StateError
from pyloader.plan import Order, check_order, order_digest

__all__ = ["Receipt", "ReceiptHeader", "ReceiptSource", "ReceiptWriter", "read_receipts", "source_names"]

_SUFFIX = ".receipt"
_LONGEST_HEADER = 2**20
_FORMAT, _VERSION = "pyloader-receipt", 1
_BEFORE_CHECKSUM = b',"checksum":'

_BLOCK_BYTES = 2**21
_LONGEST = 2**32 - 1  # centiseconds: 497 days


class ReceiptSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source of a mixture, of which a receipt tells."""

    name: str  # what it is called
    window: int  # how many of its chunks are mixed
    fingerprint: str  # of its chunks' names and sizes, and of how they are packed
    # the version of its chunks; of a set that was never added to there is none
    data_version: int | msgspec.UnsetType = msgspec.UNSET


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
    # the sources of a mixture, in the order in which records tell of them; without a mixture there are none
    sources: tuple[ReceiptSource, ...] | msgspec.UnsetType = msgspec.UNSET
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
        sources = () if self.sources is msgspec.UNSET else self.sources
        are_sources = bool(sources) == bool(self.order.mixture) and all(source.window >= 1 for source in sources)
        names = {source.name for source in sources}
        good = is_rank and are_sources and len(names) == len(sources) and 0 <= self.begun_ns < 2**63
        return changed or not good


class ReceiptWriter:
    """Writes what one rank received, into a directory that all ranks share or that is gathered later.

    Args:
      directory: Where to; made if it is not there.
      rank: Which rank this is.
      size: Of how many.

    Attributes:
      data_version: The version of the chunks, for receipts that are begun; None for a set that was never added to.
      sources: The sources of a mixture, for receipts that are begun; () without a mixture.

    Raises:
      ReceiptError: nothing can be written there.
    """

    def __init__(self, directory: str | os.PathLike[str], *, rank: int, size: int) -> None:
        self.data_version: int | None = None
        self.sources: tuple[ReceiptSource, ...] = ()
        self._directory, self._rank, self._size = Path(directory), rank, size
        self._order: Order | None = None
        self._told: tuple[ReceiptSource, ...] = ()  # the sources that the receipt names
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

    def write(
        self, order: Order, epoch: int, step: int, digest: np.ndarray, place: StepOfSources | None = None
    ) -> None:
        """Write that a batch was received.

        Args:
          order: The order it is of; another than before, or other sources, begins another receipt.
          epoch: Its epoch.
          step: Its step in it.
          digest: Its digest, uint64 of shape [4]; of a mixture that of each source, of shape [sources, 4].
          place: Where a mixture stands; None without one.

        Raises:
          ReceiptError: it could not be written; the next one begins another receipt.
        """
        try:
            if (order is not self._order and order != self._order) or self.sources != self._told:
                self._begin(order)
            elapsed = min(int((time.monotonic() - self._begun) * 100), _LONGEST)
            if place is None:
                self._append(packed_record(epoch, step, digest, elapsed))
            else:
                self._append(record_of_sources(epoch, step, digest, elapsed, place))
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
            sources=self.sources or msgspec.UNSET,
        )
        self._append(header.line())
        self._order, self._told = order, self.sources

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

    @property
    def sources(self) -> tuple[ReceiptSource, ...]:
        """The sources of a mixture; () without one."""
        return () if self.header.sources is msgspec.UNSET else self.header.sources

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the records, some at a time, as structured arrays: "epoch", "step", "centiseconds" and others."""
        size = max(1, _BLOCK_BYTES // self._type.itemsize)
        for start in range(0, self.num_records, size):
            yield self.records(start, min(start + size, self.num_records))

    def digests(self, start: int, stop: int) -> np.ndarray:
        """Return the digests in records [start, stop), uint64 of shape [stop - start, 4]."""
        return digests_in(self.records(start, stop))

    def records(self, start: int, stop: int) -> np.ndarray:
        """Return records [start, stop) as a structured array."""
        return np.fromfile(self.path, self._type, stop - start, offset=self.records_at + start * self._type.itemsize)

    @property
    def _type(self) -> np.dtype:
        return record_type(len(self.sources) or None)


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


def source_names(receipts: Sequence[Receipt]) -> tuple[str, ...]:
    """Return the sources that any of the receipts names, sorted; () where they are of no mixture."""
    return tuple(sorted({source.name for receipt in receipts for source in receipt.sources}))


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
    num_sources = None if header.sources is msgspec.UNSET else len(header.sources)
    num_records = (num_bytes - len(line)) // record_type(num_sources).itemsize
    return Receipt(path, header, len(line), num_records) if num_records else None
