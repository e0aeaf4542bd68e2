"""HDF5 files of strangers: nothing outside of the file is opened, whatever it says."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from pyloader.errors import ChunkReadError, MissingDependencyError
from pyloader.read import Hdf5Reader

h5py = pytest.importorskip("h5py")


@pytest.fixture
def path(tmp_path):
    """A file with rows of its own, and all that leads to another file: its secret."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(10)
    (tmp_path / "secret.bin").write_bytes(bytes(80))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["own"] = np.arange(10)
        layout = h5py.VirtualLayout((10,), "i8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (10,))
        file.create_virtual_dataset("g/virtual", layout)
        file.create_dataset("g/outside", (10,), "i8", external=[(str(tmp_path / "secret.bin"), 0, 80)])
        file["g/link"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/x")
        file["g/alias"] = h5py.SoftLink("/g/link")
        file["g/way"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
    return str(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("g/virtual", r"has 'g/virtual', whose rows are in other datasets \(it is virtual\), and no other is opened"),
        ("g/outside", r"has 'g/outside', whose rows are in another file, '.*secret\.bin', and no other is opened"),
        ("g/link", r"has 'link', a link to the file '.*secret\.h5', and no other file is opened\. Copy the rows"),
        ("g/way/x", r"has 'way', a link to the file '.*secret\.h5'"),
        ("g/alias", r"has 'alias', a link to '/g/link', and links are not followed\. Name what it leads to"),
    ],
)
def test_what_leads_out_of_the_file_is_refused_by_name(path, name, match):
    for read in (
        Hdf5Reader(columns=[name]).read_file,
        lambda each: Hdf5Reader(columns=[name]).find_parts(each, chunk_bytes=9),
    ):
        with pytest.raises(ChunkReadError, match=rf"a\.h5: {match}"):
            read(path)


def test_a_link_at_the_root_is_refused_when_all_is_asked_for(path):
    with h5py.File(path, "a") as file:
        file["link"] = h5py.ExternalLink("secret.h5", "/x")
    with pytest.raises(ChunkReadError, match=r"has 'link', a link to the file 'secret\.h5'"):
        Hdf5Reader().read_file(path)
    assert Hdf5Reader(columns=["own"]).read_file(path)[1] == 10


def test_the_remedy_for_rows_elsewhere_helps(path):
    with h5py.File(path, "a") as file:
        file["copy"] = file["g/virtual"][:]
    np.testing.assert_array_equal(Hdf5Reader(columns=["copy"]).read_file(path)[0]["copy"], np.arange(10))


@pytest.mark.slow
def test_no_other_file_is_opened_while_what_leads_there_is_found(path, tmp_path):
    # Waits for ever when a pipe is opened for reading, as HDF5 would.
    for name in ("secret.h5", "secret.bin"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
    script = """
import sys
from pyloader.read import Hdf5Reader
for columns in (None, ["own"], ["g/virtual"], ["g/outside"], ["g/link"], ["g/alias"], ["none"]):
    try:
        reader = Hdf5Reader(columns=columns)
        reader.read_file(sys.argv[1]), reader.find_parts(sys.argv[1], chunk_bytes=16)
    except Exception as exc:
        print(exc)
"""
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.splitlines()) == 5


def test_a_filter_that_h5py_lacks_names_the_package_that_may_have_it(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(10), chunks=(10,), compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: False)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(
        MissingDependencyError, match=r"'x', packed by filter 32000 \(lzf\), needs 'hdf5plugin'.*pip install hdf5plugin"
    ):
        Hdf5Reader().read_file(str(tmp_path / "a.h5"))
    monkeypatch.setitem(sys.modules, "hdf5plugin", sys)
    with pytest.raises(ChunkReadError, match="has 'x' packed by filter 32000, which neither h5py nor hdf5plugin knows"):
        Hdf5Reader().read_file(str(tmp_path / "a.h5"))


@pytest.mark.slow
def test_what_hdf5plugin_packed_is_read_where_it_is_installed(tmp_path):
    pytest.importorskip("hdf5plugin")
    write = """
import sys, h5py, hdf5plugin
with h5py.File(sys.argv[1], "w") as file:
    file.create_dataset("x", data=range(10), chunks=(10,), **hdf5plugin.Zstd())
"""
    read = """
import sys
from pyloader.read import Hdf5Reader
print(Hdf5Reader().read_file(sys.argv[1])[0]["x"].tolist() == list(range(10)))
"""
    for script in (write, read):  # in processes of their own: once it is imported, it is there
        words = [sys.executable, "-c", script, str(tmp_path / "a.h5")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"


def test_pickled_objects_stay_bytes(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    with h5py.File(tmp_path / "a.h5", "w") as file:  # as PyTables writes objects
        rows = file.create_dataset("x", (1,), dtype=h5py.vlen_dtype(np.uint8))
        rows[0] = np.frombuffer(pickle.dumps(Harm()), np.uint8)
    columns, _ = Hdf5Reader().read_file(str(tmp_path / "a.h5"))
    assert columns["x"][0].tobytes() == pickle.dumps(Harm())
    assert not (tmp_path / "harm").exists()
