"""docs/coming-from-cyreal.md, row by row: theirs does what the left column says, and ours what the right one says."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import check_each_row_is_shown, table_rows

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from pyloader import jax as ours  # noqa: E402
from pyloader.jax import datasets  # noqa: E402

pytestmark = pytest.mark.frameworks

DATA = {"label": np.arange(5, dtype=np.int32)}

# Rows that tests elsewhere show: with both columns, or with ours where theirs would take the disk, the network or time.
SHOWN: dict[str, Any] = {
    "`for ... in loader.iterate(state)`": "beside_cyreal: a_loop_per_epoch_repeats_theirs_and_goes_on_with_ours",
    "the last batch goes on": "beside_cyreal: without_a_rule_they_go_on_into_the_next_epoch_and_we_pad",
    "the environments of gymnax 1.x": "gymnax: the_last_next_state_of_an_episode_is_where_it_ended",
    "`scan_epoch` outside jit": "dataloader: nothing_is_compiled_twice",
    "a list of indices": "order: more_samples_than_jax_counts_are_refused",
    "`DiskSource` reads when": "disk_source: reading_goes_on_while_a_batch_is_used_and_no_further_than_said",
    "`BufferTransform` hands on": "beside_cyreal: a_buffer_gives_the_first_samples_twice_there_and_once_here",
    "`BatchTransform` after": "beside_cyreal: batches_of_a_buffers_rows_are_nested_there_and_cut_anew_here",
    "`MapTransform` without": "beside_cyreal: a_map_without_a_spec_misleads_theirs_and_tells_ours",
    "no way to save a state": "dataloader: a_state_goes_through_json",
    "`prepare_seq_to_seq_windows`": "beside_cyreal: windows_of_two_series_lose_values_there_and_none_here",
    "`overlapping=` of the series": "../compat/cyreal_datasets: series_without_overlap",
    "downloads:": "../compat/cyreal_download: another_checksum_is_refused_and_nothing_is_kept",
    "each dataset has a cache": "../compat/cyreal_datasets: the_names_under_which_cyreal_keeps_emnist_will_do",
}


def row(key: str) -> Callable[[Any], Any]:
    def note(test: Any) -> Any:
        SHOWN[key] = test
        return test

    return note


@pytest.fixture
def cyreal() -> Any:
    """Their modules, or None where the package is not installed."""

    class Modules:
        def __getattr__(self, name: str) -> Any:
            return importlib.import_module(f"cyreal.{name}")

    try:
        importlib.import_module("cyreal")
    except ImportError:
        return None
    return Modules()


def first_epoch(loader: Any) -> list[tuple[list[int], list[bool]]]:
    state = loader.init_state(jax.random.PRNGKey(0))
    return [(batch["label"].tolist(), mask.tolist()) for batch, mask in loader.iterate(state)]


@row("the mask was True always")
def test_a_loop_that_leaves_the_mask_out_meets_no_filling_when_it_says_span(cyreal):
    said_out_loud = {"batch_size": 3, "drop_last": False, "pad_last_batch": False}
    mine = first_epoch(ours.DataLoader([ours.ArraySource(DATA, "sequential"), ours.BatchTransform(**said_out_loud)]))
    assert mine == [([0, 1, 2], [True] * 3), ([3, 4, 0], [True] * 3)]
    padded = first_epoch(ours.DataLoader([ours.ArraySource(DATA, "sequential"), ours.BatchTransform(3)]))
    assert padded[1] == ([3, 4, 0], [True, True, False])
    if cyreal:
        source = cyreal.sources.ArraySource(jax.tree.map(jnp.asarray, DATA), ordering="sequential")
        assert (
            first_epoch(cyreal.loader.DataLoader([source, cyreal.transforms.BatchTransform(**said_out_loud)])) == mine
        )


@row("with `pad_last_batch`, a batch of batches")
def test_a_batch_of_batches_keeps_the_mask_of_every_row(cyreal):
    def real_rows(sources, transforms, loader):
        source = sources.ArraySource(jax.tree.map(jnp.asarray, DATA), ordering="sequential")
        batches = [transforms.BatchTransform(size, pad_last_batch=True) for size in (2, 3)]
        made = loader.DataLoader([source, *batches])
        _, _, mask = made.next(made.init_state(jax.random.PRNGKey(0)))
        return np.asarray(mask)

    assert real_rows(ours, ours, ours).tolist() == [[True, True], [True, True], [True, False]]
    if cyreal:
        assert real_rows(cyreal.sources, cyreal.transforms, cyreal.loader).tolist() == [True, True, False]


@row("`loader.next` outside jit")
def test_next_compiles_itself():
    traced = []
    loader = ours.DataLoader(
        [ours.ArraySource(DATA), ours.BatchTransform(2), ours.MapTransform(lambda x, mask: traced.append(0) or x)]
    )
    state = loader.init_state(0)
    for _ in range(3):
        before = len(traced)
        _, state, _ = loader.next(state)
    assert len(traced) == before


@row("`NormalizeImageTransform` divides")
def test_only_bytes_are_divided(cyreal):
    def make(sources, transforms, loader):
        source = sources.ArraySource({"image": jnp.ones((4, 2, 2, 1))}, ordering="sequential")
        made = loader.DataLoader([source, transforms.BatchTransform(4), transforms.NormalizeImageTransform()])
        return float(made.next(made.init_state(jax.random.PRNGKey(0)))[0]["image"].max())

    with pytest.raises((TypeError, ValueError), match="scale="):
        make(ours, ours, ours)
    if cyreal:
        assert make(cyreal.sources, cyreal.transforms, cyreal.loader) < 0.01


@row("a `ValueError` for a wrong `ordering`")
def test_a_wrong_ordering_is_refused_at_once(cyreal):
    with pytest.raises(ValueError, match="ordering"):
        ours.ArraySource(DATA, ordering="random")
    if cyreal:
        source = cyreal.sources.ArraySource(DATA, ordering="random")
        with pytest.raises(ValueError, match="ordering"):
            source.init_state(jax.random.PRNGKey(0))


@row("whatever a host function raises")
def test_what_a_host_function_raises_arrives_as_itself(cyreal):
    def fails(batch, mask):
        raise KeyError("mine")

    def run(sources, transforms, loader):
        source = sources.ArraySource(jax.tree.map(jnp.asarray, DATA), ordering="sequential")
        made = loader.DataLoader([source, transforms.BatchTransform(5), transforms.HostCallbackTransform(fn=fails)])
        jax.block_until_ready(made.next(made.init_state(jax.random.PRNGKey(0))))
        jax.effects_barrier()

    with pytest.raises(KeyError, match="mine"):
        run(ours, ours, ours)
    if cyreal:
        with pytest.raises(jax.errors.JaxRuntimeError):
            run(cyreal.sources, cyreal.transforms, cyreal.loader)


@row("loaders are compared by their arrays")
def test_loaders_are_compared_by_identity(cyreal):
    pair = [ours.DataLoader([ours.ArraySource(DATA), ours.BatchTransform(2)]) for _ in range(2)]
    assert pair[0] != pair[1]
    assert len(set(pair)) == 2
    if cyreal:
        source = cyreal.sources.ArraySource(jax.tree.map(jnp.asarray, DATA))
        with pytest.raises(TypeError, match="unhashable"):
            hash(cyreal.loader.DataLoader([source, cyreal.transforms.BatchTransform(2)]))


@row("`state` is an object of a private class")
def test_a_state_is_a_dict(cyreal):
    assert type(ours.DataLoader([ours.ArraySource(DATA), ours.BatchTransform(2)]).init_state(0)) is dict
    assert callable(ours.set_loader_policy_state)
    if cyreal:
        source = cyreal.sources.ArraySource(jax.tree.map(jnp.asarray, DATA))
        state = cyreal.loader.DataLoader([source]).init_state(jax.random.PRNGKey(0))
        assert type(state).__name__.startswith("_")


@row("`make_sequence_disk_source` copies")
def test_windows_are_copied_when_they_are_used():
    contexts, targets = datasets.prepare_time_series_windows(
        np.arange(40, dtype=np.float32), split="train", context_length=4, prediction_length=1, train_fraction=0.8
    )
    source = datasets.make_sequence_disk_source(contexts=contexts, targets=targets, ordering="sequential")
    with ours.DataLoader([source, ours.BatchTransform(4)]) as loader:
        batch, *_ = loader.next(loader.init_state(0))
    np.testing.assert_array_equal(next(iter(batch.values())), contexts[:4])


@row("docstrings call `key` optional")
def test_a_key_is_needed_and_an_integer_will_do(cyreal):
    loader = ours.DataLoader([ours.ArraySource(DATA), ours.BatchTransform(2)])
    assert loader.init_state(0).keys() == loader.init_state(jax.random.key(0)).keys()
    with pytest.raises(TypeError):
        loader.init_state()
    if cyreal:
        with pytest.raises(TypeError):
            cyreal.loader.DataLoader([cyreal.sources.ArraySource(DATA)]).init_state()


def test_every_row_of_the_page_is_shown():
    check_each_row_is_shown(table_rows("coming-from-cyreal.md", "What differs, and what to write instead"), SHOWN)
    for place in SHOWN.values():
        if isinstance(place, str):
            file, _, name = place.partition(": ")
            folder, _, file = file.rpartition("/")
            path = Path(__file__).parent / folder / f"test_{file}.py"
            assert f"def test_{name}(" in path.read_text(encoding="utf-8")
