"""TorchDataCollator: the right tensors, of the same memory where that is allowed, on the fast road."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numbered import ids_of, loader_of, write_chunks

from pyloader import PaddingDataCollator, Ragged
from pyloader.collate import map_leaves
from pyloader.errors import CollateError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.frameworks

from pyloader.torch import TorchDataCollator, as_tensor  # noqa: E402


@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    ],
)
def test_a_tensor_has_its_arrays_memory_and_dtype(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tensor = TorchDataCollator().collate_batch({"x": array})["x"]
    assert str(tensor.dtype) == f"torch.{dtype}"
    assert tensor.data_ptr() == array.ctypes.data
    assert tensor.numpy().tolist() == array.tolist()


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6)[::-1],
        np.arange(6).reshape(2, 3)[:, ::-1],
        np.arange(6, dtype=">i4"),
        read_only(np.arange(6)),
        np.zeros(6, [("a", "i1"), ("b", "<i4")])["b"],
    ],
    ids=["negative stride", "negative inner stride", "byte order", "read-only", "odd stride"],
)
def test_what_torch_cannot_share_is_copied(array: np.ndarray) -> None:
    tensor = as_tensor(array)
    assert tensor.tolist() == array.tolist()
    tensor[0] = 9
    assert array.ravel()[0] != 9


def test_lists_of_numbers_become_tensors_and_strings_stay_lists() -> None:
    columns = {"n": [1, 2], "row": [[1.0, 2.0], [3.0, 4.0]], "text": ["a", "b"], "none": [None, None]}
    batch = TorchDataCollator().collate_batch(columns)
    assert batch["n"].dtype == torch.int64
    assert batch["row"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert batch["text"] == ["a", "b"]
    assert batch["none"] == [None, None]
    strings = np.array(["a", "b"])
    assert TorchDataCollator().collate_batch({"s": strings})["s"] is strings


def test_rows_of_unequal_length_are_padded_by_the_collator_that_pads() -> None:
    collator = TorchDataCollator(PaddingDataCollator(pad_value=-1, mask=True), dtypes={"ids": torch.int32})
    batch = collator.collate_batch({"ids": [[1, 2, 3], [4]]})
    assert batch["ids"].dtype == torch.int32
    assert batch["ids"].tolist() == [[1, 2, 3], [4, -1, -1]]
    assert batch["ids_mask"].tolist() == [[True, True, True], [True, False, False]]
    with pytest.raises(CollateError, match=r"Use PaddingDataCollator\(pad_value=0\)"):
        TorchDataCollator().collate_batch({"ids": [[1, 2, 3], [4]]})


@pytest.mark.parametrize(
    ("dtype", "values", "wanted"),
    [
        (torch.bfloat16, np.array([1.0, 2.5]), torch.bfloat16),
        (torch.float16, np.array([1, 2]), torch.float16),
        ("float32", np.array([1, 2]), torch.float32),
        (np.uint8, np.array([1, 255]), torch.uint8),
    ],
)
def test_dtypes_may_be_torchs_or_numpys(dtype: Any, values: np.ndarray, wanted: Any) -> None:
    tensor = TorchDataCollator(dtypes={"x": dtype}).collate_batch({"x": values})["x"]
    assert tensor.dtype == wanted
    assert tensor.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("dtypes", "columns", "message"),
    [
        ({"x": torch.uint8}, {"x": np.array([1, 256])}, r"'x' has 256 in row 1, which uint8 cannot hold"),
        ({"y": torch.uint8}, {"x": np.array([1])}, r"dtypes names the column 'y'; the batch has 'x'"),
        ({"x": torch.uint8}, {"x": ["a"]}, r"'x' does not hold numbers"),
        ({}, {"when": np.array(["2026-01-01"], "M8[D]")}, r"'when' is datetime64\[D\], which torch has no dtype for"),
        ({}, {"when": read_only(np.array([1], "m8[s]"))}, r"'when' is timedelta64\[s\], which torch has no dtype for"),
    ],
)
def test_what_a_tensor_cannot_hold_is_an_error_that_names_the_column(dtypes: Any, columns: Any, message: str) -> None:
    with pytest.raises(CollateError, match=message):
        TorchDataCollator(dtypes=dtypes).collate_batch(columns)


def test_something_else_than_a_collator_is_refused_with_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"not a dict: TorchDataCollator\(PaddingDataCollator\(pad_value=0\)\)"):
        TorchDataCollator({"x": "float32"})


def test_pinning_does_nothing_without_cuda() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA")
    assert not TorchDataCollator(pin_memory=True).collate_batch({"x": np.arange(3)})["x"].is_pinned()


class Pair(NamedTuple):
    x: Any
    y: Any


def test_dicts_lists_and_tuples_are_gone_through_by_name() -> None:
    seen = []
    batch = {"a": Pair(np.arange(2), [np.arange(3), "text"]), "texts": ["p", "q"], "empty": ()}
    made = map_leaves(lambda name, leaf: seen.append(name) or as_tensor(leaf), batch)
    assert isinstance(made["a"], Pair)
    assert isinstance(made["a"].y, list)
    assert torch.is_tensor(made["a"].y[0])
    assert made["a"].y[1] == "text"
    assert made["texts"] is batch["texts"]
    assert seen == ["a", "a", "a", "texts"]


@pytest.mark.parametrize("text", [False, True], ids=["sliced", "collated"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_delivers_the_same_numbers_as_tensors(tmp_path, text: bool, num_workers: int) -> None:
    chunks = write_chunks(tmp_path / "chunks", [10, 7, 12, 9])
    options: Any = {"shuffle": True, "batch_size": 4, "num_epochs": 2, "text": text, "num_workers": num_workers}
    with loader_of(chunks, datacollator=TorchDataCollator(), **options) as loader:
        batches = list(loader)
    assert all(torch.is_tensor(batch["id"]) for batch in batches)
    assert ids_of(batches) == ids_of(loader_of(chunks, **options))


def test_batches_that_are_kept_keep_their_numbers(tmp_path) -> None:
    """Memory is used again once no array refers to it: a tensor must count as one."""
    chunks = write_chunks(tmp_path / "chunks", [20_000] * 6)
    with loader_of(chunks, datacollator=TorchDataCollator(), batch_size=5_000, shuffle=True) as loader:
        kept = [(batch, batch["id"].clone(), batch["row"].clone()) for batch in loader]
    assert all(torch.equal(batch["id"], ids) and torch.equal(batch["row"], rows) for batch, ids, rows in kept)
    assert sorted(torch.cat([batch["id"] for batch, _, _ in kept]).tolist()) == list(range(120_000))


def test_tensors_come_from_worker_processes_as_from_threads(tmp_path) -> None:
    chunks = write_chunks(tmp_path / "chunks", [10, 7])
    options: Any = {"batch_size": 4, "text": True, "num_workers": 1}
    collator = TorchDataCollator(dtypes={"row": torch.bfloat16})
    with loader_of(chunks, datacollator=collator, worker_kind="process", **options) as loader:
        batches = list(loader)
    assert batches[0]["row"].dtype == torch.bfloat16
    assert ids_of(batches) == ids_of(loader_of(chunks, **options))


class Doubled(TorchDataCollator):
    def collate_batch(self, columns: Any) -> Any:
        return {name: 2 * tensor for name, tensor in super().collate_batch(columns).items()}


def test_a_subclass_that_collates_in_its_own_way_is_asked_to(tmp_path) -> None:
    chunks = write_chunks(tmp_path / "chunks", [8])
    with loader_of(chunks, datacollator=Doubled(), batch_size=4) as loader:
        assert next(loader)["id"].tolist() == [0, 2, 4, 6]


def test_an_error_of_conversion_names_the_batch_and_leaves_the_state_before_it(tmp_path) -> None:
    chunks = write_chunks(tmp_path / "chunks", [8])
    with loader_of(chunks, datacollator=TorchDataCollator(dtypes={"id": torch.int8}), batch_size=4) as loader:
        next(loader)
    (chunks / "chunk-0000.numbered").write_text("120 12")
    for text in (False, True):
        collator = TorchDataCollator(dtypes={"id": torch.int8})
        with loader_of(chunks, datacollator=collator, batch_size=4, text=text) as loader:
            assert len(list(zip(range(2), loader, strict=False))) == 2
            with pytest.raises(CollateError, match=r"'id' has 128 in row 0, .*\(epoch 0, step 2\)"):
                next(loader)
            assert loader.state_dict()["steps_done"] == 2


def test_ragged_rows_are_padded_or_an_error_that_says_so() -> None:
    columns = {"ids": Ragged.from_rows([[1, 2], [3]], dtype="int32"), "image": Ragged.from_rows([b"a", b""])}
    batch = TorchDataCollator(PaddingDataCollator()).collate_batch(columns)
    assert batch["ids"].dtype == torch.int32
    assert batch["ids"].tolist() == [[1, 2], [3, 0]]
    assert batch["image"] == [b"a", b""]
    with pytest.raises(CollateError, match=r"'ids' is ragged, .* Use PaddingDataCollator"):
        TorchDataCollator().collate_batch(columns)
