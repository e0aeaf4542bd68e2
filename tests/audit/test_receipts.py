"""Receipts: what was written comes back, also from files that were broken off, and damage is seen."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pyloader.audit import receipts as module
from pyloader.audit.history import spans_of
from pyloader.audit.receipts import ReceiptWriter, read_receipts
from pyloader.errors import ReceiptError
from pyloader.plan import Order

ORDER = Order(
    seed=7, shuffle="all", shuffle_window=4, batch_size=256, last_batch="drop", num_streams=4, fingerprint="0123"
)
STEPS_PER_EPOCH = 100
RECORD = 40


def digest(step):
    return np.array([step, 1, 2**64 - 1 - step, 5], np.uint64)


def written(directory, steps, *, order=ORDER):
    """A receipt of rank 1 of 2 that tells of these steps, and its file."""
    writer = ReceiptWriter(directory, rank=1, size=2)
    for step in steps:
        writer.write(order, step // STEPS_PER_EPOCH, step % STEPS_PER_EPOCH, digest(step))
    writer.close()
    (path,) = directory.glob("*.receipt")
    return path


def only_receipt(directory):
    (receipt,) = read_receipts(directory)
    return receipt


def told(directory):
    """The steps that a receipt tells of, one list a span, and how many records are damaged."""
    spans, num_damaged = spans_of(only_receipt(directory), STEPS_PER_EPOCH)
    for span in spans:
        wanted = np.array([digest(step) for step in range(span.first, span.stop)])
        assert (span.digests(span.first, span.stop) == wanted).all()
    return [[*range(span.first, span.stop)] for span in spans], num_damaged


def test_what_was_written_comes_back(tmp_path):
    path = written(tmp_path / "deep" / "down", range(250))
    receipt = only_receipt(tmp_path)
    assert (receipt.header.rank, receipt.header.size, receipt.header.order) == (1, 2, ORDER)
    assert told(tmp_path) == ([[*range(250)]], 0)
    assert path.stat().st_size < 700 + 250 * RECORD
    (span,), _ = spans_of(receipt, STEPS_PER_EPOCH)
    assert span.streams() == range(2, 4)
    assert span.begun <= span.ended <= span.begun + 10


def test_a_receipt_of_many_blocks_is_one_span(tmp_path, monkeypatch):
    written(tmp_path, range(50))
    monkeypatch.setattr(module, "_BLOCK_BYTES", 7 * 40)
    assert told(tmp_path) == ([[*range(50)]], 0)


def test_going_back_or_leaving_steps_out_begins_another_span(tmp_path):
    written(tmp_path, [3, 4, 5, 4, 5, 6, 9, 0])
    assert told(tmp_path) == ([[3, 4, 5], [4, 5, 6], [9], [0]], 0)


@pytest.mark.slow
def test_a_receipt_that_was_broken_off_anywhere_tells_of_the_steps_before(tmp_path):
    path = written(tmp_path, range(6))
    data = path.read_bytes()
    begin = data.index(b"\n") + 1
    for size in range(len(data)):
        path.write_bytes(data[:size])
        if size < begin + RECORD:
            with pytest.raises(ReceiptError, match="holds no receipts"):
                read_receipts(tmp_path)
        else:
            assert told(tmp_path) == ([[*range((size - begin) // RECORD)]], 0)


@pytest.mark.parametrize("at", range(RECORD))
def test_a_flipped_bit_costs_its_record_and_is_seen(tmp_path, at):
    path = written(tmp_path, range(6))
    data = bytearray(path.read_bytes())
    data[data.index(b"\n") + 1 + 2 * RECORD + at] ^= 1 << at % 8
    path.write_bytes(data)
    assert told(tmp_path) == ([[0, 1], [3, 4, 5]], 1)


def test_zeros_that_a_failing_machine_left_at_the_end_are_no_damage(tmp_path):
    path = written(tmp_path, range(6))
    path.write_bytes(path.read_bytes()[: -2 * RECORD] + bytes(2 * RECORD))
    assert told(tmp_path) == ([[0, 1, 2, 3]], 0)


def test_another_order_begins_another_receipt(tmp_path):
    writer = ReceiptWriter(tmp_path, rank=0, size=1)
    for order in (ORDER, replace(ORDER), replace(ORDER, num_streams=2), replace(ORDER, num_streams=2)):
        writer.write(order, 0, 0, digest(0))
    writer.close()
    assert sorted(receipt.header.order.num_streams for receipt in read_receipts(tmp_path)) == [2, 4]


def test_the_file_is_closed_with_its_writer(tmp_path):
    writer = ReceiptWriter(tmp_path, rank=0, size=1)
    writer.write(ORDER, 0, 0, digest(0))
    assert [name for name in map(_target, Path("/proc/self/fd").iterdir()) if name.endswith(".receipt")]
    del writer
    assert not [name for name in map(_target, Path("/proc/self/fd").iterdir()) if name.endswith(".receipt")]


def _target(link):
    return os.readlink(link) if link.is_symlink() else ""


def test_a_place_that_cannot_be_written_to_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReceiptError, match=r"file: could not be written: .*Give audit_dir a directory"):
        ReceiptWriter(tmp_path / "file", rank=0, size=1)
    with pytest.raises(ReceiptError, match=r"/proc/receipts: could not be written"):
        ReceiptWriter("/proc/receipts", rank=0, size=1)


def test_a_full_disk_is_an_error_and_what_was_written_stays(tmp_path, monkeypatch):
    writer = ReceiptWriter(tmp_path, rank=1, size=2)
    writer.write(ORDER, 0, 0, digest(0))
    real_write, room = os.write, [25]

    def write(descriptor, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size, room[0] = room[0], 0
        return real_write(descriptor, data[:size])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(ReceiptError, match=r"rank-1-of-2.*No space left.*Make room, or leave out audit_dir"):
            writer.write(ORDER, 0, 1, digest(1))
    assert told(tmp_path) == ([[0]], 0)
    writer.write(ORDER, 0, 1, digest(1))
    assert len(read_receipts(tmp_path)) == 2
    writer.close()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{}", "is no receipt"),
        ("not JSON", "is no receipt"),
        (json.dumps({"rank": 2}), "is of rank 2 of 2, with 4 streams: its header is damaged"),
        (json.dumps({"size": 3}), "is of rank 1 of 3, with 4 streams: its header is damaged"),
        (json.dumps({"version": 2}), "version 2; this pyloader reads 'pyloader-receipt', 1"),
    ],
)
def test_what_is_no_receipt_is_refused(tmp_path, line, found):
    path = written(tmp_path, range(3))
    header, _, records = path.read_bytes().partition(b"\n")
    if line.startswith('{"'):
        line = json.dumps({**json.loads(header), **json.loads(line)})
    path.write_bytes(line.encode() + b"\n" + records)
    with pytest.raises(ReceiptError, match=found):
        read_receipts(tmp_path)


@pytest.mark.slow
def test_a_header_is_known_to_be_damaged_whatever_byte_has_changed(tmp_path):
    path = written(tmp_path, range(3))
    data = path.read_bytes()
    for at in range(data.index(b"\n")):
        for byte in {b"0", b"1", b"x", bytes([data[at] ^ 1])} - {data[at : at + 1]}:
            path.write_bytes(data[:at] + byte + data[at + 1 :])
            with pytest.raises(ReceiptError, match=r"its header is damaged|is no receipt|this pyloader reads"):
                read_receipts(tmp_path)


def without_checksum(path, **changes):
    """Make a receipt like those of before there were checksums of headers, its order changed."""
    header, _, records = path.read_bytes().partition(b"\n")
    values = json.loads(header)
    del values["checksum"]
    values["order"] |= changes
    path.write_bytes(json.dumps(values, separators=(",", ":")).encode() + b"\n" + records)


def test_receipts_without_a_checksum_of_their_header_are_still_read(tmp_path):
    without_checksum(written(tmp_path, range(6)))
    assert told(tmp_path) == ([[*range(6)]], 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_streams": 0},
        {"batch_size": 0},
        {"batch_size": -256},
        {"batch_size": 255},
        {"seed": -1},
        {"shuffle": "some"},
        {"shuffle_window": 0},
        {"last_batch": "span"},
    ],
)
def test_an_order_that_no_loader_has_is_damage(tmp_path, changes):
    without_checksum(written(tmp_path, range(3)), **changes)
    with pytest.raises(ReceiptError, match=r"its header is damaged. Fetch it again"):
        read_receipts(tmp_path)


def test_a_step_that_its_epoch_does_not_have_is_damage(tmp_path):
    writer = ReceiptWriter(tmp_path, rank=1, size=2)
    for step in (0, STEPS_PER_EPOCH, 1):
        writer.write(ORDER, 0, step, digest(step))
    writer.close()
    assert told(tmp_path) == ([[0], [1]], 1)


def test_of_copies_the_longest_counts(tmp_path):
    path = written(tmp_path, range(6))
    for name, size in (("a", 80), ("z", 120)):
        (tmp_path / name).mkdir()
        (tmp_path / name / path.name).write_bytes(path.read_bytes()[:-size])
    assert told(tmp_path) == ([[0, 1, 2, 3, 4, 5]], 0)


def test_a_directory_without_receipts_is_refused_with_how_to_get_some(tmp_path):
    with pytest.raises(ReceiptError, match=r"holds no receipts. Have them written: DataLoader\(..., audit_dir="):
        read_receipts(tmp_path)
    with pytest.raises(ReceiptError, match="is no directory of receipts"):
        read_receipts(tmp_path / "nowhere")
