"""DiskSource: read ahead in threads, the batches still a function of the state."""

import gc
import threading

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from pyloader.jax import ArraySource, BatchTransform, DataLoader, DiskSampleSource, DiskSource, MapTransform  # noqa: E402

pytestmark = pytest.mark.frameworks

DATA = {"x": np.arange(20, dtype=np.float32).reshape(10, 2), "y": np.arange(10)}


def sample(index):
    return {name: values[index] for name, values in DATA.items()}


def rows(indices):
    return {name: values[indices] for name, values in DATA.items()}


def everything(source, batch, num_epochs=2, **options):
    with DataLoader([source, batch]) as loader:
        state = loader.init_state(3)
        return [jax.device_get(each) for _ in range(num_epochs) for each in loader.iterate(state)]


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("rule", ["pad", "span"])
def test_the_batches_are_those_of_the_same_arrays_in_memory(num_workers, rule):
    batch = BatchTransform(4, last_batch=rule)
    in_memory = everything(ArraySource(DATA), batch)
    for read in ({"sample_fn": sample}, {"rows_fn": rows}):
        np.testing.assert_equal(everything(DiskSource(10, num_workers=num_workers, **read), batch), in_memory)


def test_samples_alone_and_mapped_samples_come_in_the_same_order():
    def one_by_one(source):
        with DataLoader(source) as loader:
            return [int(sample["y"]) for sample, _ in loader.iterate(loader.init_state(0))]

    assert one_by_one(DiskSource(10, sample)) == one_by_one(ArraySource(DATA))
    mapped = [
        MapTransform(lambda sample, mask: {"y": sample["y"] + 1})(source)
        for source in (DiskSource(10, sample), ArraySource(DATA))
    ]
    np.testing.assert_equal(*[everything(source, BatchTransform(3)) for source in mapped])


def test_reading_goes_on_while_a_batch_is_used_and_no_further_than_said():
    read_beyond = threading.Event()
    indices_read = []

    def read(indices):
        indices_read.append(len(indices))
        if len(indices_read) == 4:  # 3 ahead of the first
            read_beyond.set()
        return rows(indices % 10)

    source = DiskSource(1000, rows_fn=read, sample_spec=spec_of_sample(), prefetch_size=12)
    with DataLoader([source, BatchTransform(4)]) as loader:
        state = loader.init_state(0)
        _, state, _ = loader.next(state)
        assert read_beyond.wait(timeout=10)
        assert len(indices_read) == 4
        _, state, _ = loader.next(state)


def spec_of_sample():
    return {"x": jax.ShapeDtypeStruct((2,), jnp.float32), "y": jax.ShapeDtypeStruct((), jnp.int32)}


def test_any_state_is_answered_in_any_order():
    with DataLoader([DiskSource(10, sample), BatchTransform(4)]) as loader:
        states, batches = [loader.init_state(0)], []
        for _ in range(7):
            batch, state, _ = loader.next(states[-1])
            states.append(state)
            batches.append(jax.device_get(batch))
        for step in (5, 0, 6, 6, 2):
            np.testing.assert_equal(jax.device_get(loader.next(states[step])[0]), batches[step])


def test_two_epochs_under_scan_have_every_sample_twice():
    with DataLoader([DiskSource(10, sample), BatchTransform(4)]) as loader:
        state = loader.init_state(0)
        for _ in range(2):
            state, _, (values, masks) = loader.scan_epoch(
                state, 0, lambda total, batch, mask: (total, (batch["y"], mask))
            )
            assert sorted(values[masks].tolist()) == list(range(10))


def test_an_error_in_reading_arrives_as_itself_and_the_next_try_reads_again():
    broken = [True]

    def read(index):
        if index == 7 and broken[0]:
            raise OSError("disk gone")
        return sample(index)

    with DataLoader([DiskSource(10, read, ordering="sequential"), BatchTransform(4)]) as loader:
        state = loader.init_state(0)
        _, state, _ = loader.next(state)
        for _ in range(2):
            with pytest.raises(OSError, match="disk gone"):
                loader.next(state)
        with pytest.raises(OSError, match="disk gone"):
            loader.scan_epoch(state, 0, lambda total, batch, mask: (total, None))
        step = jax.jit(loader.next)
        with pytest.raises(OSError, match="disk gone"), loader.own_errors():
            jax.block_until_ready(step(state))
        broken[0] = False
        assert loader.next(state)[0]["y"].tolist() == [4, 5, 6, 7]


def test_a_stop_iteration_of_the_users_ends_nothing():
    def read(index):
        if index:
            raise StopIteration
        return sample(index)

    with DataLoader([DiskSource(10, read), BatchTransform(4)]) as loader, pytest.raises(RuntimeError):
        loader.next(loader.init_state(0))


def test_samples_of_another_shape_are_an_error():
    with (
        DataLoader([DiskSource(10, lambda index: {"x": np.zeros(index + 1)}), BatchTransform(1)]) as loader,
        pytest.raises(ValueError, match=r"have the shape \[\d+\] .* should have \[1\]"),
    ):
        for _ in loader.iterate(loader.init_state(0)):
            pass


def test_a_loader_that_is_dropped_leaves_no_thread():
    loader = DataLoader([DiskSource(10, sample), BatchTransform(4)])
    loader.next(loader.init_state(0))
    loader.scan_epoch(loader.init_state(0), 0, lambda total, batch, mask: (total, None))
    del loader
    gc.collect()
    assert not any(thread.name.startswith("pyloader-disk") for thread in threading.enumerate())


def test_closing_ends_the_threads_and_a_later_step_starts_anew():
    loader = DataLoader([DiskSource(10, sample), BatchTransform(4)])
    first = jax.device_get(loader.next(loader.init_state(0))[0])
    assert any(thread.name.startswith("pyloader-disk") for thread in threading.enumerate())
    loader.close()
    assert not any(thread.name.startswith("pyloader-disk") for thread in threading.enumerate())
    np.testing.assert_equal(jax.device_get(loader.next(loader.init_state(0))[0]), first)
    loader.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": 0, "sample_fn": sample}, ValueError, "at least one sample"),
        ({"length": 2**31, "sample_fn": sample}, ValueError, "at most 2,147,483,647 samples"),
        ({"length": 10}, TypeError, "sample_fn"),
        ({"length": 10, "sample_fn": sample, "prefetch_size": 0}, ValueError, "prefetch_size must be at least 1"),
        ({"length": 10, "sample_fn": sample, "num_workers": -1}, ValueError, "num_workers must be at least 0"),
        ({"length": 10, "sample_fn": sample, "ordering": "up"}, ValueError, '"shuffle" or "sequential"'),
        ({"length": 10, "sample_fn": sample, "sample_spec": {"x": 3}}, TypeError, "tree of jax.ShapeDtypeStruct"),
        ({"length": 10, "sample_fn": sample, "sample_spec": {}}, TypeError, "tree of jax.ShapeDtypeStruct"),
    ],
)
def test_what_makes_no_source_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        DiskSource(**options)


def test_the_older_name_is_the_same_class():
    assert DiskSampleSource is DiskSource


def test_a_spec_of_64_bits_means_what_jax_has_instead():
    spec = {"y": jax.ShapeDtypeStruct((), np.int64)}
    with DataLoader([DiskSource(10, lambda index: {"y": np.int64(index)}, spec), BatchTransform(4)]) as loader:
        assert loader.element_spec()["y"].dtype == jnp.int32
        assert sorted(int(y) for batch, mask in loader.iterate(loader.init_state(0)) for y in batch["y"][mask]) == [
            *range(10)
        ]
