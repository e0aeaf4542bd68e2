"""DataLoader inside and outside jit: the same batches, compiled once, and a loop that does not repeat itself."""

import json

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from pyloader.errors import StateError  # noqa: E402
from pyloader.jax import (  # noqa: E402
    ArraySource,
    BatchTransform,
    BufferTransform,
    DataLoader,
    DevicePutTransform,
    MapTransform,
)

pytestmark = pytest.mark.frameworks

DATA = {"x": np.arange(20, dtype=np.float32).reshape(10, 2), "y": np.arange(10)}


def make_loader(*more):
    return DataLoader([ArraySource(DATA), BatchTransform(4), *more])


def batches_of(loader, state, num_steps):
    found = []
    for _ in range(num_steps):
        batch, state, mask = loader.next(state)
        found.append(jax.device_get((batch, mask)))
    return found, state


def collect(total, batch, mask):
    return total + jnp.sum(batch["y"] * mask), (batch["y"], mask)


def test_a_loop_per_epoch_does_not_replay_the_first():
    loader = make_loader()
    state = loader.init_state(jax.random.key(0))
    epochs = [[batch["y"].tolist() for batch, _ in loader.iterate(state)] for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert int(state["epoch"]) == 3


def test_a_state_taken_within_the_loop_goes_on_there():
    loader = make_loader()
    state = loader.init_state(0)
    batches, states = [], []
    for batch, mask in loader.iterate(state, steps=7):
        batches.append(jax.device_get((batch, mask)))
        states.append(dict(state))
    for step, saved in enumerate(states[:-1], start=1):
        rest, _ = batches_of(loader, saved, 7 - step)
        np.testing.assert_equal(rest, batches[step:])


def test_a_copy_of_the_state_replays_the_same_batches():
    loader = make_loader()
    state = loader.init_state(0)
    twice = [[batch["y"].tolist() for batch, _ in loader.iterate(dict(state))] for _ in range(2)]
    assert twice[0] == twice[1]


def test_next_leaves_its_state_as_it_is():
    loader = make_loader()
    state = loader.init_state(0)
    before = jax.device_get(state)
    assert loader.next(state)[0]["y"].tolist() == loader.next(state)[0]["y"].tolist()
    np.testing.assert_equal(jax.device_get(state), before)


def test_iterating_counts_and_is_bounded():
    loader = make_loader()
    steps = loader.iterate(loader.init_state(0))
    assert len(steps) == loader.steps_per_epoch == 3
    next(steps)
    assert len(steps) == 2
    assert len(list(loader.iterate(loader.init_state(0), steps=5))) == 5
    assert list(loader.iterate(loader.init_state(0), steps=0)) == []
    with pytest.raises(ValueError, match="at least 0"):
        loader.iterate(loader.init_state(0), steps=-1)


@pytest.mark.parametrize("unroll", [False, True, 2])
def test_a_scan_has_the_batches_of_the_loop(unroll):
    loader = make_loader()
    looped, state = batches_of(loader, loader.init_state(5), 3)
    scanned_state, total, (rows, masks) = loader.scan_epoch(loader.init_state(5), 0, collect, unroll)
    np.testing.assert_equal(
        jax.device_get((rows, masks)), (np.stack([b["y"] for b, _ in looped]), np.stack([m for _, m in looped]))
    )
    np.testing.assert_equal(jax.device_get(scanned_state), jax.device_get(state))
    assert int(total) == 45


def test_a_jitted_epoch_with_a_scan_within_is_the_same():
    loader = make_loader()

    @jax.jit
    def epoch(state, total):
        state, total, _ = loader.scan_epoch(state, total, collect)
        return state, total

    state, total = epoch(loader.init_state(5), 0)
    state, total = epoch(state, total)
    assert int(total) == 90
    assert int(state["epoch"]) == 2


def test_nothing_is_compiled_twice():
    traced = []

    def count(batch, mask):
        traced.append(1)
        return batch

    loader = make_loader(MapTransform(count))
    del traced[:]  # the shapes were asked for
    state = loader.init_state(0)
    for _ in range(3):
        for _ in loader.iterate(state):
            pass
    assert len(traced) == 1
    for _ in range(3):
        _, state, _ = jax.jit(loader.next)(state)
    assert len(traced) == 2
    for _ in range(3):
        state, _, _ = loader.scan_epoch(state, 0, collect)
    assert len(traced) == 3


def test_the_key_decides_the_order():
    loader = make_loader()
    first = [batches_of(loader, loader.init_state(key), 3)[0] for key in (jax.random.key(3), jax.random.PRNGKey(3))]
    np.testing.assert_equal(first[0], first[1])
    other = batches_of(loader, loader.init_state(jax.random.key(4)), 3)[0]
    assert any((a[0]["y"] != b[0]["y"]).any() for a, b in zip(first[0], other, strict=True))


def test_a_state_can_be_made_within_jit_and_mapped_over():
    loader = make_loader()
    keys = jax.random.split(jax.random.key(0), 4)
    batches, _, masks = jax.vmap(lambda key: loader.next(loader.init_state(key)))(keys)
    assert batches["x"].shape == (4, 4, 2)
    assert bool(masks.all())
    alone = loader.next(loader.init_state(keys[2]))[0]
    np.testing.assert_array_equal(batches["y"][2], alone["y"])


def test_gradients_flow_through_a_step():
    loader = make_loader()

    def loss(weight, state):
        batch, _, _ = loader.next(state)
        return jnp.sum(batch["x"] * weight)

    assert float(jax.grad(loss)(2.0, loader.init_state(0))) > 0


def test_the_shapes_are_told_beforehand():
    spec = make_loader(DevicePutTransform()).element_spec()
    assert (spec["x"].shape, spec["x"].dtype) == ((4, 2), jnp.float32)
    assert spec["y"].shape == (4,)


def test_a_state_goes_through_json():
    loader = make_loader()
    batches, _ = batches_of(loader, loader.init_state(7), 8)
    state = loader.init_state(7)
    for step in range(8):
        saved = json.loads(json.dumps(loader.state_dict(state)))
        assert len(json.dumps(saved)) < 2000
        restored = make_loader().load_state_dict(saved)
        rest, _ = batches_of(make_loader(), restored, 8 - step)
        np.testing.assert_equal(rest, batches[step:])
        _, state, _ = loader.next(state)


def test_a_state_with_a_buffer_goes_through_json():
    loader = DataLoader([ArraySource(DATA), BufferTransform(5, 3, mode="shuffled"), BatchTransform(4)])
    batches, _ = batches_of(loader, loader.init_state(7), 5)
    _, state = batches_of(loader, loader.init_state(7), 2)
    restored = loader.load_state_dict(json.loads(json.dumps(loader.state_dict(state))))
    np.testing.assert_equal(batches_of(loader, restored, 3)[0], batches[2:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.update(version=2), "version 2"),
        (lambda saved: saved["order"].update(num_samples=11), "the data it was saved over"),
        (lambda saved: saved["order"].update(ordering="sequential"), "this pipeline has"),
        (lambda saved: saved["state"].pop("epoch"), "another pipeline"),
        (lambda saved: saved["state"].update(key=[1, 2, 3]), r"shape \[3\] where \[2\]"),
        (lambda saved: saved["state"].update(epoch="a"), "another pipeline"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, message):
    loader = make_loader()
    saved = loader.state_dict(loader.init_state(0))
    change(saved)
    with pytest.raises(StateError, match=message):
        loader.load_state_dict(saved)
    with pytest.raises(StateError, match="a list"):
        loader.load_state_dict([])


def test_a_state_goes_through_orbax(tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    loader = make_loader()
    batches, _ = batches_of(loader, loader.init_state(7), 5)
    _, state = batches_of(loader, loader.init_state(7), 2)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "loader", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "loader", loader.init_state(0))
    np.testing.assert_equal(batches_of(loader, restored, 3)[0], batches[2:])
