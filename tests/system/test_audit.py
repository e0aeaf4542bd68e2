"""Audit: the receipts of ranks that are stopped, resumed and replaced prove that every sample came exactly once."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
from auditing import COUNTS, audited, close, found
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numbered import NumberedReader, loader_of, write_chunks
from products import examples
from ranks import PLENTY, global_batches, rank_loaders, through_json, write_counted

from pyloader import DataLoader, Dataset, World
from pyloader.audit import ReceiptWriter, audit_epochs
from pyloader.errors import DataDirError, ReceiptError
from pyloader.files import list_chunks
from pyloader.run import making

counts = st.lists(st.integers(0, 30) | st.integers(0, 1), min_size=1, max_size=8).filter(any)


def divisors(number):
    return [size for size in range(1, number + 1) if number % size == 0]


@pytest.mark.slow
@settings(max_examples=examples(100))
@given(
    counts=counts,
    num_streams=st.sampled_from([1, 2, 3, 4, 6]),
    share=st.integers(1, 6),
    window=st.integers(1, 6),
    last_batch=st.sampled_from(["drop", "pad", "wrap"]),
    shuffle=st.booleans(),
    data=st.data(),
)
def test_runs_that_stop_go_back_and_change_their_ranks_deliver_every_sample_once(
    tmp_path_factory, counts, num_streams, share, window, last_batch, shuffle, data
):
    """Some ranks are ahead of others when a run is killed, and it goes on from any state saved before."""
    total, whole = sum(counts), share * num_streams
    assume(total >= (whole if last_batch == "drop" else num_streams))
    directory = tmp_path_factory.mktemp("data")
    chunks = write_counted(directory / "chunks", counts)
    options = {"last_batch": last_batch, "shuffle": shuffle, "shuffle_window": window if shuffle else None}
    options |= {"num_epochs": None, "audit_dir": directory / "receipts"}
    steps = total // whole if last_batch == "drop" else -(-total // whole)
    states = []
    for run in range(3):
        size = data.draw(st.sampled_from(divisors(num_streams)))
        begun_with = {"num_streams": num_streams} if run == 0 else {}
        loaders = rank_loaders(chunks, size, batch_size=whole // size, **begun_with, **options)
        done = data.draw(st.integers(0, len(states) - 1)) if states else 0
        for loader in loaders if states else []:
            loader.load_state_dict(states[done])
        states = [*states[:done], through_json(loaders[0].state_dict())]
        for _ in range(data.draw(st.integers(0 if run < 2 else 1, 2 * steps))):
            global_batches(loaders, 1)
            states.append(through_json(loaders[0].state_dict()))
        if run < 2 and len(states) - 1 > done:
            for loader in loaders[: data.draw(st.integers(0, size - 1))]:
                next(loader)
        close(loaders)
    audit = audited(directory)
    assert found(audit) == []
    assert [epoch.epoch for epoch in audit.epochs] == [*range(-(-(len(states) - 1) // steps))]
    *before, last = audit.epochs
    assert all(epoch.state == "complete" for epoch in before)
    assert last.state == ("complete" if (len(states) - 1) % steps == 0 else "running")
    assert last.steps_done == (len(states) - 2) % steps + 1
    for epoch in audit.epochs:
        if epoch.state == "complete":
            assert (epoch.delivered, epoch.num_samples) == (total - epoch.dropped, total)
            assert epoch.dropped == (total % whole if last_batch == "drop" else 0)
            assert epoch.repeated == (0 if last_batch == "drop" else -total % whole)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("last_batch", ["keep", "drop", "pad", "wrap"])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("order", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_window": 99}, {"copy": False}])
def test_a_run_of_one_rank_is_proven_complete(tmp_path, order, text, last_batch, num_workers):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    options = {"batch_size": 8, "num_epochs": 3, "num_workers": num_workers, "max_queue_size": PLENTY, **order}
    with loader_of(
        chunks, text=text, last_batch=last_batch, audit_dir=tmp_path / "receipts", world=None, **options
    ) as loader:
        num_rows = sum(len(batch["id"]) for batch in loader)
        assert "\0sample" not in loader.peek()
    audit = audited(tmp_path)
    assert audit.is_good
    assert [epoch.state for epoch in audit.epochs] == ["complete"] * 3
    assert sum(epoch.delivered + epoch.repeated for epoch in audit.epochs) == num_rows


def damage(monkeypatch, step, change):
    """Let `change` spoil the columns that are gathered for a step of epoch 0, ids and all."""
    gather = making.gather_group

    def spoiled(group, memory):
        columns = gather(group, memory)
        if (group.epoch, group.step) == (0, step):
            for values in columns.values():
                change(values)
        return columns

    monkeypatch.setattr(making, "gather_group", spoiled)


def delivered_once(directory, size=1, **options):
    """Let every rank deliver an epoch, unshuffled, so that step k has the rows from 8 * k on."""
    chunks = write_counted(directory / "chunks", COUNTS)
    options = {"batch_size": 8 // size, "last_batch": "drop", "max_queue_size": PLENTY, **options}
    loaders = rank_loaders(chunks, size, audit_dir=directory / "receipts", **options)
    for loader in loaders:
        assert len(list(loader)) == 23
    close(loaders)


def test_a_row_that_is_gathered_twice_is_named_with_the_one_that_it_displaced(tmp_path, monkeypatch):
    def change(values):
        values[2] = values[5]

    damage(monkeypatch, 4, change)
    # With lists and a bound on bytes a group is one batch.
    delivered_once(tmp_path, reader=NumberedReader(text=True), max_bytes="1 GiB")
    audit = audited(tmp_path)
    assert [epoch.state for epoch in audit.epochs] == ["bad"]
    ((kind, epoch, first, last, who, text),) = found(audit)
    assert (kind, epoch, first, last, who) == ("differs", 0, 4, 4, "rank 0 of 1")
    assert text == "chunk-0002.numbered row 4 did not come, chunk-0002.numbered row 7 came twice"


def test_rows_that_change_places_within_a_batch_are_the_same_samples(tmp_path, monkeypatch):
    def change(values):
        values[:] = values[::-1].copy()

    damage(monkeypatch, 4, change)
    # With lists and a bound on bytes a group is one batch.
    delivered_once(tmp_path, reader=NumberedReader(text=True), max_bytes="1 GiB")
    assert audited(tmp_path).is_good


def test_a_batch_that_comes_in_place_of_another_is_told(tmp_path, monkeypatch):
    write, digests = ReceiptWriter.write, []

    def exchanged(self, order, epoch, step, digest):
        digests.append(digest)
        write(self, order, epoch, step, digests[step - 1 if step in (7, 12) else step])

    monkeypatch.setattr(ReceiptWriter, "write", exchanged)
    delivered_once(tmp_path)
    assert [(finding.first_step, finding.what) for finding in audited(tmp_path).findings] == [
        (7, "other samples than the 8 planned"),
        (12, "other samples than the 8 planned"),
    ]


def test_samples_that_a_share_lacks_or_has_too_many_of_are_counted(tmp_path, monkeypatch):
    write = ReceiptWriter.write

    def changed(self, order, epoch, step, digest):
        write(self, order, epoch, step, digest + np.array([[0], [5], [2**64 - 3]][step % 3] + [0, 0, 0], np.uint64))

    monkeypatch.setattr(ReceiptWriter, "write", changed)
    delivered_once(tmp_path, 2)
    audit = audited(tmp_path)
    texts = Counter(finding.what for finding in audit.findings)
    assert texts == {
        "5 samples more than the 4 planned": 4,
        "3 samples fewer than the 4 planned": 4,
        "other samples than planned": 4 + 8,  # two steps each, of either rank
    }


def test_a_rank_without_receipts_is_missing(tmp_path):
    delivered_once(tmp_path, 4)
    for path in tmp_path.glob("receipts/rank-2-of-4*"):
        path.unlink()
    audit = audited(tmp_path)
    assert found(audit) == [("missing", 0, 0, 22, "rank 2 of 4", "no receipt")]
    assert audit.epochs[0].delivered == 23 * 6


def test_damaged_records_are_told_and_their_steps_missing(tmp_path):
    delivered_once(tmp_path, 2)
    (path,) = tmp_path.glob("receipts/rank-1-of-2*")
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    audit = audited(tmp_path)
    assert not audit.is_good
    assert audit.damaged == {str(path): 1}
    assert found(audit) == [("missing", 0, 18, 18, "rank 1 of 2", "no receipt")]


def test_receipts_of_other_chunks_and_of_other_orders_are_refused(tmp_path):
    delivered_once(tmp_path)
    with pytest.raises(ReceiptError, match="is of other chunks: their names or sizes differ from those of"):
        audit_epochs(tmp_path / "receipts", list_chunks(write_counted(tmp_path / "others", [3, 4])))
    with loader_of(tmp_path / "chunks", batch_size=4, seed=1, world=None, audit_dir=tmp_path / "receipts") as loader:
        next(loader)
    with pytest.raises(ReceiptError, match=r"was written with .*seed=.*batch_size=.*, and rank-0-of-1.* with seed="):
        audited(tmp_path)


def test_epochs_that_no_run_has_both_of_are_refused_at_once(tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    with loader_of(directory, batch_size=10, num_workers=0, audit_dir=tmp_path / "receipts", world=None) as loader:
        next(loader)
        order = loader._options.order
    writer = ReceiptWriter(tmp_path / "receipts", rank=0, size=1)
    writer.write(order, 2**32 - 1, 0, np.zeros(4, np.uint64))
    writer.close()
    with pytest.raises(ReceiptError, match=r"of epoch 0 and of epoch 4,294,967,295, more than 100,000 apart"):
        audited(tmp_path)


def test_chunks_without_counts_are_refused_at_once_with_the_way_to_count(tmp_path):
    chunks = write_chunks(tmp_path / "chunks", COUNTS)
    with pytest.raises(DataDirError, match=r"an audit needs to know what an epoch holds. .*pyloader index"):
        loader_of(chunks, audit_dir=tmp_path / "receipts")
    assert not (tmp_path / "receipts").exists()


def test_what_max_skipped_leaves_out_is_named(tmp_path):
    class Refusing(Dataset):
        def batch_encode(self, columns):
            assert not set(columns["id"].tolist()) & {32, 70, 71}
            return columns

    chunks = write_counted(tmp_path / "chunks", COUNTS)
    options = {"batch_size": 8, "max_skipped": 3, "num_workers": 0, "world": None}
    with DataLoader(
        NumberedReader(), Refusing(), data_dir=chunks, audit_dir=tmp_path / "receipts", **options
    ) as loader:
        assert sum(len(batch["id"]) for batch in loader) == 189
    audit = audited(tmp_path)
    assert [(finding.first_step, finding.what) for finding in audit.findings] == [
        (4, "chunk-0002.numbered row 2 did not come, another row stands in"),
        (8, "2 samples fewer than the 8 planned, 2 rows stand in"),
    ]
    assert (audit.epochs[0].delivered, audit.epochs[0].repeated) == (186, 3)


def test_a_receipt_that_cannot_be_written_ends_the_run_after_the_batches_before_it(tmp_path, monkeypatch):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    with loader_of(chunks, batch_size=8, world=None, audit_dir=tmp_path / "receipts") as loader:
        next(loader)
        state = loader.state_dict()

        def full(descriptor, data):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            for _ in range(2):
                with pytest.raises(ReceiptError, match="No space left on device"):
                    next(loader)
        assert loader.state_dict() == state
        loader.load_state_dict(state)
        assert len(list(loader)) == 23
    assert audited(tmp_path).epochs[0].state == "complete"


def test_a_look_at_the_next_batch_is_no_delivery(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    with loader_of(chunks, batch_size=8, world=World(0, 1), audit_dir=tmp_path / "receipts") as loader:
        for _ in range(3):
            loader.peek()
            next(loader)
        loader.peek()
        assert audited(tmp_path).epochs[0].steps_done == 3
        assert len(list(loader)) == 21
        loader.peek()
    audit = audited(tmp_path)
    assert (len(audit.epochs), audit.epochs[0].state, audit.num_replaced) == (1, "complete", 0)
