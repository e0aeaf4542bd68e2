"""Packed rows are audited, located and skipped by their pieces of documents."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import through_json

from pyloader import DataLoader, Packing, Ragged, World
from pyloader.audit import audit_epochs
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError, StateError
from pyloader.files import list_chunks
from pyloader.run import making
from pyloader.run.units import units_of_order

LENGTH = 16


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    root = tmp_path_factory.mktemp("packed") / "chunks"
    root.mkdir()
    random, first = np.random.default_rng(1), 0
    for chunk in range(4):
        lengths = np.minimum(random.lognormal(2.0, 1.0, 12 + chunk).astype(int), 60)
        column = Ragged.from_rows([first + np.arange(length) for length in lengths], dtype="int64")
        first += 1000
        path = root / f"chunk-{chunk}.columns"
        path.mkdir()
        np.save(path / "tokens.values.npy", column.values)
        np.save(path / "tokens.offsets.npy", column.offsets)
    return root


def ranks_of(chunks, size, *, batch_size=4, streams=2, **options):
    options = {"pack": LENGTH, "shuffle": True, "last_batch": "drop", "max_queue_size": 60, "num_workers": 0, **options}
    worlds = [World(rank, size, streams) for rank in range(size)]
    return [DataLoader(data_dir=chunks, batch_size=batch_size // size, world=world, **options) for world in worlds]


def audited(receipts, chunks):
    return audit_epochs(receipts, list_chunks(chunks), units_of_order)


def num_pieces(chunks):
    offsets = [np.load(path) for path in chunks.glob("*/tokens.offsets.npy")]
    return sum(int((-(-np.diff(each) // LENGTH)).sum()) for each in offsets)


def deliver(loaders, steps):
    """Let every rank take so many steps, and return the state after each."""
    states = [through_json(loaders[0].state_dict())]
    for _ in range(steps):
        for loader in loaders:
            next(loader)
        states.append(through_json(loaders[0].state_dict()))
    return states


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(["drop", "pad", "wrap"]), st.booleans(), st.sampled_from([None, 3]), st.integers(0, 12), st.data()
)
def test_pieces_are_proven_over_kills_and_other_ranks(
    chunks, tmp_path_factory, last_batch, shuffle, bound, steps, data
):
    receipts = tmp_path_factory.mktemp("receipts")
    options = {"last_batch": last_batch, "shuffle": shuffle, "num_epochs": None, "audit_dir": receipts}
    options["pack"] = Packing(length=LENGTH, max_documents=bound)
    states = deliver(ranks_of(chunks, 2, **options), steps)
    loaders = ranks_of(chunks, 1, **options)
    state = data.draw(st.sampled_from(states))
    loaders[0].load_state_dict(state)
    per_epoch = loaders[0].steps_per_epoch
    deliver(loaders, 2 * per_epoch - state["steps_done"] % per_epoch)
    loaders[0].close()
    audit = audited(receipts, chunks)
    assert not audit.findings
    assert audit.epochs and all(epoch.state == "complete" for epoch in audit.epochs)
    for epoch in audit.epochs:
        assert epoch.num_samples == num_pieces(chunks) == epoch.delivered + epoch.dropped
        assert (epoch.dropped > 0) <= (last_batch == "drop")


def test_a_piece_that_did_not_come_is_named(chunks, tmp_path, monkeypatch, capsys):
    right = making.piece_numbers

    def one_twice(columns):
        pieces, number = right(columns)
        pieces[0] = pieces[1]
        return pieces, number

    (loader,) = ranks_of(chunks, 1, streams=1, audit_dir=tmp_path)
    monkeypatch.setattr(making, "piece_numbers", one_twice)
    deliver([loader], 1)
    (name, document, start, stop), (twice, *_), *_ = loader.locate(0)
    loader.close()
    assert main(["audit", str(tmp_path), str(chunks)]) == 1
    shown = capsys.readouterr().out
    assert f"{name} row {document} tokens {start} to {stop} did not come, {twice} row" in shown
    assert "came twice" in shown


def test_the_commands_know_packed_rows(chunks, tmp_path, capsys):
    (loader,) = ranks_of(chunks, 1, streams=1, audit_dir=tmp_path / "receipts")
    states = deliver([loader], loader.steps_per_epoch)
    located = loader.locate(3)
    loader.close()
    assert main(["audit", str(tmp_path / "receipts"), str(chunks)]) == 0
    assert "every piece exactly once" in capsys.readouterr().out
    (tmp_path / "state.json").write_text(json.dumps(states[3]))
    assert main(["locate", str(tmp_path / "state.json"), str(chunks), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["samples"]
    assert [(each["chunk"], each["row"], each["start"], each["stop"]) for each in shown] == located
    assert main(["locate", str(tmp_path / "state.json"), str(chunks)]) == 0
    assert "tokens" in capsys.readouterr().out.splitlines()[1]


def test_an_order_of_other_documents_is_refused(chunks):
    with ranks_of(chunks, 1, streams=1)[0] as loader:
        order = loader._options.order
    wrong = order.packing[:-1] + ("0" if order.packing[-1] != "0" else "1")
    for packing, says in ((wrong, "other packed rows"), ("length=a", "names no packing")):
        with pytest.raises(StateError, match=says):
            units_of_order(list_chunks(chunks), replace(order, packing=packing))


def test_packed_rows_of_another_chunk_stand_in_for_one_that_became_unreadable(chunks, tmp_path):
    mine = tmp_path / "chunks"
    shutil.copytree(chunks, mine)
    options = {"streams": 1, "last_batch": "pad", "num_epochs": 1}
    with ranks_of(mine, 1, **options)[0] as loader:  # counts while all is well
        whole = list(loader)
    offsets = np.load(mine / "chunk-2.columns" / "tokens.offsets.npy")
    np.save(mine / "chunk-2.columns" / "tokens.offsets.npy", offsets[::-1])
    with ranks_of(mine, 1, **options)[0] as loader, pytest.raises(ChunkReadError, match=r"chunk-2.columns"):
        list(loader)
    with ranks_of(mine, 1, max_skipped=1, audit_dir=tmp_path / "receipts", **options)[0] as loader:
        batches, stats = list(loader), loader.stats()
    assert len(batches) == len(whole)
    (skipped,) = stats.skipped
    assert skipped.endswith("chunk-2.columns") and stats.stand_ins > 0
    good = [batch["tokens"][batch["mask"]][batch["segment_ids"][batch["mask"]] > 0] for batch in batches]
    others = [np.load(path) for path in mine.glob("*/tokens.values.npy") if "chunk-2" not in str(path)]
    assert np.sort(np.concatenate(good)).tolist() == np.sort(np.concatenate(others)).tolist()
    audit = audited(tmp_path / "receipts", chunks)
    assert sum("stand in" in finding.what or "stands in" in finding.what for finding in audit.findings) > 0


def test_a_document_that_became_unreadable_leaves_out_its_chunk(tmp_path):
    for chunk in range(2):
        rows = [{"tokens": list(range(10 * chunk, 10 * chunk + 3))} for _ in range(8)]
        (tmp_path / f"{chunk}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"data_dir": str(tmp_path / "*.jsonl"), "pack": 8, "batch_size": 2, "num_workers": 0}
    with DataLoader(**options) as loader:
        steps = len(loader)
    text = (tmp_path / "1.jsonl").read_text()
    (tmp_path / "1.jsonl").write_text("!" + text[1:])
    with DataLoader(max_skipped=2, **options) as loader:
        assert len(list(loader)) == steps
        (reason,) = loader.stats().skipped.values()
    assert "row 0" in reason
