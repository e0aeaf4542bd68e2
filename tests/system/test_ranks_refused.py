"""What the ranks are told when the world is looked up, and what is refused, with the numbers that would do."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from numbered import ids_of, loader_of, write_chunks
from ranks import rank_loaders, write_counted

from pyloader import ChunkWriter, DataLoader, World
from pyloader.errors import DataDirError, ManifestError, StateError
from pyloader.run import ranks
from pyloader.world import first_said

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]


# The world


def test_rank_and_size_may_be_given_as_two_numbers(tmp_path):
    directory = write_counted(tmp_path, [20])
    loader = loader_of(directory, batch_size=5, last_batch="drop", world=(1, 2))
    assert ids_of(loader) == [[10, 11, 12, 13, 14], [15, 16, 17, 18, 19]]
    assert "world=World(rank=1, size=2, num_streams=None)" in repr(loader)


def test_the_environment_is_asked_and_one_line_says_so(tmp_path, monkeypatch, caplog):
    directory = write_counted(tmp_path, [7318])
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with caplog.at_level(logging.INFO, "pyloader"):
        loader = loader_of(directory, batch_size=128, last_batch="drop")
    assert caplog.messages == ["rank 0 of 2 (RANK, WORLD_SIZE), 28 steps an epoch, 150 samples dropped"]
    assert len(loader) == 28


def test_world_none_is_just_this_process(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    directory = write_chunks(tmp_path, [20])
    assert len(ids_of(loader_of(directory, batch_size=10, world=None))) == 2


# What is refused


def test_chunks_without_counts_are_told_how_to_be_counted(tmp_path):
    directory = write_chunks(tmp_path, [20])
    message = rf"several ranks or streams need it to have equal steps. Count them once with: pyloader index {directory}"
    with pytest.raises(DataDirError, match=message):
        loader_of(directory, last_batch="drop", world=(0, 2))


def test_keep_is_refused_with_what_the_others_cost_here(tmp_path):
    directory = write_counted(tmp_path, [7318])
    message = (
        r"Of 7,318 samples in batches of 256 over all ranks, each epoch \"drop\" leaves out 150, \"pad\" adds 106 "
        r"masked rows, and \"wrap\" repeats 106. Write last_batch=\"drop\""
    )
    with pytest.raises(ValueError, match=message):
        loader_of(directory, batch_size=128, world=(0, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 10, "world": World(0, 2, 8)}, r"the 4 streams of each rank. Write batch_size=8 or 12"),
        ({"batch_size": 2, "world": World(0, 2, 8)}, r"the 4 streams of each rank. Write batch_size=4"),
        ({"world": "all"}, r'world must be "auto", None, \(rank, size\) or a World'),
        ({"world": (2, 2)}, r"rank counts from 0 and must be below size=2, got 2"),
        (
            {"batch_size": 8, "world": World(0, 1, 4), "shuffle": True, "shuffle_window": 4},
            r"each of the 4 streams here holds 4 chunks for mixing, and one is handed out: "
            r"max_queue_size must be at least 17, got 10. Write max_queue_size=17, or shuffle_window=2",
        ),
        ({"batch_size": 8, "world": World(0, 1, 16)}, r"batch_size=8 cannot be taken evenly"),
        (
            {"batch_size": 16, "world": World(0, 1, 16)},
            r"each of the 16 streams here holds a chunk: max_queue_size must be at least 16, got 10",
        ),
    ],
)
def test_options_that_do_not_go_with_ranks_say_what_does(tmp_path, options, message):
    directory = write_counted(tmp_path, [30] * 10)
    with pytest.raises((ValueError, TypeError), match=message):
        loader_of(directory, last_batch="drop", **options)


def test_stats_say_which_rank_it_is(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    _, loader = rank_loaders(directory, 2, num_streams=6, batch_size=6, last_batch="drop")
    list(loader)
    stats = loader.stats()
    assert (stats.rank, stats.num_ranks, stats.num_streams) == (1, 2, 6)
    assert "rank       1 of 2, with 3 of 6 streams" in str(stats)
    assert "rank" not in str(rank_loaders(directory, 1, batch_size=6)[0].stats())


def test_too_few_samples_are_refused(tmp_path):
    directory = write_counted(tmp_path, [3, 2])
    with pytest.raises(DataDirError, match="has 5 samples, too few for 6 streams"):
        loader_of(directory, last_batch="pad", world=(0, 6))
    with pytest.raises(DataDirError, match="has 5 samples, which make no batch of 6 over all ranks"):
        loader_of(directory, batch_size=3, last_batch="drop", world=(0, 2))


def saved_on(directory, size, num_streams=None, **options):
    loader = rank_loaders(directory, size, num_streams=num_streams, last_batch="drop", **options)[0]
    next(loader)
    return loader.state_dict()


def test_a_state_that_these_ranks_cannot_share_names_the_numbers_that_can(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    state = saved_on(directory, 4, batch_size=6)
    message = (
        r"4 streams, which 3 ranks cannot share.*can: 1 \(batch_size=24\), 2 \(batch_size=12\), 4 \(batch_size=6\)"
    )
    with pytest.raises(StateError, match=message):
        rank_loaders(directory, 3, batch_size=8, last_batch="drop")[0].load_state_dict(state)


def test_a_state_of_another_batch_over_all_ranks_says_which_batch_size_makes_it(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    state = saved_on(directory, 4, batch_size=6)
    message = r"batches of 24 samples over all ranks; batch_size=6 makes 12 on 2 ranks. Make it .*batch_size=12\)"
    with pytest.raises(StateError, match=message):
        rank_loaders(directory, 2, batch_size=6, last_batch="drop")[0].load_state_dict(state)


def test_a_state_of_one_stream_is_refused_on_several_ranks(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    state = saved_on(directory, 1, batch_size=24)
    with pytest.raises(StateError, match=r"one stream, which 2 ranks cannot share.*one rank and batch_size=24"):
        rank_loaders(directory, 2, batch_size=12, last_batch="drop")[0].load_state_dict(state)


def test_a_number_of_streams_that_contradicts_the_states_is_refused(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    state = saved_on(directory, 4, batch_size=6)
    with pytest.raises(StateError, match=r"num_streams=4; this loader has num_streams=2. Make it World\(0, 2\)"):
        rank_loaders(directory, 2, num_streams=2, batch_size=12, last_batch="drop")[0].load_state_dict(state)


def test_a_state_whose_streams_do_not_fit_the_queue_is_refused_with_the_arithmetic(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    state = saved_on(directory, 4, batch_size=6, shuffle=True)
    loader = rank_loaders(directory, 1, batch_size=24, last_batch="drop", shuffle=True, max_queue_size=10)[0]
    with pytest.raises(
        StateError, match=r"the state was saved with 4 streams. .*max_queue_size must be at least 17, got 10"
    ):
        loader.load_state_dict(state)


def test_another_seed_is_refused_on_ranks_too(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    state = saved_on(directory, 2, batch_size=6, seed=0)
    with pytest.raises(StateError, match=r"saved with seed=0; this loader has seed=1"):
        rank_loaders(directory, 2, batch_size=6, seed=1, last_batch="drop")[0].load_state_dict(state)


def test_a_state_with_more_streams_than_samples_is_refused(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    loader = rank_loaders(directory, 2, batch_size=6, last_batch="drop")[0]
    with pytest.raises(StateError, match=r"saved with 1000000000000 streams"):
        loader.load_state_dict({**loader.state_dict(), "num_streams": 10**12})
    with pytest.raises(StateError, match=r"ranks cannot share evenly. .* 1000000000001 \("):
        loader.load_state_dict({**loader.state_dict(), "num_streams": 10**12 + 1})


@pytest.mark.parametrize("num_streams", [None, "4", -1, 1.5, 0])
def test_a_state_with_streams_that_make_no_sense_is_refused(tmp_path, num_streams):
    directory = write_counted(tmp_path, COUNTS)
    loader = rank_loaders(directory, 2, batch_size=6, last_batch="drop")[0]
    with pytest.raises(StateError, match="num_streams="):
        loader.load_state_dict({**loader.state_dict(), "num_streams": num_streams})


# Ranks that read different versions


class Place:
    """Where ranks meet, as torch.distributed and jax.distributed have it."""

    def __init__(self):
        self.said = {}

    def compare_set(self, key, expected, value):
        return self.said.setdefault(key, value).encode()

    def key_value_set(self, key, value):
        if key in self.said:
            raise RuntimeError("ALREADY_EXISTS")
        self.said[key] = value

    def blocking_key_value_get(self, key, milliseconds):
        return self.said[key]


def as_rank(monkeypatch, source, rank, place):
    """Make this process a rank of two, which has made no loader yet."""
    monkeypatch.setattr(ranks, "_made", Counter())
    monkeypatch.setattr("pyloader.run.resolving.resolve_world", lambda given: (World(rank, 2), source))
    torch = SimpleNamespace(distributed_c10d=SimpleNamespace(_get_default_store=lambda: place))
    monkeypatch.setitem(sys.modules, "torch.distributed", torch)
    monkeypatch.setitem(
        sys.modules, "jax._src.distributed", SimpleNamespace(global_state=SimpleNamespace(client=place))
    )


@pytest.mark.parametrize("source", ["torch.distributed", "jax.distributed"])
def test_ranks_that_read_different_versions_are_told_at_the_start(tmp_path, monkeypatch, source):
    with ChunkWriter(tmp_path / "set", chunk_samples=20) as writer:
        writer.write_columns({"id": list(range(100))})
    options = {"data_dir": tmp_path / "set", "batch_size": 5, "last_batch": "drop", "num_workers": 0}
    place = Place()
    as_rank(monkeypatch, source, 0, place)
    first, second = DataLoader(**options), DataLoader(**options)
    with ChunkWriter(tmp_path / "set", append=True) as writer:
        writer.write({"id": 100})
    as_rank(monkeypatch, source, 1, place)
    with pytest.raises(ManifestError, match=r"read by rank 1 in version 2, and by rank 0 in version 1\..*version=1\)"):
        DataLoader(**options)
    assert len(DataLoader(**options, data_version=1)) == len(first) == len(second)


@pytest.mark.parametrize("place", [None, SimpleNamespace()])
def test_where_ranks_cannot_meet_nothing_is_compared(tmp_path, monkeypatch, place):
    directory = write_counted(tmp_path, [20])
    for rank in (0, 1):
        as_rank(monkeypatch, "torch.distributed", rank, place)
        assert len(loader_of(directory, batch_size=5, last_batch="drop")) == 2


@pytest.mark.frameworks
def test_the_place_where_torch_lets_ranks_meet_keeps_what_the_first_has_said(tmp_path):
    distributed = pytest.importorskip("torch.distributed")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        said = [first_said("key", value, "torch.distributed") for value in ("one", "two")]
        assert said == ["one", "one"]
    finally:
        distributed.destroy_process_group()
