"""Side by side with cyreal: the same pipelines give the same shapes, masks, coverage and counts of steps.

What differs on purpose is asserted as well, in the tests whose names say so.
"""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("cyreal")
from cyreal import loader as their_loader  # noqa: E402
from cyreal import sources as their_sources  # noqa: E402
from cyreal import transforms as theirs  # noqa: E402
from cyreal.datasets import time_utils  # noqa: E402

from pyloader import jax as ours  # noqa: E402
from pyloader.jax import datasets  # noqa: E402

pytestmark = pytest.mark.frameworks

DATA = {"image": np.arange(11 * 6, dtype=np.uint8).reshape(11, 2, 3), "label": np.arange(11, dtype=np.int32)}


def both(make, **arrays):
    """Return the same pipeline made of their classes, and of ours."""
    data = jax.tree.map(jax.numpy.asarray, arrays or DATA)
    return [
        their_loader.DataLoader(make(their_sources, theirs, data)),
        ours.DataLoader(make(ours, ours, data)),
    ]


def seen(loader, num_epochs=2):
    """Return (shapes, masks, labels) of every batch."""
    state, found = loader.init_state(jax.random.PRNGKey(0)), []
    step = jax.jit(loader.next)
    for _ in range(num_epochs * loader.steps_per_epoch):
        batch, state, mask = step(state)
        shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), dict(batch))
        found.append((shapes, np.asarray(mask).tolist(), np.asarray(batch["label"])))
    return found


def assert_alike(pair, *, values=True):
    them, us = (seen(loader) for loader in pair)
    assert pair[0].steps_per_epoch == pair[1].steps_per_epoch
    assert [each[:2] for each in them] == [each[:2] for each in us]
    if values:
        np.testing.assert_equal([each[2] for each in them], [each[2] for each in us])


@pytest.mark.parametrize(
    "options", [{"pad_last_batch": True}, {"drop_last": True}, {"pad_last_batch": True, "batch_size": 11}]
)
def test_batches_in_order_are_equal(options):
    options = {"batch_size": 4, **options}
    assert_alike(both(lambda s, t, data: [s.ArraySource(data, ordering="sequential"), t.BatchTransform(**options)]))


@pytest.mark.parametrize("rule", [{"pad_last_batch": True}, {"drop_last": True}])
def test_shuffled_batches_have_the_same_masks_and_cover_an_epoch(rule):
    pair = both(lambda s, t, data: [s.ArraySource(data), t.BatchTransform(4, **rule)])
    assert_alike(pair, values=False)
    for loader in pair:
        batches = seen(loader, 1)
        labels = [label for _, mask, rows in batches for label, real in zip(rows, mask, strict=True) if real]
        assert len(set(labels)) == len(labels) == (11 if "pad_last_batch" in rule else 8)


def test_without_a_rule_they_go_on_into_the_next_epoch_and_we_pad():
    data = jax.tree.map(jax.numpy.asarray, DATA)
    them, spanning = both(
        lambda s, t, data: [
            s.ArraySource(data, ordering="sequential"),
            t.BatchTransform(4) if t is theirs else t.BatchTransform(4, last_batch="span"),
        ]
    )
    assert_alike([them, spanning])
    us = ours.DataLoader([ours.ArraySource(data, "sequential"), ours.BatchTransform(4)])
    counts = [
        np.bincount(np.concatenate([rows[mask] for _, mask, rows in seen(each, 1)]), minlength=11)
        for each in (them, us)
    ]
    assert (counts[0].tolist(), counts[1].tolist()) == ([2, *[1] * 10], [1] * 11)


def test_a_loop_per_epoch_repeats_theirs_and_goes_on_with_ours():
    orders = []
    for loader in both(lambda s, t, data: [s.ArraySource(data), t.BatchTransform(11)]):
        state = loader.init_state(jax.random.PRNGKey(0))
        orders.append([[batch["label"].tolist() for batch, _ in loader.iterate(state)] for _ in range(2)])
    assert orders[0][0] == orders[0][1]
    assert orders[1][0] != orders[1][1]


