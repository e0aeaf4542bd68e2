"""docs/coming-from-loaderx.md, row by row: what is written there and what is written here do the same.

The right column always runs; the left one where loaderx 0.1.7 is installed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
from pages import check_each_row_is_shown, module_if_there, note_in, table_rows

from pyloader import PaddingDataCollator, indexed
from pyloader.indexed import DataLoader, InMemoryDataset, NPDataset

SHOWN: dict[str, Callable[..., None]] = {}
FROM_2_8: dict[str, Callable[..., None]] = {}

IMAGES = np.arange(60, dtype=np.float32).reshape(20, 3)
LABELS = np.arange(20)


row = note_in(SHOWN)


@pytest.fixture
def loaderx() -> Any:
    return module_if_there("loaderx")


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "y.npy", LABELS)
    return tmp_path / "x.npy", tmp_path / "y.npy"


THREE_BATCHES = """
import os, sys
from itertools import islice
import numpy as np
import {library} as library

class Data(library.NPDataset):
    {override}

loader = library.DataLoader(Data("x.npy"), library.NPDataset("y.npy"), num_workers=1, batch_size=8, shuffle=False{more})
batches = list(islice(loader, 3))
np.savez("batches.npz", **{{f"{{name}}{{step}}": batch[name] for step, batch in enumerate(batches) for name in batch}})
sys.stdout.flush()
os._exit(0)  # close() of loaderx does not return
"""


def three_batches(library, place, override="pass", more=""):
    """Return what a script gets, which is the same for both libraries but for its import line."""
    script = THREE_BATCHES.format(library=library, override=override, more=more)
    subprocess.run([sys.executable, "-c", script], cwd=place, check=True, timeout=100)
    with np.load(place / "batches.npz") as found:
        return {name: found[name] for name in found.files}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "more"),
    [
        ("pass", ""),
        ("pass", ", transform=lambda pair: (pair[0] * 100, pair[1])"),
        ("def __getitems__(self, indices): return super().__getitems__(indices) * 100", ""),
        ("def __getitem__(self, index): return super().__getitem__(index) * 100", ""),
    ],
)
def test_the_same_lines_give_the_same_batches(loaderx, files, override, more):
    place = files[0].parent
    mine = three_batches("pyloader.indexed", place, override, more)
    factor = 1 if (override, more) == ("pass", "") else 100
    np.testing.assert_array_equal(mine["data1"], IMAGES[8:16] * factor)
    assert mine["label2"].tolist() == [*range(16, 20), *range(4)]
    if loaderx and "__getitem__(" not in override:  # its loader asks for several alone
        np.testing.assert_equal(three_batches("loaderx", place, override, more), mine)


def test_directories_of_records_are_read_by_both(loaderx, tmp_path):
    pytest.importorskip("array_record")
    indexed.converter(IMAGES, tmp_path / "mine", blocksize=8, progress=False)
    if loaderx:
        loaderx.converter(IMAGES, tmp_path / "theirs", blocksize=8)
        np.testing.assert_array_equal(loaderx.ARDataset(tmp_path / "mine").__getitems__([3, 19]), IMAGES[[3, 19]])
    for directory in tmp_path.iterdir():
        with indexed.ARDataset(directory) as dataset:
            np.testing.assert_array_equal(dataset[[3, 19]], IMAGES[[3, 19]])


@row("`Dataset(path, data, label)` of an .npz (0.0.5)")
@row("`DataLoader(dataset, num_epochs=10)` (0.0.5)")
@row("`group_size=64` (0.0.5)")
def test_a_npz_is_read_by_member_and_for_epochs(tmp_path):
    path = tmp_path / "train.npz"
    np.savez(path, data=IMAGES, label=LABELS)
    with DataLoader(NPDataset(path, "data"), NPDataset(path, "label"), batch_size=8, num_epochs=10) as loader:
        labels = np.concatenate([batch["label"] for batch in loader])
    for epoch in np.split(labels, 10):
        np.testing.assert_array_equal(np.sort(epoch), LABELS)
    np.savez_compressed(path, data=IMAGES)
    np.testing.assert_array_equal(InMemoryDataset(np.load(path)["data"])[[5]], IMAGES[[5]])


@row("`monitor=True`")
@row("`strides=1000` (0.1.0)")
def test_old_options_say_what_to_write():
    for option, advice in (("monitor", "progress=True, or look at loader.stats"), ("strides", "order of its own")):
        with pytest.raises(TypeError, match=advice):
            DataLoader(IMAGES, **{option: 1})
    with DataLoader(IMAGES, batch_size=8, progress=False) as loader:
        next(loader)
        assert loader.stats().num_steps == 1


@row("exactly two streams")
@row('`Loader({"data": [view], "label": [view]}, sampler, workers=4, prefetch=4)`', FROM_2_8)
@row("a step is a list with a dict of `DLTensor`", FROM_2_8)
def test_any_number_of_streams_by_name():
    streams = {"image": IMAGES, "depth": IMAGES * 2, "label": LABELS}
    with DataLoader(streams, batch_size=8, num_workers=4, prefetch_size=4) as loader:
        batch = next(loader)
    assert list(batch) == ["image", "depth", "label"]
    np.testing.assert_array_equal(batch["depth"], IMAGES[batch["label"]] * 2)
    np.testing.assert_array_equal(np.from_dlpack(batch["image"]), batch["image"])


@row('`DenseWriter(path, dtype, shape, codec="raw")`', FROM_2_8)
def test_dense_records_are_npy_or_packed(files, tmp_path):
    np.testing.assert_array_equal(NPDataset(files[0])[[1]], IMAGES[[1]])
    assert callable(indexed.converter)


@row("`Sampler(length, 256, Sampler.Mode.SEQUENTIAL, seed)`", FROM_2_8)
@row("`sampler.seek(step)`, counting the steps yourself", FROM_2_8)
@row("`CYCLIC` leaves out", FROM_2_8)
def test_samplers_and_steps_are_the_loaders():
    for sampler in (indexed.SequentialSampler(20), indexed.IIDSampler(20, 7)):
        with DataLoader(LABELS, batch_size=8, sampler=sampler) as loader:
            expected = list(islice(loader, 4))
            loader.seek(2)
            np.testing.assert_array_equal(next(loader), expected[2])
            state = loader.state_dict()
            loader.load_state_dict(state)
            np.testing.assert_array_equal(next(loader), expected[3])
    with DataLoader(LABELS, batch_size=8, num_epochs=1) as loader:  # "keep", unless last_batch says otherwise
        assert sorted(np.concatenate(list(loader)).tolist()) == list(range(20))


@row('`convert(dataset, output, codec="zstd")`', FROM_2_8)
def test_a_dataset_of_hugging_face_is_taken_as_it_is():
    datasets = pytest.importorskip("datasets")
    with DataLoader(indexed.HuggingFaceDataset(datasets.Dataset.from_dict({"x": LABELS})), batch_size=8) as loader:
        assert next(loader)["x"].shape == (8,)


@row("`RaggedStore`: rows of any length", FROM_2_8)
def test_rows_of_any_length_are_padded():
    items = [{"ids": [1] * length} for length in range(1, 9)]
    with DataLoader(items, batch_size=8, datacollator=PaddingDataCollator(pad_value=0)) as loader:
        assert next(loader)["ids"].shape == (8, 8)


@row("with several workers, batches come in the order in which they are done", FROM_2_8)
@row("an exception in a worker arrives once", FROM_2_8)
@row("batches are read-only", FROM_2_8)
def test_batches_come_in_order_are_ones_own_and_errors_stay():
    def fails_at_16(rows):
        if 16 in rows:
            raise KeyError("sixteen")
        return rows

    with DataLoader(LABELS, batch_size=4, num_workers=4, shuffle=False, transform=fails_at_16) as loader:
        batches = list(islice(loader, 4))
        for _ in range(2):
            with pytest.raises(KeyError, match="sixteen"):
                next(loader)
    assert np.concatenate(batches).tolist() == list(range(16))
    batches[0][:] = 0


def test_every_row_of_the_page_is_shown():
    check_each_row_is_shown(table_rows("coming-from-loaderx.md", "What to write instead"), SHOWN)
    check_each_row_is_shown(table_rows("coming-from-loaderx.md", "From 2.8"), FROM_2_8)
