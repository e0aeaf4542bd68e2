"""BufferTransform: a delay, a replay, a reservoir; nothing emitted that was not kept, and counts that add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

jax = pytest.importorskip("jax")

from pyloader.jax import ArraySource, BatchTransform, BufferTransform, DataLoader  # noqa: E402

pytestmark = pytest.mark.frameworks


def emitted(buffer, num_steps, length=12, seed=0):
    """Return what a buffer over the numbers 0, 1, ... emits, with its masks."""
    loader = DataLoader([ArraySource({"x": np.arange(length)}, "sequential"), buffer])
    state, _, (values, masks) = loader_scan(loader, num_steps, seed)
    return values.tolist(), masks.tolist(), state


def loader_scan(loader, num_steps, seed):
    def body(state, _):
        element, state, mask = loader.next(state)
        return state, (element["x"], mask)

    state, outputs = jax.lax.scan(body, loader.init_state(seed), length=num_steps)
    return state, None, outputs


@settings(max_examples=15)
@given(capacity=st.integers(1, 9), data=st.data())
def test_a_sequential_fifo_gives_every_sample_once_and_in_order(capacity, data):
    prefill = data.draw(st.integers(1, capacity))
    values, masks, _ = emitted(BufferTransform(capacity, prefill), 24)
    assert values == [*range(12), *range(12)]
    assert all(masks)


@pytest.mark.parametrize("write_mode", ["fifo", "reservoir"])
def test_a_shuffled_buffer_gives_only_what_it_has(write_mode):
    buffer = BufferTransform(5, 3, sample_size=2, mode="shuffled", write_mode=write_mode)
    values, masks, state = emitted(buffer, 20)
    assert np.all(masks)
    for step, rows in enumerate(values[:9]):
        oldest = max(0, step + 3 - 5) if write_mode == "fifo" else 0
        assert all(oldest <= row < step + 3 for row in rows), (step, rows)
    assert (int(state["count"]), int(state["seen"])) == (5, 22)


def test_the_first_step_fills_the_buffer_and_each_later_one_takes_one():
    _, _, state = emitted(BufferTransform(6, 4), 1)
    assert (int(state["count"]), int(state["seen"]), int(state["inner"]["position"])) == (4, 4, 4)
    _, _, state = emitted(BufferTransform(6, 4), 3)
    assert (int(state["count"]), int(state["inner"]["position"])) == (6, 6)


def test_every_sample_is_as_likely_to_be_in_a_reservoir():
    source, buffer = ArraySource({"x": np.arange(40)}, "sequential"), BufferTransform(8, 8, write_mode="reservoir")
    loader = DataLoader([source, buffer])

    def kept(key):
        state, _ = jax.lax.scan(lambda state, _: (loader.next(state)[1], None), loader.init_state(key), length=33)
        return state["rows"]["x"]

    rows = np.asarray(jax.jit(jax.vmap(kept))(jax.random.split(jax.random.key(0), 2000)))
    assert all(len(set(row)) == 8 for row in rows.tolist())
    counts = np.bincount(rows.ravel(), minlength=40)
    wanted = 2000 * 8 / 40
    assert abs(counts - wanted).max() < 5 * np.sqrt(wanted)


def test_batches_cut_the_rows_of_a_buffer_anew():
    buffer = BufferTransform(8, 4, sample_size=4, mode="shuffled")
    loader = DataLoader([ArraySource({"x": np.arange(12)}), buffer, BatchTransform(3)])
    assert loader.element_spec()["x"].shape == (3,)
    assert loader.steps_per_epoch == 12 * 4 / 3
    batch, _, mask = loader.next(loader.init_state(0))
    assert (batch["x"].shape, mask.shape) == ((3,), (3,))


def test_padding_is_not_kept():
    loader = DataLoader(
        [ArraySource({"x": np.arange(5) + 1}, "sequential"), BatchTransform(2), BufferTransform(3, 1, sample_size=1)]
    )
    state, _, (values, _) = loader_scan(loader, 6, 0)
    assert 0 not in values.ravel().tolist()
    assert int(state["seen"]) == 4  # two whole batches an epoch


def test_a_source_without_a_real_sample_does_not_hang():
    class Nothing:
        steps_per_epoch = 4

        def init_state(self, key):
            return jax.numpy.uint32(0)

        def next(self, state):
            return {"x": jax.numpy.int32(7)}, jax.numpy.array(False), state + 1

        def element_spec(self):
            return {"x": jax.ShapeDtypeStruct((), jax.numpy.int32)}

    loader = DataLoader([Nothing(), BufferTransform(4, 2)])
    _, state, mask = loader.next(loader.init_state(0))
    assert not bool(mask)
    assert int(state["inner"]) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0, "prefill": 1}, "capacity must be at least 1"),
        ({"capacity": 4, "prefill": 0}, "prefill must be at least 1"),
        ({"capacity": 4, "prefill": 5}, "more than the capacity of 4"),
        ({"capacity": 4, "prefill": 2, "sample_size": 3}, "more than prefill=2"),
        ({"capacity": 4, "prefill": 2, "sample_size": 0}, "sample_size must be at least 1"),
        ({"capacity": 4, "prefill": 2, "mode": "random"}, '"sequential" or "shuffled"'),
        ({"capacity": 4, "prefill": 2, "write_mode": "lifo"}, '"fifo" or "reservoir"'),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BufferTransform(**options)
