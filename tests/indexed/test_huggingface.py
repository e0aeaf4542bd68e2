"""HuggingFaceDataset: numbers as arrays of their own dtype, the rest as `datasets` decodes it."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.indexed.huggingface import HuggingFaceDataset

datasets = pytest.importorskip("datasets")


@pytest.fixture
def loaded():
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "n": datasets.Value("int32"),
            "x": datasets.Value("float64"),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "gaps": datasets.Value("int64"),
        }
    )
    columns = {
        "text": ["a", "b", "c", "d"],
        "n": [1, 2, 3, 4],
        "x": [0.1, 0.2, 0.3, 0.4],
        "label": [0, 1, 1, 0],
        "gaps": [1, None, 3, 4],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def test_rows_come_as_columns_with_their_own_dtypes(loaded):
    rows = HuggingFaceDataset(loaded)[[3, 0, 3]]
    expected = {
        "text": ["d", "a", "d"],
        "n": np.array([4, 1, 4], np.int32),
        "x": np.array([0.4, 0.1, 0.4]),
        "label": np.array([0, 0, 0]),
        "gaps": [4, 1, 4],
    }
    np.testing.assert_equal(rows, expected)
    assert list(rows) == list(expected)
    assert (rows["n"].dtype, rows["x"].dtype, rows["label"].dtype) == (np.int32, np.float64, np.int64)
    assert isinstance(rows["gaps"], list)
    rows["n"] += 1
    assert loaded["n"][0] == 1


def test_items_are_dicts_and_operations_compose(loaded):
    dataset = HuggingFaceDataset(loaded)
    assert len(dataset) == 4 and dataset.dataset is loaded
    assert dataset[-1]["text"] == "d"
    assert sorted(dataset.shuffle(3).map(lambda row: row["text"])) == ["a", "b", "c", "d"]


def test_a_dataset_that_was_shuffled_by_its_library_keeps_that_order(loaded):
    shuffled = loaded.shuffle(seed=3)
    dataset = HuggingFaceDataset(shuffled)
    assert dataset[:]["text"] == list(shuffled["text"])
    assert dataset[:]["n"].tolist() == list(shuffled["n"])


def test_a_format_that_was_set_is_kept(loaded):
    rows = HuggingFaceDataset(loaded.select_columns(["n"]).with_format("numpy"))[[1, 2]]
    assert rows["n"].tolist() == [2, 3]


def test_what_has_no_rows_by_index_is_refused(loaded):
    with pytest.raises(TypeError, match=r"a DatasetDict, with train, test; choose one: .*dataset\['train'\]"):
        HuggingFaceDataset(datasets.DatasetDict(train=loaded, test=loaded))
    with pytest.raises(TypeError, match="no rows by index; load it with streaming=False"):
        HuggingFaceDataset(loaded.to_iterable_dataset())
    with pytest.raises(TypeError, match=r"needs a datasets.Dataset, got list"):
        HuggingFaceDataset([1])


def test_from_hub_names_the_split_and_never_runs_code(loaded, monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: asked.append((args, options)) or loaded)
    assert len(HuggingFaceDataset.from_hub("org/name", "small", "train", trust_remote_code=False)) == 4
    assert asked == [(("org/name", "small"), {"split": "train"})]
    with pytest.raises(TypeError, match="runs no code from the hub"):
        HuggingFaceDataset.from_hub("org/name", trust_remote_code=True)
