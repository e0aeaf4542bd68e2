"""TensorFlowDataCollator: the right tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numbered import ids_of, loader_of, write_chunks

from pyloader import PaddingDataCollator, Ragged
from pyloader.errors import CollateError

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.frameworks

from pyloader.tensorflow import TensorFlowDataCollator  # noqa: E402


def test_numbers_and_strings_become_tensors_and_all_else_stays() -> None:
    columns: Any = {"n": [1, 2], "x": np.ones((2, 3), np.uint16), "text": ["a", "b"], "other": [None, "c"]}
    batch = TensorFlowDataCollator().collate_batch(columns)
    assert {name: batch[name].dtype for name in ("n", "x", "text")} == {
        "n": tf.int64,
        "x": tf.uint16,
        "text": tf.string,
    }
    assert batch["x"].numpy().tolist() == [[1] * 3] * 2
    assert batch["text"].numpy().tolist() == [b"a", b"b"]
    assert batch["other"] == [None, "c"]


def test_dtypes_may_be_tensorflows_and_follow_the_padding() -> None:
    collator = TensorFlowDataCollator(PaddingDataCollator(), dtypes={"ids": tf.int32, "x": tf.bfloat16})
    batch = collator.collate_batch({"ids": [[1, 2], [3]], "x": [0.5, 1.5]})
    assert batch["ids"].dtype == tf.int32
    assert batch["ids"].numpy().tolist() == [[1, 2], [3, 0]]
    assert batch["x"].dtype == tf.bfloat16
    with pytest.raises(CollateError, match=r"'ids' has 2147483648 in row 0, which int32 cannot hold"):
        collator.collate_batch({"ids": [[2**31]], "x": [0.5]})


def test_what_tensorflow_has_no_dtype_for_is_an_error() -> None:
    with pytest.raises(CollateError, match=r"'when' is datetime64\[D\], which TensorFlow has no tensors of"):
        TensorFlowDataCollator().collate_batch({"when": np.array(["2026-01-01"], "M8[D]")})


def test_ragged_rows_are_padded_and_bytes_become_strings() -> None:
    columns = {"ids": Ragged.from_rows([[1, 2], [3]], dtype="int32"), "image": Ragged.from_rows([b"a", b""])}
    batch = TensorFlowDataCollator(PaddingDataCollator()).collate_batch(columns)
    assert batch["ids"].dtype == tf.int32
    assert batch["ids"].numpy().tolist() == [[1, 2], [3, 0]]
    assert batch["image"].numpy().tolist() == [b"a", b""]
    with pytest.raises(CollateError, match=r"'ids' is ragged, .* Use PaddingDataCollator"):
        TensorFlowDataCollator().collate_batch(columns)


@pytest.mark.parametrize("text", [False, True])
def test_a_loader_delivers_the_same_numbers_as_tensors(tmp_path, text: bool) -> None:
    chunks = write_chunks(tmp_path / "chunks", [10, 7])
    with loader_of(chunks, datacollator=TensorFlowDataCollator(), batch_size=4, shuffle=True, text=text) as loader:
        batches = list(loader)
    assert tf.is_tensor(batches[0]["id"])
    numbers = [{"id": batch["id"].numpy(), "row": batch["row"].numpy()} for batch in batches]
    assert ids_of(numbers) == ids_of(loader_of(chunks, batch_size=4, shuffle=True))
