"""Placing batches on devices: what goes there, what stays, and that nothing is overwritten while it is read."""

from __future__ import annotations

import gc
import json
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numbered import ids_of, loader_of, write_chunks

from pyloader import DataLoader, DataReader
from pyloader.columns import Columns
from pyloader.errors import StateError
from pyloader.run.adapters import LoaderAdapter

jax = pytest.importorskip("jax")
from pyloader.jax import place_batch, prefetch_to_device  # noqa: E402  (it needs JAX)

pytestmark = pytest.mark.frameworks

CPU = jax.devices("cpu")[0]  # where JAX may take over a batch without a copy, also on a machine with a GPU


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    return write_chunks(tmp_path / "chunks", [10, 7, 12, 9])


def test_the_batches_are_those_of_the_loader_on_the_device(chunks: Path) -> None:
    batches = list(prefetch_to_device(loader_of(chunks, shuffle=True, batch_size=4, text=True)))
    assert ids_of(batches) == ids_of(loader_of(chunks, shuffle=True, batch_size=4))
    assert all(isinstance(batch["row"], jax.Array) and batch["row"].dtype == np.float32 for batch in batches)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_loop_that_is_killed_goes_on_with_the_batch_after_its_last(chunks: Path, size: int) -> None:
    def loader() -> Any:
        return prefetch_to_device(plain(), size)

    def plain() -> DataLoader:
        return loader_of(chunks, shuffle=True, batch_size=4, num_epochs=2)

    everything = ids_of(loader())
    killed = prefetch_to_device(wrapped := plain(), size)
    for number, _ in enumerate(killed, start=1):
        state = json.loads(json.dumps(killed.state_dict()))
        assert killed.steps_done == killed.stats().num_steps == number
        resumed = loader()
        resumed.load_state_dict(state)
        assert ids_of(resumed) == everything[number:]
    with pytest.raises(StateError, match="Ask the outermost: the DevicePrefetch's state_dict"):
        wrapped.state_dict()


class Plain(DataReader):
    """Reads chunks of rows of 12 float32."""

    rows = 4096  # 200 kB, in memory that is recycled

    def read_file(self, path: str) -> tuple[Columns, int]:
        start = int(Path(path).read_text().split()[0])
        return {"x": np.arange(start * 12, (start + self.rows) * 12, dtype=np.float32).reshape(-1, 12)}, self.rows


def aliasing_loader(directory: Path) -> tuple[LoaderAdapter[Any], list[int]]:
    """Return a loader some of whose batches JAX takes over without a copy, and the addresses of its batches so far.

    JAX does where an array begins at a multiple of 64 bytes: here every fourth batch of 307 * 48 bytes.
    """
    write_chunks(directory, [Plain.rows] * 12)
    loader = DataLoader(Plain(), data_dir=directory, batch_size=307, shuffle=True, num_epochs=3, shuffle_window=1)
    addresses: list[int] = []

    def noting(batch: Any) -> Any:
        addresses.append(batch["x"].ctypes.data)
        return batch

    return LoaderAdapter(loader, noting), addresses


def expected(directory: Path) -> list[np.ndarray]:
    return [batch["x"].copy() for batch in aliasing_loader(directory)[0]]


def test_batches_that_are_kept_stay_what_they_were_though_they_share_the_loaders_memory(tmp_path: Path) -> None:
    wanted = expected(tmp_path)
    loader, addresses = aliasing_loader(tmp_path)
    kept = list(islice(prefetch_to_device(loader, sharding=CPU), 40))
    shared = {batch["x"].unsafe_buffer_pointer() for batch in kept} & set(addresses)
    assert len(shared) >= 4, "no batch shares the loader's memory: this test shows nothing"
    for batch in prefetch_to_device(loader, sharding=CPU):  # all the memory that can be recycled is
        del batch
    assert len(set(addresses)) < len(addresses), "no memory was recycled: this test shows nothing"
    for batch, values in zip(kept, wanted, strict=False):
        np.testing.assert_array_equal(batch["x"], values)


