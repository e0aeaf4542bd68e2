"""Packed rows in the loader: every token once, the same global batches on any number of ranks, exact resume."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader import DataLoader, Packing, Ragged, World
from pyloader.errors import ReadFileError, StateError
from pyloader.plan import num_packed_rows

LENGTH = 16


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    root = tmp_path_factory.mktemp("documents")
    random, number = np.random.default_rng(0), 0
    for chunk in range(5):
        rows = []
        for length in np.minimum(random.lognormal(2.0, 1.0, 30 + chunk).astype(int), 60):
            rows.append(1000 * number + np.arange(length))
            number += 1
        write_chunk(root / f"chunk-{chunk:05d}.columns", rows)
    return root


def write_chunk(path, rows):
    column = Ragged.from_rows(rows, dtype="int64")
    path.mkdir()
    np.save(path / "tokens.values.npy", column.values)
    np.save(path / "tokens.offsets.npy", column.offsets)


def all_tokens(directory):
    return np.sort(np.concatenate([np.load(path) for path in directory.glob("*/tokens.values.npy")])).tolist()


def loader_of(directory, **options):
    return DataLoader(data_dir=directory, **{"batch_size": 4, "pack": LENGTH, "max_queue_size": 60, **options})


def tokens_in(batches):
    return np.sort(np.concatenate([batch["tokens"][batch["segment_ids"] > 0] for batch in batches])).tolist()


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        assert all(np.array_equal(batch[name], other[name]) for name in batch)


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_window": 1}])
def test_an_epoch_has_every_token_once_and_the_next_one_other_rows(directory, options):
    with loader_of(directory, num_epochs=2, **options) as loader:
        batches = list(loader)
        half = loader.steps_per_epoch
    assert len(batches) == 2 * half
    assert tokens_in(batches[:half]) == tokens_in(batches[half:]) == all_tokens(directory)
    assert all(batch["tokens"].shape[1] == LENGTH for batch in batches)
    is_same = all(np.array_equal(a["tokens"], b["tokens"]) for a, b in zip(batches[:half], batches[half:], strict=True))
    assert is_same is (not options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"num_workers": 0}, {"num_workers": 3, "num_readers": 2}, {"worker_kind": "process"}, {"max_bytes": "20MB"}],
)
def test_workers_change_nothing(directory, options):
    with loader_of(directory, shuffle=True) as loader, loader_of(directory, shuffle=True, **options) as other:
        assert_same(list(loader), list(other))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(0, 30), st.integers(0, 2**32))
def test_a_state_resumes_on_any_number_of_ranks(directory, size, window, steps, seed):
    def ranks(size):
        return [
            loader_of(
                directory, batch_size=8 // size, shuffle=True, shuffle_window=window, last_batch="pad", seed=seed,
                world=World(rank, size, 4), num_epochs=2, num_workers=0,
            )
            for rank in range(size)
        ]  # fmt: skip

    def global_batches(loaders):
        for shares in zip(*loaders, strict=True):
            yield sorted(map(tuple, np.concatenate([share["tokens"] for share in shares]).tolist()))

    whole = list(global_batches(ranks(1)))
    loaders = ranks(size)
    batches, steps = global_batches(loaders), steps % len(whole)
    first = [next(batches) for _ in range(steps)]
    states = [loader.state_dict() for loader in loaders]
    assert all(state == states[0] for state in states)
    other = ranks(4 // size)
    for loader in other:
        loader.load_state_dict(json.loads(json.dumps(states[0])))
    assert first + list(global_batches(other)) == whole


def test_a_state_is_refused_by_another_packing_which_it_names(directory):
    with loader_of(directory) as loader:
        next(loader)
        state = loader.state_dict()
    assert len(json.dumps(state)) < 2048
    for pack in (8, None):
        with (
            loader_of(directory, pack=pack) as other,
            pytest.raises(StateError, match=r"Make it DataLoader\(..., pack=Packing\(length=16, column='tokens'\)\)"),
        ):
            other.load_state_dict(state)


@pytest.mark.slow
def test_a_step_is_located_by_documents_and_tokens(directory):
    with loader_of(directory, shuffle=True, num_epochs=2) as loader:
        for step, batch in enumerate(loader):
            found = []
            for name, document, start, stop in loader.locate(step):
                offsets = np.load(directory / name / "tokens.offsets.npy")
                found += np.load(directory / name / "tokens.values.npy")[offsets[document] :][start:stop].tolist()
            assert found == batch["tokens"][batch["segment_ids"] > 0].tolist()


def test_lengths_are_read_once_and_written_down_beside_the_chunks(directory, monkeypatch):
    with loader_of(directory) as loader:
        known = loader.steps_per_epoch
    (written,) = directory.glob(".packed-16-*.json")
    with loader_of(directory) as loader:
        assert sum(json.loads(written.read_text())["rows"]) == sum(len(batch["tokens"]) for batch in loader)

    def fail(*_):
        raise AssertionError("the lengths are read again")

    monkeypatch.setattr("pyloader.run.packed.packed_lengths", fail)
    with loader_of(directory) as loader:
        assert loader.steps_per_epoch == known


@pytest.mark.parametrize("text", ["", "[1]", '{"format": "pyloader-packed-rows"}', "[" * 9999])
def test_what_strangers_wrote_down_is_counted_again(directory, text):
    with loader_of(directory) as loader:
        known = loader.steps_per_epoch
    (written,) = directory.glob(".packed-16-*.json")
    written.write_text(text)
    with loader_of(directory) as loader:
        assert loader.steps_per_epoch == known


def test_wrong_numbers_are_an_error_that_says_what_to_remove(directory):
    with loader_of(directory):
        (written,) = directory.glob(".packed-16-*.json")
    right = json.loads(written.read_text())
    written.write_text(json.dumps({**right, "rows": [number + 1 for number in right["rows"]]}))
    try:
        with loader_of(directory) as loader, pytest.raises(ReadFileError, match=r"gives \d+ packed rows.*\.packed-"):
            next(loader)
    finally:
        written.unlink()


def test_where_nothing_can_be_written_the_users_cache_has_the_numbers(directory, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = sorted(map(str, directory.glob("*.columns")))
    with loader_of(files[:2]) as loader:
        assert len(loader) > 0
    monkeypatch.setattr(os, "access", lambda *_: False)
    with loader_of(directory, pack=LENGTH + 1) as loader:
        assert tokens_in(loader) == all_tokens(directory)
    assert len(list((tmp_path / "cache" / "pyloader" / "packed").glob("packed-*.json"))) == 1
    assert not list(directory.glob(".packed-17-*"))


def test_documents_in_lines_of_json_are_packed_too(tmp_path):
    rows = [[1, 2, 3], [], [4], list(range(10, 40))]
    (tmp_path / "chunk.jsonl").write_text("".join(f'{{"ids": {json.dumps(row)}, "url": "x"}}\n' for row in rows))
    with loader_of(tmp_path, pack=Packing(length=LENGTH, column="ids", drop=("url",))) as loader:
        batches = list(loader)
    found = np.concatenate([batch["ids"][batch["segment_ids"] > 0] for batch in batches])
    assert sorted(found.tolist()) == sorted(token for row in rows for token in row)


def test_a_packing_of_no_tokens_is_refused(directory):
    with pytest.raises(ValueError, match="pack must be"):
        loader_of(directory, pack=0)


@pytest.mark.slow
def test_the_bounds_of_few_documents_a_row_are_in_every_batch_and_of_one_size(directory):
    pack = Packing(length=LENGTH, max_documents=2, document_ids=True)
    with loader_of(directory, pack=pack, shuffle=True) as loader:
        assert "max_documents=2" in repr(loader)
        batches = list(loader)
    assert tokens_in(batches) == all_tokens(directory)
    names = sorted(path.name for path in directory.glob("*.columns"))
    for batch in batches:
        assert batch["segment_ids"].max() <= 2
        bounds = batch["cu_seqlens"]
        assert (bounds.dtype, bounds.shape) == ("int32", (len(batch["tokens"]) * 3 + 1,))
        assert bounds[-1] == batch["tokens"].size and batch["max_seqlen"] == np.diff(bounds).max()
        is_there = batch["segment_ids"] > 0
        assert (batch["document_ids"][~is_there] == -1).all()
        names_of = ("chunk_ids", "document_ids", "position_ids", "tokens")
        assert batch["chunk_ids"].dtype == batch["document_ids"].dtype == np.int32
        for chunk, document, place, token in zip(*(batch[name][is_there].tolist() for name in names_of), strict=True):
            directory_of = directory / names[chunk]
            start = int(np.load(directory_of / "tokens.offsets.npy")[document])
            assert np.load(directory_of / "tokens.values.npy", mmap_mode="r")[start + place] == token


def test_the_fill_is_shown_and_small_chunks_are_told_how_large_to_be(tmp_path, caplog):
    lengths = np.minimum(np.random.default_rng(0).lognormal(1.5, 0.8, 240).astype(int) + 1, 15)
    for chunk in range(40):
        write_chunk(tmp_path / f"{chunk:02d}.columns", [np.ones(n) for n in lengths[6 * chunk : 6 * chunk + 6]])
    with caplog.at_level("INFO", "pyloader"), loader_of(tmp_path) as loader:
        batches = list(loader)
        rows = sum(len(batch["tokens"]) for batch in batches)
        fill = int(lengths.sum()) / rows / LENGTH
        assert loader.metrics()["packed_fill"] == pytest.approx(fill)
        assert f"({fill:.1%} filled)" in repr(loader) and f"packed     {fill:.1%}" in str(loader.stats())
    (line,) = [record.message for record in caplog.records if "filled" in record.message]
    assert f"rows of 16 tokens are filled to {100 * fill:.1f}%, with 6 documents a chunk" in line
    said = int(line.rpartition("--chunk-samples ")[2])
    assert num_packed_rows(lengths[:said], LENGTH) * LENGTH * 0.98 <= lengths[:said].sum()
    assert num_packed_rows(lengths[: said // 2], LENGTH) * LENGTH * 0.98 > lengths[: said // 2].sum()
    caplog.clear()
    with caplog.at_level("INFO", "pyloader"), loader_of(tmp_path, pack=Packing(length=1000, max_documents=1)):
        pass
    assert "larger chunks would not help" in caplog.text


def test_a_chunk_without_documents_is_an_error_at_the_start(tmp_path):
    (tmp_path / "chunk.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(ReadFileError, match=r"chunk.jsonl.*no column 'tokens' to pack, but 'text'"):
        loader_of(tmp_path)
