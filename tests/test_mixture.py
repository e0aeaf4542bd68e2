"""Mixtures through the door: shares, ends, states of changed mixtures, and what is refused."""

from __future__ import annotations

import json
import logging
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixed_sources import FAR, mixed_ranks, steps_of_all, write_sources
from store_server import StoreServer

from pyloader import ChunkWriter, DataLoader, Mixture, World, split
from pyloader.audit import audit_sources
from pyloader.errors import CollateError, DataDirError, StateError
from pyloader.files import list_chunks

SIZES = {"web": (200, 40), "code": (60, 20), "math": (30, 30)}
WEIGHTS = {"web": 6, "code": 3, "math": 1}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_sources(tmp_path_factory.mktemp("sources"), SIZES)


def loader_of(places: dict[str, Path], **options: Any) -> DataLoader:
    return DataLoader(**{"data_dir": places, "weights": WEIGHTS, "batch_size": 10, "num_workers": 0, **options})


def xs(loader: DataLoader) -> list[list[int]]:
    return [batch["x"].tolist() for batch in loader]


def test_every_batch_has_its_shares_and_says_which_row_is_of_which_source(places):
    with loader_of(places, shuffle=True, with_source=True) as loader:
        batch = next(loader)
        assert batch["source"].dtype == np.int64
        assert np.bincount(batch["source"]).tolist() == [6, 3, 1]
        assert (batch["x"] // FAR == batch["source"]).all()
        assert len(loader) == 20  # 60 of code, three a step


def test_one_object_says_the_same_as_the_options(places):
    mixture = Mixture(data_dir=places, weights=WEIGHTS, num_steps=7)
    with DataLoader(mixture=mixture, batch_size=10) as one, loader_of(places, num_steps=7) as other:
        assert xs(one) == xs(other)


def test_without_weights_the_shares_are_the_sizes_and_all_is_delivered(places):
    with loader_of(places, weights=None, with_source=True) as loader:
        batches = list(loader)
    assert len(batches) == 29
    assert np.bincount(np.concatenate([batch["source"] for batch in batches])).tolist() == [200, 60, 30]
    assert all(np.abs(np.bincount(batch["source"], minlength=3) - [6.9, 2.07, 1.03]).max() < 2 for batch in batches)


def test_the_next_for_goes_through_the_mixture_again_in_a_new_order(places):
    with loader_of(places, shuffle=True, weights=None) as loader:
        first, second = xs(loader), xs(loader)
        assert sorted(chain(*first)) == sorted(chain(*second)) and first != second
        assert loader.stats().sources["web"].epochs == 1


def test_another_source_changes_no_rows_of_the_others_nor_their_keys(places):
    def keys_of(*names: str) -> dict[int, int]:
        options = {
            "data_dir": {name: places[name] for name in names},
            "weights": {name: WEIGHTS[name] for name in names},
        }
        with mixed_ranks(1, 1, share=10, shuffle=True, **options) as loaders:
            found = steps_of_all(loaders)
        rows = [pair for batch in found for pair in zip(batch["x"].tolist(), batch["key"].tolist(), strict=True)]
        return {row: key for row, key in rows if row // FAR == 0}

    alone, beside = keys_of("web"), keys_of("web", "math", "code")
    common = [row for row in alone if row in beside]
    assert len(common) > 100 and list(beside)[:60] == list(alone)[:60]
    assert [beside[row] for row in common] == [alone[row] for row in common]


def test_a_row_that_fills_up_has_another_key_than_the_row_that_it_repeats(places):
    options = {"data_dir": {"math": places["math"]}, "on_exhausted": "drop", "last_batch": "pad"}
    with mixed_ranks(1, 1, share=16, **options) as loaders:
        last = steps_of_all(loaders)[-1]
    assert last["mask"].sum() == 14 and len(np.unique(last["key"][13:15])) == 2 and last["x"][14] == last["x"][13]


@pytest.mark.slow
def test_a_state_of_twenty_sources_takes_less_than_four_kilobytes(tmp_path):
    sizes = {f"a-source-of-text-{number:02}": (12, 6) for number in range(20)}
    places = write_sources(tmp_path, sizes)
    weights = [(step, {name: 1 + place for place, name in enumerate(sizes)}) for step in (0, 10**8)]
    with loader_of(places, weights=weights, on_exhausted="repeat", num_steps=10**9, batch_size=64) as loader:
        loader.skip(500)
        assert len(json.dumps(loader.state_dict())) < 4096
        assert "max_queue_size=21" in repr(loader) or loader.stats().max_queue_size >= 20


def test_weights_may_change_where_a_run_goes_on_and_shares_are_counted_from_there(places, caplog):
    with loader_of(places, on_exhausted="repeat", num_steps=30) as loader:
        before = [next(loader)["x"].tolist() for _ in range(7)]
        state = loader.state_dict()
    changed = {"web": 0, "code": 5, "math": 5}
    with loader_of(places, weights=changed, on_exhausted="repeat", num_steps=30, with_source=True) as loader:
        with caplog.at_level(logging.INFO, logger="pyloader"):
            loader.load_state_dict(state)
        assert "going on with other weights: from step 7 on shares are counted anew" in caplog.text
        after = list(loader)
        assert len(after) == 23 and len(loader) == 30
        assert [np.bincount(batch["source"], minlength=3).tolist() for batch in after] == [[0, 5, 5]] * 23
        assert loader.state_dict()["base_step"] in (0, 7)
        # Code goes on where it was: 21 rows were delivered, 39 of this epoch are to come.
        came = [*chain(*before)] + [x for batch in after for x in batch["x"].tolist()]
        code = [x for x in came if x // FAR == 1]
        assert len(set(code[:60])) == 60
        with pytest.raises(ValueError, match="step 3 comes before step 7, where a loader went on, and the weights"):
            loader.locate(3)
        located = {step: loader.locate(step) for step in (7, 12)}
        loader.load_state_dict(state)
        for _ in range(15):
            next(loader)
        later = loader.state_dict()
    with loader_of(places, weights=changed, on_exhausted="repeat", num_steps=30) as loader:
        loader.load_state_dict(later)  # the shares hold from step 7 on, also for a loader that goes on after that
        assert {step: loader.locate(step) for step in located} == located


def test_a_state_before_the_weights_change_can_be_located_where_they_are_the_same(places):
    with loader_of(places) as loader:
        expected = [next(loader)["x"].tolist() for _ in range(5)]
        state = loader.state_dict()
    with loader_of(places) as loader:
        loader.load_state_dict(state)
        rows = {name: dict.fromkeys(range(3)) for name in places}
        assert [name for name, _, _ in loader.locate(2)] == [
            list(rows)[x // FAR] for x in sorted(expected[2], key=sort_key)
        ]


def sort_key(x: int) -> tuple[str, int]:
    return sorted(SIZES).index(list(SIZES)[x // FAR]), x


def test_sources_may_be_added_where_a_run_goes_on_and_one_that_is_gone_is_refused_by_name(places, caplog):
    two = {name: places[name] for name in ("web", "code")}
    weights = {"web": 1, "code": 1}
    with loader_of(two, weights=weights) as loader:
        next(loader)
        state = loader.state_dict()
    with loader_of(places, weights={**weights, "math": 2}, with_source=True) as loader:
        with caplog.at_level(logging.INFO, logger="pyloader"):
            loader.load_state_dict(state)
        assert "going on with 'math' added" in caplog.text
        assert np.bincount(next(loader)["source"], minlength=3).sum() == 10
    with loader_of({"web": places["web"]}, weights={"web": 1}) as loader:
        with pytest.raises(StateError, match="saved with the source 'code', which this loader has not") as caught:
            loader.load_state_dict(state)
        assert "weights={'code': 0, ...}" in str(caught.value)
    with (
        loader_of({**two, "code": places["math"]}, weights=weights) as loader,
        pytest.raises(StateError, match="other chunks of the source 'code'"),
    ):
        loader.load_state_dict(state)


def test_states_of_a_mixture_and_of_one_source_are_told_apart(places):
    with loader_of(places) as loader, DataLoader(data_dir=places["web"]) as one:
        with pytest.raises(StateError, match="saved with one source; this loader has a mixture"):
            loader.load_state_dict(one.state_dict())
        with pytest.raises(StateError, match="saved with a mixture; this loader has one source"):
            one.load_state_dict(loader.state_dict())


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["sources"]["web"].__setitem__(0, 10**20),
        lambda state: state["sources"]["web"].__setitem__(0, state["sources"]["web"][0] + 1),
        lambda state: state["sources"]["web"].__setitem__(1, 1),
        lambda state: state.__setitem__("base_step", 10),
        lambda state: state.__setitem__("sources", []),
        lambda state: state.pop("sources"),
        lambda state: (
            state["sources"]["web"].__setitem__(0, state["sources"]["web"][0] + 2),
            state["sources"]["code"].__setitem__(0, state["sources"]["code"][0] - 2),
        ),
    ],
)
def test_a_state_that_was_changed_is_refused(places, change):
    with loader_of(places) as loader:
        next(loader)
        state = json.loads(json.dumps(loader.state_dict()))
        change(state)
        with pytest.raises(StateError):
            loader.load_state_dict(state)


def test_windows_of_a_state_hold_where_none_is_given(places):
    with loader_of(places, shuffle=True, shuffle_window={"web": 2, "math": 1}) as loader:
        expected, state = xs(loader), None
    with loader_of(places, shuffle=True, shuffle_window={"web": 2, "math": 1}) as loader:
        for _ in range(4):
            next(loader)
        state = loader.state_dict()
    with loader_of(places, shuffle=True) as loader:
        loader.load_state_dict(state)
        assert xs(loader) == expected[4:]
    with (
        loader_of(places, shuffle=True, shuffle_window=1) as loader,
        pytest.raises(StateError, match="saved with shuffle_window=4 for the source 'code'; this loader has 1"),
    ):
        loader.load_state_dict(state)


def test_the_lightest_sources_mix_fewer_chunks_until_the_usual_queue_holds_them(tmp_path):
    places = write_sources(tmp_path, dict.fromkeys("abcd", (40, 5)))
    with loader_of(places, shuffle=True, weights={"a": 4, "b": 3, "c": 2, "d": 1}) as loader:
        assert {name: entry[2] for name, entry in loader.state_dict()["sources"].items()} == {
            "a": 4,
            "b": 1,
            "c": 1,
            "d": 1,
        }
        assert "shuffle_window={'a': 4, 'b': 1, 'c': 1, 'd': 1}" in repr(loader)
        list(loader)
        assert loader.stats().resident_peak <= 10


def test_a_queue_that_cannot_hold_the_windows_is_refused_with_the_arithmetic(places):
    with pytest.raises(
        ValueError, match=r"hold 8 chunks for mixing, and one.*at least 9, got 5. Write max_queue_size=9"
    ):
        loader_of(places, shuffle=True, max_queue_size=5)
    with loader_of(places, shuffle=True, max_queue_size=9) as loader:
        next(loader)
    with loader_of(places, shuffle=True, max_queue_size=5, shuffle_window=1) as loader:
        next(loader)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": {"web": 1, "code": 1}}, "lacks the source 'math'"),
        ({"weights": {"web": 1, "code": 1, "maths": 1}}, "names 'maths', which is no source"),
        ({"weights": {**WEIGHTS, "books": 1}}, "names 'books', which is no source"),
        ({"weights": dict.fromkeys(WEIGHTS, 0)}, "are all 0"),
        ({"weights": {**WEIGHTS, "math": -1}}, "weight of 'math' must be at least 0"),
        ({"weights": {**WEIGHTS, "math": 1e-9}}, "weight of 'math' at step 0 is less than a millionth"),
        ({"weights": {**WEIGHTS, "math": float("nan")}}, "weight of 'math' must be finite"),
        ({"weights": [(5, WEIGHTS), (5, WEIGHTS)]}, "must ascend, got 5 after 5"),
        ({"weights": []}, "says no weights"),
        ({"num_epochs": 2}, "Write num_steps="),
        ({"on_exhausted": "loop"}, "on_exhausted must be"),
        ({"shuffle_window": {"books": 2}}, "names 'books', which is no source"),
        ({"weight_by": "tokens", "weights": None}, "give weights="),
        ({"weight_by": "tokens"}, 'packed rows, pack=..., or a column "tokens"'),
        ({"on_exhausted": "drop", "world": World(0, 2)}, 'Write last_batch="drop", "pad" or "wrap"'),
    ],
)
def test_options_that_do_not_go_together_are_refused_with_what_to_write(places, options, words):
    with pytest.raises(ValueError, match=words):
        loader_of(places, **options)


def test_options_of_a_mixture_need_one(places):
    with pytest.raises(ValueError, match=r"weights=.* is for a mixture: data_dir=\{name: where, ...\}"):
        DataLoader(data_dir=places["web"], weights={"web": 1})
    with pytest.raises(TypeError, match="data_dir= is part of the mixture"):
        DataLoader(mixture=Mixture(data_dir=places), data_dir=places["web"])


def test_an_endless_mixture_has_no_length(places):
    with loader_of(places, on_exhausted="repeat") as loader:
        with pytest.raises(TypeError, match="num_steps= sets an end"):
            len(loader)
        next(loader)


def test_sources_with_other_columns_are_refused_at_the_start_with_the_difference(places, tmp_path):
    with ChunkWriter(tmp_path / "other", chunk_samples=5) as writer:
        for row in range(20):
            writer.write({"x": row / 2})
    with pytest.raises(DataDirError, match=r"is the source 'other', and .*float.*not.*int.* as 'code' has"):
        loader_of({**places, "other": tmp_path / "other"}, weights={**WEIGHTS, "other": 1})


def test_a_column_that_is_called_source_is_refused_where_ours_is_asked_for(tmp_path):
    with ChunkWriter(tmp_path / "one", chunk_samples=5) as writer:
        for row in range(20):
            writer.write({"source": row})
    with (
        loader_of({"one": tmp_path / "one"}, weights={"one": 1}, with_source=True) as loader,
        pytest.raises(CollateError, match="adds a column 'source', and the chunks have one"),
    ):
        next(loader)


def test_a_source_too_small_for_the_streams_needs_to_repeat(tmp_path):
    places = write_sources(tmp_path, {"one": (3, 3), "other": (40, 10)})
    options = {"weights": {"one": 1, "other": 1}, "world": World(0, 1, num_streams=4), "batch_size": 8}
    with pytest.raises(DataDirError, match=r"'one', whose 3 rows are too few for 4 streams.*on_exhausted=\"repeat\""):
        loader_of(places, **options)
    with loader_of(places, **options, on_exhausted="repeat", num_steps=12, with_source=True) as loader:
        rows = np.concatenate([batch["x"][batch["source"] == 0] for batch in loader])
    # Each third of its rows, stream after stream and step after step, is the source once.
    assert len(rows) == 48 and set(np.unique(rows, return_counts=True)[1].tolist()) == {16}


def test_stats_and_metrics_tell_the_sources_apart(places):
    with loader_of(places) as loader:
        list(loader)
        stats, metrics = loader.stats(), loader.metrics()
    assert [(name, each.num_samples, each.left_out) for name, each in stats.sources.items()] == [
        ("web", 120, 80), ("code", 60, 0), ("math", 20, 10),
    ]  # fmt: skip
    assert metrics["source_samples/web"] == 120 and metrics["source_epochs/code"] == 1.0
    assert "source     web: 120 samples (60.0%), 0.60 epochs, 80 left out" in str(stats)


def test_threads_processes_and_queues_change_nothing(places):
    with loader_of(places, shuffle=True) as loader:
        expected = xs(loader)
    with loader_of(places, shuffle=True, num_workers=2, num_readers=2, max_bytes="100MB") as loader:
        assert xs(loader) == expected
    with loader_of(places, shuffle=True, max_queue_size=40) as loader:
        assert xs(loader) == expected


def test_a_damaged_chunk_names_its_file_and_may_be_left_out_with_rows_of_its_own_source(tmp_path):
    places = write_sources(tmp_path, {"one": (40, 10), "other": (40, 10)})
    damaged = max(places["one"].glob("chunk-*"))
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    weights = {"one": 1, "other": 1}
    with loader_of(places, weights=weights) as loader, pytest.raises(Exception, match=damaged.name):
        list(loader)
    with loader_of(places, weights=weights, max_skipped=1, with_source=True) as loader:
        for batch in loader:
            assert (batch["x"] // FAR == batch["source"]).all()
        assert list(loader.stats().skipped) == [str(damaged)]


@pytest.mark.slow
def test_sources_may_lie_in_stores_and_on_disks_together(places, tmp_path):
    with loader_of(places, shuffle=True) as loader:
        expected = xs(loader)
    with StoreServer() as server:
        for name in ("web", "math"):
            server.put_directory(places[name], f"bucket/{name}")
        addresses = {**places, "web": "s3://bucket/web", "math": "s3://bucket/math"}
        options = {"storage_options": server.s3_options, "cache_dir": tmp_path / "cache", "shuffle": True}
        for num_workers in (0, 1):
            with loader_of(addresses, num_workers=num_workers, **options) as loader:
                assert xs(loader) == expected
                assert loader.stats().fetched_bytes > 0 or num_workers


def test_a_source_that_has_grown_is_read_in_the_version_that_the_state_was_saved_on(places, tmp_path, caplog):
    (tmp_path / "first.jsonl").write_text("".join(f'{{"x": {row}}}\n' for row in range(60)))
    split(tmp_path / "first.jsonl", tmp_path / "grows", chunk_samples=20, progress=False)
    sources = {"grows": tmp_path / "grows", "web": places["web"]}
    weights = {"grows": 1, "web": 1}
    with loader_of(sources, weights=weights) as loader:
        expected = xs(loader)
    with loader_of(sources, weights=weights) as loader:
        next(loader)
        state = loader.state_dict()
    (tmp_path / "second.jsonl").write_text("".join(f'{{"x": {row}}}\n' for row in range(60, 90)))
    split([tmp_path / "first.jsonl", tmp_path / "second.jsonl"], tmp_path / "grows", append=True, progress=False)
    with loader_of(sources, weights=weights) as loader:
        assert len(loader) == 18
        with caplog.at_level(logging.INFO, logger="pyloader"):
            loader.load_state_dict(state)
        assert "going on with version 1 of 'grows'" in caplog.text
        assert xs(loader) == expected[1:]
    with loader_of(sources, weights=weights, data_version={"grows": 1}, audit_dir=tmp_path / "receipts") as loader:
        assert "data_version" not in loader.state_dict() or loader.state_dict()["data_version"] == {"grows": 1}
        assert "data_version={'grows': 1}" in repr(loader)
        assert xs(loader) == expected
        with loader_of(sources, weights=weights) as newest:
            assert newest.state_dict()["data_version"] == {"grows": 2}
            with pytest.raises(
                StateError, match=r"version 2 of the chunks of 'grows'.* Leave 'grows' out of data_version"
            ):
                loader.load_state_dict(newest.state_dict())
    chunks = {name: list_chunks(place) for name, place in sources.items()}
    assert audit_sources(tmp_path / "receipts", chunks).is_good
    with pytest.raises(ValueError, match=r"data_version=2 says not of which source: data_version={'grows': 2}"):
        loader_of(sources, weights=weights, data_version=2)
