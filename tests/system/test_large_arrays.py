"""Arrays and tables of 200 MB, read in parts by a process that grows by less than that."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyloader.cli.main import main

ROWS, WIDTH = 50_000, 1000  # of float32: 200 MB
BLOCK = 5000  # rows
MOST_KILOBYTES, MOST_OF_LANCE = 100_000, 160_000  # pylance's code and threads are most of that

SCRIPT = """
import importlib, re, sys
from pyloader import DataLoader

def peak():  # of this program alone: what getrusage says begins with the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

rows = 0
options = {"batch_size": 100, "shuffle": True, "shuffle_window": 2, "max_queue_size": 3, "num_epochs": 1}
importlib.import_module(sys.argv[2])
before = peak()
with DataLoader(data_dir=sys.argv[1], **options) as loader:
    for batch in loader:
        rows += len(batch["x"])
        assert (batch["x"][:, 0] == batch["x"][:, -1]).all()
print(rows, peak() - before)
"""


def blocks() -> list[np.ndarray]:
    return [
        np.repeat(np.arange(first, first + BLOCK, dtype=np.float32)[:, None], WIDTH, axis=1)
        for first in range(0, ROWS, BLOCK)
    ]


def write_hdf5(directory: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(directory / "a.h5", "w") as file:
        x = file.create_dataset("x", (ROWS, WIDTH), "f4", chunks=(500, WIDTH))
        for number, block in enumerate(blocks()):
            x[number * BLOCK : (number + 1) * BLOCK] = block
    return directory / "a.h5"


def write_zarr(directory: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(directory / "a.zarr", mode="w")
        x = group.create_array("x", shape=(ROWS, WIDTH), chunks=(500, WIDTH), dtype="f4", compressors=None)
    for number, block in enumerate(blocks()):
        x[number * BLOCK : (number + 1) * BLOCK] = block
    return directory / "a.zarr"


def write_hugging_face(directory: Path) -> Path:
    arrow = pytest.importorskip("pyarrow")
    path = directory / "data-00000-of-00001.arrow"
    schema = arrow.schema({"x": arrow.list_(arrow.float32(), WIDTH)})
    with arrow.OSFile(str(path), "wb") as file, arrow.ipc.new_stream(file, schema) as stream:
        for block in blocks():
            table = arrow.table({"x": arrow.FixedSizeListArray.from_arrays(block.ravel(), WIDTH)}, schema)
            stream.write_table(table, max_chunksize=1000)
    (directory / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    (directory / "dataset_info.json").write_text("{}")
    return directory


def write_lance(directory: Path) -> Path:
    lance, arrow = pytest.importorskip("lance"), pytest.importorskip("pyarrow")
    for number, block in enumerate(blocks()):
        table = arrow.table({"x": arrow.FixedSizeListArray.from_arrays(block.ravel(), WIDTH)})
        lance.write_dataset(table, directory / "a.lance", mode="append" if number else "create")
    return directory / "a.lance"


@pytest.fixture(scope="module", params=[write_hdf5, write_zarr, write_hugging_face, write_lance])
def place(request, tmp_path_factory) -> Path:
    write: Callable[[Path], Path] = request.param
    found = write(tmp_path_factory.mktemp("large"))
    assert main(["index", str(found), "--chunk-bytes", "8MB", "--quiet"]) == 0
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_that_of_a_few_parts_whatever_the_file_has(place):
    library = {".h5": "h5py", ".lance": "lance"}.get(place.suffix, "pyarrow")
    words = [sys.executable, "-c", SCRIPT, str(place), library]
    done = subprocess.run(words, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == ROWS
    assert grown < (MOST_OF_LANCE if library == "lance" else MOST_KILOBYTES)
