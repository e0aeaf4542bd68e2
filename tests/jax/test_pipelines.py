"""What a pipeline may be made of: sources and stages of ours, and of one's own."""

import gc
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
    MapTransform,
    Source,
    SourceTransform,
)

pytestmark = pytest.mark.frameworks

DATA = {"x": np.arange(20, dtype=np.float32).reshape(10, 2), "y": np.arange(10)}


def make_loader(*more):
    return DataLoader([ArraySource(DATA), BatchTransform(4), *more])


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