TRANSFORMS = {
    "normalize": lambda t: [t.NormalizeImageTransform()],
    "flatten": lambda t: [t.FlattenTransform("image"), t.RenameTransform({"image": "pixels"})],
    "map": lambda t: [t.MapTransform(lambda batch, mask: {**batch, "label": batch["label"] + mask})],
    "host": lambda t: [t.HostCallbackTransform(lambda batch, mask: None), t.DevicePutTransform()],
    "packed": lambda t: [t.TimeSeriesBatchTransform("image", "packed")],
    "batched": lambda t: [t.TimeSeriesBatchTransform("image")],
}


@pytest.mark.parametrize("more", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_are_alike(more):
    assert_alike(
        both(
            lambda s, t, data: [
                s.ArraySource(data, ordering="sequential"),
                t.BatchTransform(4, pad_last_batch=True),
                *more(t),
            ]
        )
    )


def test_scanning_an_epoch_is_alike():
    totals = []
    for loader in both(lambda s, t, data: [s.ArraySource(data), t.BatchTransform(4, pad_last_batch=True)]):
        state = loader.init_state(jax.random.PRNGKey(0))
        body = lambda total, batch, mask: (total + (batch["label"] * mask).sum(), mask.sum())  # noqa: E731
        _, total, outputs = loader.scan_epoch(state, jax.numpy.int32(0), body)
        totals.append((int(total), outputs.tolist()))
    assert totals[0] == totals[1] == (55, [4, 4, 3])


def test_samples_from_a_function_are_alike():
    def make(s, t, data):
        sample = lambda index: {"label": np.int32(index), "x": np.full(3, index, np.float32)}  # noqa: E731
        source = s.DiskSource(length=11, sample_fn=sample, ordering="sequential", prefetch_size=4)
        return [source, t.BatchTransform(4, pad_last_batch=True)]

    pair = both(make)
    assert_alike(pair)
    pair[1].close()


def test_a_buffer_gives_the_first_samples_twice_there_and_once_here():
    lines = []
    for loader in both(lambda s, t, data: [s.ArraySource(data, ordering="sequential"), t.BufferTransform(8, 3)]):
        lines.append([int(label) for *_, label in seen(loader, 1)])
    assert lines[0][:5] == [0, 1, 2, 0, 1]
    assert lines[1] == list(range(11))


def test_batches_of_a_buffers_rows_are_nested_there_and_cut_anew_here():
    shapes = []
    for loader in both(lambda s, t, data: [s.ArraySource(data), t.BufferTransform(8, 4, 4), t.BatchTransform(2)]):
        batch, *_ = loader.next(loader.init_state(jax.random.PRNGKey(0)))
        shapes.append(batch["label"].shape)
    assert shapes == [(2, 4), (2,)]


def test_a_map_without_a_spec_misleads_theirs_and_tells_ours():
    specs = [
        loader._source.element_spec() if loader is pair[0] else loader.element_spec()
        for pair in [
            both(lambda s, t, data: [s.ArraySource(data), t.MapTransform(lambda x, m: {"y": x["label"] * 0.5})])
        ]
        for loader in pair
    ]
    assert (sorted(specs[0]), sorted(specs[1])) == (["image", "label"], ["y"])


def test_windows_of_a_series_are_alike():
    series = np.arange(50, dtype=np.float32)
    for split in ("train", "val", "test"):
        options = {
            "split": split,
            "context_length": 5,
            "prediction_length": 2,
            "train_fraction": 0.6,
            "val_fraction": 0.2,
        }
        pairs = [module.prepare_time_series_windows(series, **options) for module in (time_utils, datasets)]
        np.testing.assert_equal(*pairs)


def test_windows_of_two_series_lose_values_there_and_none_here():
    series = np.arange(20.0)
    options = {"split": "train", "input_window_len": 4, "target_window_len": 2, "train_fraction": 0.8}
    them, us = (module.prepare_seq_to_seq_windows(series, series, **options) for module in (time_utils, datasets))
    assert us[0].shape == (13, 4)
    np.testing.assert_array_equal(us[0][:, 0], us[1][:, 0])
    assert them[0].shape[0] != them[1].shape[0] or them[0].shape != us[0].shape
