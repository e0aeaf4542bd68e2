"""docs/coming-from-pyloader.md, row by row: what to write here works.  The original package is on no index."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from pages import check_each_row_is_shown, table_rows

import pyloader
from pyloader import DataCollator, DataLoader, JsonLineDataReader, NumpyDataCollator
from pyloader.cli.main import main

SHOWN: dict[str, Callable[..., None]] = {}


def row(key):
    def note(test):
        SHOWN[key] = test
        return test

    return note


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "dump.jsonl"
    path.write_text("".join(json.dumps({"ids": [n, n], "score": n / 2}) + "\n" for n in range(10)))
    return path


@row("the splitter that you had to write")
@row("a new loader for each epoch's length")
def test_the_splitter_is_a_command_and_a_loader_knows_its_length(dump, tmp_path):
    assert main(["split", str(dump), f"{tmp_path}/chunks", "--num-chunks", "2", "-q"]) == 0
    with DataLoader(data_dir=tmp_path / "chunks", batch_size=4, num_epochs=2) as loader:
        assert (len(loader), loader.steps_per_epoch) == (6, 3)
        assert sum(len(batch["score"]) for batch in loader) == 20


@row("`collate_batch(self)` in the abstract class")
def test_a_collator_gets_the_columns():
    class Keys(DataCollator):
        def collate_batch(self, columns):
            return list(columns)

    assert Keys().collate_batch({"a": [1]}) == ["a"]


@row("`from pyloader import np, json, os`")
def test_modules_are_not_leaked():
    assert not any(hasattr(pyloader, name) for name in ("np", "json", "os", "logging"))


@row("`reader.load(path)`, `reader.get_batch(i)`, `len(reader)`")
def test_a_reader_gives_columns(dump):
    columns, num_samples = JsonLineDataReader().read_file(str(dump))
    assert (num_samples, list(columns), len(columns["ids"])) == (10, ["ids", "score"], 10)


@row("`for k, v in inputs.items()` in float64")
def test_numbers_keep_their_kind_unless_told_otherwise():
    columns = {"ids": [[1, 2]], "score": np.ones(1, np.float32)}
    kinds = {name: values.dtype for name, values in NumpyDataCollator().collate_batch(columns).items()}
    assert kinds == {"ids": np.int64, "score": np.float32}
    assert NumpyDataCollator(dtypes={"ids": "float64"}).collate_batch(columns)["ids"].dtype == np.float64


def test_every_row_of_the_page_is_shown():
    check_each_row_is_shown(table_rows("coming-from-pyloader.md", "What to write instead"), SHOWN)
