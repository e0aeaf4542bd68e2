"""The defects of the first pyloader, by behaviour: none of them may come back.

The others are tests elsewhere: a fast loop (test_never_hang), dead readers (test_never_hang), drift of a shared counter
(test_same_batches), batches that never span files (test_exactly_once), memory (test_bounded), threads (test_clean).
"""

from __future__ import annotations

import logging
import random
import subprocess
import sys

import numpy as np
import pytest
from numbered import NotingReader, NumberedReader, ids_of, loader_of, write_chunks

from pyloader import DataLoader, DataReader, JsonlReader, NumpyDataCollator
from pyloader.errors import DataDirError


def test_the_first_batch_does_not_wait_for_the_queue_to_fill(tmp_path):
    """The original read ten chunks, in steps of two seconds, before its constructor returned."""
    reader = NotingReader()
    loader = DataLoader(reader, data_dir=write_chunks(tmp_path, [10] * 30), num_workers=0, batch_size=10)
    assert reader.read == []
    next(loader)
    assert len(reader.read) == 1


def test_a_queue_larger_than_the_list_of_chunks_is_fine(tmp_path):
    """The original raised a Warning from its constructor for a size that it did not like."""
    assert len(ids_of(loader_of(write_chunks(tmp_path, [10] * 2), max_queue_size=500))) == 2


def test_an_empty_directory_is_an_error_and_not_an_empty_loop(tmp_path):
    with pytest.raises(DataDirError, match="holds no chunk files"):
        loader_of(tmp_path)


def test_a_missing_directory_is_an_error_that_says_so(tmp_path):
    with pytest.raises(DataDirError, match="does not exist"):
        loader_of(tmp_path / "missing")


def test_numpys_removed_names_are_not_used():
    batch = NumpyDataCollator().collate_batch({"label": [1, 2], "x": [0.5, 1.5]})
    assert (batch["label"].dtype, batch["x"].dtype) == (np.int64, np.float64)


@pytest.mark.parametrize("name", ["l", "a", "be", "lab", "label", "labels"])
def test_no_column_is_dropped_for_its_name(name):
    """`k not in ("label")` was a test for a substring."""
    assert NumpyDataCollator().collate_batch({name: [1, 2]})[name].tolist() == [1, 2]


def test_token_ids_stay_integers():
    assert NumpyDataCollator().collate_batch({"ids": [[1, 2], [3, 4]]})["ids"].dtype == np.int64


def test_numpy_integers_and_bools_keep_their_kind():
    batch = NumpyDataCollator().collate_batch({"label": [np.int64(1), np.int64(0)], "flag": [True, False]})
    assert (batch["label"].dtype, batch["flag"].dtype) == (np.int64, bool)


def test_the_global_random_state_is_neither_used_nor_seeded(tmp_path):
    directory = write_chunks(tmp_path, [10] * 5)
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    first = ids_of(loader_of(directory, shuffle=True, batch_size=7))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    random.seed(2)
    assert ids_of(loader_of(directory, shuffle=True, batch_size=7)) == first


def test_hidden_files_and_readmes_are_no_chunks(tmp_path):
    directory = write_chunks(tmp_path, [10] * 3)
    for name in (".hidden", "README.md", "_SUCCESS", ".part-0.crc"):
        (directory / name).write_text("not a chunk")
    assert len(ids_of(loader_of(directory, batch_size=10))) == 3


def test_a_reader_is_true_and_needs_no_file_loaded():
    assert bool(DataReader())


@pytest.mark.slow
def test_importing_configures_no_logging():
    code = "import logging, pyloader, pyloader.dataloader; print(logging.getLogger().handlers, logging.root.level)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", str(logging.WARNING)]


def test_star_import_brings_only_what_is_public():
    names = {}
    exec("from pyloader import *", names)
    assert not {"os", "sys", "random", "json", "logging", "np", "importlib"} & set(names)


def test_the_version_is_not_empty():
    import pyloader

    assert pyloader.__version__.count(".") == 2


def test_json_rows_with_missing_keys_are_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"label": 2}\n')
    with pytest.raises(Exception, match=r"a\.jsonl:2: has keys \['label'\], but line 1 has"):
        JsonlReader().read_file(str(path))


def test_nothing_is_called_on_the_readers_own_thread_state(tmp_path):
    """The original deep-copied the reader for each file, and kept the rows in it."""
    reader = NumberedReader()
    before = dict(vars(reader))
    list(DataLoader(reader, data_dir=write_chunks(tmp_path, [10] * 3)))
    assert vars(reader) == before
