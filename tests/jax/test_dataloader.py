"""DataLoader inside and outside jit: the same batches, compiled once, and a loop that does not repeat itself."""

import gc
import json
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from pyloader.errors import StateError  # noqa: E402
from pyloader.jax import (  # noqa: E402
    ArraySampleSource,
    ArraySource,
    BatchTransform,
    BufferTransform,
    DataLoader,
    DevicePutTransform,
    MapTransform,
    Source,
    SourceTransform,
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


@pytest.mark.parametrize(
    ("pipeline", "error", "message"),
    [
        ([], ValueError, "empty list"),
        ([BatchTransform(4)], TypeError, "must begin with a source"),
        (7, TypeError, "must be a source"),
        ([ArraySource(DATA), 7], TypeError, "must be a transform"),
        ([ArraySource(DATA), lambda source: None], TypeError, "which is no source"),
        ([ArraySource], TypeError, "must begin with a source"),
    ],
)
def test_a_pipeline_that_is_none_is_refused(pipeline, error, message):
    with pytest.raises(error, match=message):
        DataLoader(pipeline)


def test_a_source_alone_and_a_stage_of_ones_own_will_do():
    class Stage:
        def __radd__(self, source):
            return BatchTransform(2)(source)

    assert DataLoader(ArraySampleSource(DATA)).steps_per_epoch == 10
    assert DataLoader(pipeline=[ArraySource(DATA), Stage()]).steps_per_epoch == 5
    sample, _, mask = DataLoader(ArraySource(DATA)).next(DataLoader(ArraySource(DATA)).init_state(0))
    assert (sample["x"].shape, mask.shape) == ((2,), ())


def test_it_shows_what_it_is_made_of():
    shown = "DataLoader([ArraySource(10 samples, ordering='shuffle'), BatchTransform(4, last_batch='pad')])"
    assert repr(make_loader()) == shown


def test_loaders_can_be_compared_and_collected():
    loader = make_loader()
    assert loader == loader
    assert hash(loader)
    loader.next(loader.init_state(0))
    gone = weakref.ref(loader)
    del loader
    gc.collect()
    assert gone() is None


def test_a_source_of_ones_own_may_have_a_state_of_any_kind():
    class Counter:
        steps_per_epoch = 4

        def init_state(self, key):
            return jnp.int32(0)

        def next(self, state):
            return {"y": state}, jnp.array(True), state + 1

        def element_spec(self):
            return {"y": jax.ShapeDtypeStruct((), jnp.int32)}

    for pipeline in (Counter(), [Counter(), MapTransform(lambda sample, mask: sample)]):
        loader = DataLoader(pipeline)
        state = loader.init_state(0)
        assert [int(sample["y"]) for _ in range(2) for sample, _ in loader.iterate(state)] == list(range(8))
        restored = loader.load_state_dict(loader.state_dict(state))
        assert int(loader.next(restored)[0]["y"]) == 8


def test_a_source_of_ones_own_may_say_what_its_state_is():
    class Counting(Source[dict]):
        steps_per_epoch = 3

        def init_state(self, key):
            return {"number": jnp.int32(0)}

        def next(self, state):
            return {"x": state["number"]}, True, {"number": state["number"] + 1}

        def element_spec(self):
            return {"x": jax.ShapeDtypeStruct((), jnp.int32)}

    class Doubling(SourceTransform[dict]):
        def __init__(self, inner):
            self.inner, self.steps_per_epoch = inner, inner.steps_per_epoch

        def init_state(self, key):
            return self.inner.init_state(key)

        def next(self, state):
            element, mask, state = self.inner.next(state)
            return {"x": element["x"] * 2}, mask, state

        def element_spec(self):
            return self.inner.element_spec()

    loader = DataLoader([Counting(), Doubling, BatchTransform(3)])
    (batch, _), *_ = loader.iterate(loader.init_state(0))
    assert batch["x"].tolist() == [0, 2, 4]


class Bare:
    """A source that derives from nothing."""

    steps_per_epoch = 5

    def init_state(self, key):
        return {"number": jnp.int32(0)}

    def next(self, state):
        return {"x": state["number"]}, jnp.array(True), {"number": state["number"] + 1}

    def element_spec(self):
        return {"x": jax.ShapeDtypeStruct((), jnp.int32)}


class Rich(Bare):
    """The same, with all that a source may have."""

    def __init__(self):
        self.closed = 0

    def next_rows(self, state, count, last_batch):
        numbers = state["number"] + jnp.arange(count)
        return {"x": numbers + 100}, jnp.ones(count, bool), {"number": state["number"] + count}

    def next_on_host(self, state):
        return {"x": np.int32(7)}, np.bool_(True), state

    def order_of(self, state):
        return {"order": "rich"}

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(
    "stages", [[BatchTransform(5)], [MapTransform(lambda one, _: one), BatchTransform(5)], [BufferTransform(2, 1)]]
)
def test_a_source_need_not_derive_from_source(stages):
    loader = DataLoader([Bare(), *stages])
    state = loader.init_state(0)
    found = [batch["x"].tolist() for batch, _ in loader.iterate(state)]
    assert found == [[0, 1, 2, 3, 4]] if len(found) == 1 else found == [0, 1, 2, 3, 4]
    assert loader.load_state_dict(loader.state_dict(state)).keys() == state.keys()
    loader.close()


def test_what_such_a_source_has_beyond_that_is_used():
    source = Rich()
    with DataLoader([source, MapTransform(lambda one, _: one), BatchTransform(5)]) as loader:
        state = loader.init_state(0)
        ((batch, _),) = loader.iterate(state)
        assert batch["x"].tolist() == [100, 101, 102, 103, 104]
        saved = loader.state_dict(state)
        assert saved["order"] == {"order": "rich"}
        with pytest.raises(StateError, match=r"was saved over None; this pipeline has \{'order': 'rich'\}"):
            loader.load_state_dict({**saved, "order": None})
    assert source.closed == 1
    loader = DataLoader(source)
    assert loader.next(loader.init_state(0))[0]["x"] == 7


def test_a_transform_may_be_a_dataclass_whose_fields_have_no_defaults():
    @dataclass
    class Plus(SourceTransform):
        inner: Source
        number: int

        @property
        def steps_per_epoch(self):
            return self.inner.steps_per_epoch

        def init_state(self, key):
            return self.inner.init_state(key)

        def next(self, state):
            element, mask, state = self.inner.next(state)
            return {"x": element["x"] + self.number}, mask, state

        def element_spec(self):
            return self.inner.element_spec()

    source = Rich()  # a stage of the user's own gets the very source, not a copy of its methods
    with DataLoader([source, lambda inner: Plus(inner, source.closed + 3), BatchTransform(5)]) as loader:
        ((batch, _),) = loader.iterate(loader.init_state(0))
    assert batch["x"].tolist() == [3, 4, 5, 6, 7]
    assert source.closed == 1


def test_a_source_without_its_methods_cannot_be_made():
    class Half(Source):
        steps_per_epoch = 1

    with pytest.raises(TypeError, match="abstract"):
        Half()
