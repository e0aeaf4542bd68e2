"""Transforms: what they make of batches, and what they say beforehand that they will."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from pyloader.jax import (  # noqa: E402
    ArraySource,
    BatchTransform,
    DataLoader,
    DevicePutTransform,
    FlattenTransform,
    HostCallbackTransform,
    MapTransform,
    NormalizeImageTransform,
    RenameTransform,
    TimeSeriesBatchTransform,
)

pytestmark = pytest.mark.frameworks

IMAGES = {
    "image": np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3),
    "label": np.arange(6, dtype=np.int32),
}


def first_batch(*transforms, data=IMAGES, size=4):
    """Return the first batch and mask, having checked that they are as announced."""
    loader = DataLoader([ArraySource(data, ordering="sequential"), BatchTransform(size), *transforms])
    batch, _, mask = loader.next(loader.init_state(0))
    assert spec_of(batch) == spec_of(loader.element_spec())
    return batch, mask


def spec_of(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_a_map_tells_the_shapes_of_what_it_makes():
    batch, _ = first_batch(MapTransform(lambda batch, mask: {"sum": batch["image"].sum((1, 2)) * mask}))
    assert batch["sum"].tolist() == [15, 51, 87, 123]


def test_a_map_may_be_told_its_shapes():
    spec = {"label": jax.ShapeDtypeStruct((4,), jnp.int32)}
    first_batch(MapTransform(lambda batch, mask: {"label": batch["label"]}, element_spec_override=spec))


def test_renaming():
    batch, _ = first_batch(RenameTransform({"image": "pixels"}))
    assert sorted(batch) == ["label", "pixels"]


def test_names_can_be_exchanged():
    batch, _ = first_batch(RenameTransform({"image": "label", "label": "image"}))
    assert batch["image"].tolist() == [0, 1, 2, 3]


def test_normalising_brings_bytes_to_one():
    batch, _ = first_batch(NormalizeImageTransform())
    np.testing.assert_allclose(batch["image"], IMAGES["image"][:4] / 255, rtol=1e-6)
    assert batch["image"].dtype == jnp.float32


def test_normalising_with_a_scale_an_offset_and_a_dtype():
    data = {"x": np.full((4, 2), 3, np.int32)}
    transform = NormalizeImageTransform("x", jnp.bfloat16, scale=2.0, offset=-1.0)
    assert first_batch(transform, data=data)[0]["x"].astype(float).tolist() == [[5.0, 5.0]] * 4


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_normalising_anything_but_bytes_needs_a_scale(dtype):
    with pytest.raises(ValueError, match=r"only uint8 to \[0, 1\]. Say the factor"):
        first_batch(NormalizeImageTransform(), data={"image": np.ones((4, 2), dtype)})


def test_flattening_keeps_the_rows_of_a_batch():
    assert first_batch(FlattenTransform("image"))[0]["image"].shape == (4, 6)
    assert first_batch(FlattenTransform("image", start_index=0))[0]["image"].shape == (24,)
    before = DataLoader([ArraySource(IMAGES), FlattenTransform("image", 0), BatchTransform(4)])
    assert before.element_spec()["image"].shape == (4, 6)


@pytest.mark.parametrize("device", [None, "cpu", "cpu:0", jax.devices()[0]])
def test_putting_on_a_device(device):
    batch, _ = first_batch(DevicePutTransform(device))
    assert batch["label"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("device", ["tpu", "cpu:99", "cpu:x"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=f"no device '{device}' here, only cpu:0"):
        first_batch(DevicePutTransform(device))


@pytest.mark.parametrize("kind", ["batched", "packed"])
def test_sequences_without_features_get_one(kind):
    data = {"context": np.arange(15, dtype=np.float32).reshape(5, 3), "target": np.arange(5)}
    batch, mask = first_batch(TimeSeriesBatchTransform(mode=kind), data=data)
    assert batch["context"].shape == ((4, 3, 1) if kind == "batched" else (12, 1))
    assert mask.shape == ((4,) if kind == "batched" else (12,))


def test_packed_sequences_say_where_they_start():
    data = {"seq": np.arange(5 * 3 * 2, dtype=np.float32).reshape(5, 3, 2)}
    pack = TimeSeriesBatchTransform("seq", "packed", "begins")
    loader = DataLoader([ArraySource(data, "sequential"), BatchTransform(4), pack])
    (_, _), (batch, mask) = loader.iterate(loader.init_state(0))
    assert np.flatnonzero(batch["begins"]).tolist() == [0]  # the other three sequences are padding
    assert mask.tolist() == [True] * 3 + [False] * 9
    assert batch["seq"].shape == (12, 2)


def test_host_callbacks_see_every_batch_and_may_change_it():
    seen = []

    def log(batch, mask):
        seen.append((type(batch["label"]), batch["label"].tolist(), mask.tolist()))

    loader = DataLoader([ArraySource(IMAGES, "sequential"), BatchTransform(4), HostCallbackTransform(log)])
    state = loader.init_state(0)
    state, _, _ = loader.scan_epoch(state, 0, lambda total, batch, mask: (total, None))
    assert seen == [
        (np.ndarray, [0, 1, 2, 3], [True] * 4),
        (np.ndarray, [4, 5, 0, 0], [True, True, False, False]),
    ]
    change = HostCallbackTransform(lambda batch, mask: {**batch, "label": batch["label"] * 2})
    assert first_batch(change)[0]["label"].tolist() == [0, 2, 4, 6]


def test_a_host_callback_with_an_answer_of_its_own():
    spec = {"mean": jax.ShapeDtypeStruct((4,), jnp.float32)}
    means = HostCallbackTransform(lambda batch, mask: {"mean": batch["image"].mean((1, 2))}, spec)
    assert first_batch(means)[0]["mean"].tolist() == [2.5, 8.5, 14.5, 20.5]


def test_an_error_in_a_host_callback_arrives_as_itself():
    def fail(batch, mask):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        first_batch(HostCallbackTransform(fail))
    with pytest.raises(ValueError, match="element_spec_override"):
        first_batch(HostCallbackTransform(lambda batch, mask: {"image": batch["image"]}))


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (RenameTransform({"picture": "x"}), KeyError, "needs 'picture'; the elements have 'image', 'label'"),
        (RenameTransform({"image": "label"}), ValueError, "several arrays the name 'label'"),
        (FlattenTransform("picture"), KeyError, "FlattenTransform needs 'picture'"),
        (FlattenTransform("label", 1), ValueError, "without an axis 1"),
        (NormalizeImageTransform("picture"), KeyError, "NormalizeImageTransform needs 'picture'"),
        (TimeSeriesBatchTransform("label"), ValueError, "after BatchTransform"),
        (TimeSeriesBatchTransform("picture"), KeyError, "TimeSeriesBatchTransform needs 'picture'"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_put_together(transform, error, message):
    with pytest.raises(error, match=message):
        first_batch(transform)


def test_elements_that_are_no_dicts_are_refused():
    with pytest.raises(TypeError, match="elements that are dicts, got"):
        DataLoader([ArraySource(np.zeros((4, 2))), FlattenTransform("image")])


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match='"batched" or "packed"'):
        TimeSeriesBatchTransform(mode="ragged")
