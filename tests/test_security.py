"""What SECURITY.md says is so: files from strangers run no code, and worker processes can be reached by nobody else."""

import contextlib
import json
import os
import pickle
import re
import socket
import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest
from store_server import StoreServer

from pyloader import ChunkWriter, DataLoader, DataReader, PyLoaderError, indexed
from pyloader.cli.main import main
from pyloader.columns import ColumnSpec
from pyloader.errors import ManifestError
from pyloader.files import ChunkEntry, Manifest

PROJECT = Path(__file__).resolve().parents[1]


class Bomb:
    """Its pickle makes a directory when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (os.path.abspath("RAN"),)


@pytest.fixture(autouse=True)
def nothing_has_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("RAN").exists()


def test_the_bomb_would_go_off():
    pickle.loads(pickle.dumps(Bomb()))
    Path("RAN").rmdir()


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(test_\w+)`", (PROJECT / "SECURITY.md").read_text(encoding="utf-8"))
    there = {
        name
        for path in PROJECT.glob("tests/**/*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert len(named) > 10
    assert not set(named) - there


@pytest.mark.parametrize(
    "name",
    ["../evil.jsonl", "a/../../../evil.jsonl", "..\\evil.jsonl", "%2e%2e/evil.jsonl", "x/..", "a\nb.jsonl", "..."],
)
@pytest.mark.parametrize("listed", [False, True])
def test_a_name_of_a_store_leads_nowhere_outside_of_the_cache(tmp_path, name, listed):
    line = b'{"n": 1}\n'
    with StoreServer() as server:
        server.put("bucket/data/a.jsonl", line)
        server.put(f"bucket/data/{name}", line)
        if listed:
            chunks = tuple(ChunkEntry(file=file, num_samples=1, num_bytes=len(line)) for file in ("a.jsonl", name))
            manifest = Manifest(columns=(ColumnSpec("n", "array", "int64"),), reader="jsonl", chunks=chunks)
            server.put("bucket/data/manifest.json", msgspec.json.encode(manifest))
        where = {"storage_options": server.s3_options, "cache_dir": tmp_path / "cache" / "of" / "chunks"}
        with contextlib.suppress(PyLoaderError), DataLoader(data_dir="s3://bucket/data", **where) as loader:
            assert {number for batch in loader for number in batch["n"].tolist()} == {1}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(where["cache_dir"])]


@pytest.mark.parametrize("form", ["a.npy", "a.npz", "a.columns"])
@pytest.mark.parametrize("field", [False, True])
def test_a_pickle_in_an_array_is_never_loaded(capsys, form, field):
    array = np.array([Bomb(), Bomb()], dtype=object)
    if field:
        array = np.array([(1, Bomb()), (2, Bomb())], dtype=[("n", "i8"), ("o", object)])
    place = Path("chunks", form)
    place.parent.mkdir()
    if form == "a.npz":
        np.savez(place, x=array)
    elif form == "a.columns":
        place.mkdir()
        np.save(place / "x.npy", array, allow_pickle=True)
    else:
        np.save(place, array, allow_pickle=True)
    for words in (["peek", "chunks"], ["index", "chunks"], ["bench", "chunks"], ["split", str(place), "out/"]):
        assert main(words) == 2
    with pytest.raises(PyLoaderError):
        list(DataLoader(data_dir="chunks"))
    if form == "a.npy":
        with pytest.raises(PyLoaderError, match="Python objects"):
            indexed.NPDataset(place)


def test_a_pickle_in_place_of_a_state_or_a_receipt_is_never_loaded(capsys):
    with ChunkWriter("chunks") as writer:
        writer.write({"n": 1})
    Path("receipts").mkdir()
    for place in ("state.json", "receipts/rank-00000.receipt"):
        Path(place).write_bytes(pickle.dumps(Bomb()))
    assert main(["locate", "state.json", "chunks"]) == 2
    assert main(["audit", "receipts", "chunks"]) != 0
    with pytest.raises(PyLoaderError):
        DataLoader(data_dir="chunks").load_state_dict(pickle.dumps(Bomb()))


def test_another_directory_is_followed_only_by_its_manifests_name():
    Path("mine").mkdir()
    for place in ("elsewhere", "mine"):
        with ChunkWriter(place) as writer:
            writer.write({"n": 1})
    manifest = json.loads(Path("mine/manifest.json").read_text())
    Path("mine/manifest.json").write_text(json.dumps({**manifest, "root": str(Path("elsewhere").resolve())}))
    with pytest.raises(ManifestError, match=r"lists chunks in another directory, .*To go there, name the manifest"):
        DataLoader(data_dir="mine")
    assert len(DataLoader(data_dir="mine/manifest.json")) == 1


def test_a_link_inside_a_data_directory_is_followed_for_reading():
    Path("elsewhere").mkdir()
    Path("elsewhere/a.jsonl").write_text('{"n": 1}\n')
    Path("chunks").mkdir()
    Path("chunks/a.jsonl").symlink_to(Path("elsewhere/a.jsonl").resolve())
    (batch,) = DataLoader(data_dir="chunks")
    assert batch["n"].tolist() == [1]


class Sockets(DataReader):
    """Reads the sockets that its process has: family and name of each."""

    def read_file(self, path):
        rows = []
        for number in map(int, os.listdir("/proc/self/fd")):
            try:
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    with socket.socket(fileno=os.dup(number)) as found:
                        names = [found.getsockname(), found.getpeername()]
                        rows.append([str(found.family), *(str(name) for name in names)])
            except OSError:
                continue  # the descriptor that listed them
        return {"socket": rows}, len(rows)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at /proc")
def test_a_worker_is_reached_by_no_name_and_no_port():
    pytest.importorskip("cloudpickle")
    Path("a.x").write_text("")
    (batch,) = DataLoader(Sockets(), data_dir="a.x", worker_kind="process", num_workers=1)
    assert batch["socket"] == [[str(socket.AF_UNIX), "", ""]]