def test_batches_that_are_donated_leave_results_that_stay_what_they_were(tmp_path: Path) -> None:
    wanted = expected(tmp_path)
    loader, addresses = aliasing_loader(tmp_path)
    negative = jax.jit(lambda x: -x, donate_argnums=0)
    results = []
    for batch in prefetch_to_device(loader, sharding=CPU):
        results.append(negative(batch["x"]))
        del batch
        gc.collect(0)
    assert len(set(addresses)) < len(addresses), "no memory was recycled: this test shows nothing"
    for result, values in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(result, -values)


def test_batches_that_a_running_step_reads_are_not_overwritten(tmp_path: Path) -> None:
    wanted = expected(tmp_path)
    loader, _ = aliasing_loader(tmp_path)

    @jax.jit
    def step(weights: Any, x: Any) -> Any:
        for _ in range(4):  # long enough for the loader to be batches ahead
            weights = weights @ weights / 300
        return weights, x.sum(axis=1) + 0 * weights[0, 0]

    weights, sums = jax.numpy.ones((300, 300)), []
    for batch in prefetch_to_device(loader, sharding=CPU):
        weights, of_rows = step(weights, batch["x"])
        sums.append(of_rows)
        del batch
    for of_rows, values in zip(sums, wanted, strict=True):
        np.testing.assert_allclose(of_rows, values.sum(axis=1), rtol=1e-5)


class Pair(NamedTuple):
    image: Any
    label: Any


def test_arrays_at_any_depth_are_placed_and_all_else_stays_on_the_host() -> None:
    inner = {"ids": np.arange(6).reshape(2, 3), "text": ["a", "b"], "none": None, "score": 0.5, "list": [np.ones(2)]}
    batch = {"pair": Pair(np.zeros((2, 2), np.uint8), np.float64(3)), "inner": inner}
    placed = place_batch(batch)
    assert isinstance(placed["pair"], Pair)
    for array in (placed["inner"]["ids"], placed["inner"]["list"][0], *placed["pair"]):
        assert isinstance(array, jax.Array)
    assert placed["inner"]["text"] is inner["text"]
    assert (placed["inner"]["none"], placed["inner"]["score"]) == (None, 0.5)
    assert (placed["inner"]["ids"].dtype, placed["pair"].image.dtype) == (np.int32, np.uint8)


def test_bool_half_and_bfloat16_arrays_keep_their_dtype() -> None:
    for dtype in (np.bool_, np.float16, jax.numpy.bfloat16):
        assert place_batch(np.ones(3, dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", ["U2", "S2", object, "datetime64[D]", [("a", "i4")]], ids=str)
def test_an_array_that_no_device_can_hold_is_named(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"batch\['inner'\]\['when'\] is an array of dtype .*no device can hold. Make"):
        place_batch({"inner": {"when": np.zeros(3, dtype)}})


def test_an_integer_that_jax_would_cut_off_is_an_error() -> None:
    for beyond in (2**31, -(2**31) - 1):
        with pytest.raises(ValueError, match=rf"batch\['id'\] holds {beyond}, and JAX makes int32 of int64"):
            place_batch({"id": np.array([1, beyond])})
    assert place_batch(np.array([2**31 - 1, -(2**31)])).tolist() == [2**31 - 1, -(2**31)]
    assert place_batch(np.array([2**32 - 1], np.uint64)).tolist() == [2**32 - 1]
    assert place_batch(np.empty((0, 3), np.int64)).shape == (0, 3)
    with jax.enable_x64(True):
        assert place_batch(np.array([2**40])).tolist() == [2**40]


def test_an_error_comes_after_the_batches_before_it(chunks: Path) -> None:
    batches = prefetch_to_device(loader_of(chunks, batch_size=16), size=3, sharding=only_whole_ones)
    assert [batch["id"].shape for batch in islice(batches, 2)] == [(16,), (16,)]
    for _ in range(2):
        with pytest.raises(ValueError, match="short"):
            next(batches)
    assert batches.steps_done == 2


def only_whole_ones(array: Any) -> None:
    if len(array) < 16:
        raise ValueError("short")


def test_what_cannot_be_prefetched_is_said() -> None:
    with pytest.raises(TypeError, match="DevicePrefetch wraps a pyloader DataLoader or another wrapper, not a list"):
        prefetch_to_device([1, 2])
    with pytest.raises(ValueError, match="size must be at least 1"):
        prefetch_to_device([], 0)
