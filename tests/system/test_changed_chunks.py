"""Law 7: a chunk that is no longer what the loader listed is an error, whatever has become of it, and whenever."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyloader import DataLoader, DataReader
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError, ManifestError, PyLoaderError
from pyloader.files.compressors import open_packed
from pyloader.indexed import ChunkedDataset

NUM_CHUNKS, ROWS, CHANGED = 6, 20, 4
FORMS = [".jsonl", ".txt", ".csv", ".jsonl.gz", ".npy", ".columns"]


def write_chunk(path: Path, start: int, num_rows: int = ROWS) -> None:
    """Write the rows from `start` on, which are numbered."""
    suffix = path.suffixes[0]
    if suffix in (".npy", ".columns"):
        if suffix == ".columns":
            path.mkdir(exist_ok=True)
        np.save(path / "data.npy" if suffix == ".columns" else path, np.arange(start, start + num_rows))
        return
    row = {".jsonl": '{{"data":{}}}\n', ".txt": "{}\n", ".csv": "{}\n"}[suffix]
    with open_packed(path, "wb") as file:
        file.write(b"data\n" if suffix == ".csv" else b"")
        file.write("".join(row.format(number) for number in range(start, start + num_rows)).encode())


@pytest.fixture
def chunks(tmp_path, request):
    directory = tmp_path / "chunks"
    directory.mkdir()
    for index in range(NUM_CHUNKS):
        write_chunk(directory / f"c-{index}{request.param}", index * ROWS)
    return directory


def as_file(path: Path) -> Path:
    return path / "data.npy" if path.suffix == ".columns" else path


def cut_by_three(path: Path) -> None:
    os.truncate(as_file(path), as_file(path).stat().st_size - 3)


def cut_at_a_row(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_chunk(path, CHANGED * ROWS, ROWS - 5)


def emptied(path: Path) -> None:
    as_file(path).write_bytes(b"")


def appended_to(path: Path) -> None:
    with open(as_file(path), "ab") as file:
        file.write(as_file(path).read_bytes())


def grown(path: Path) -> None:
    write_chunk(path, CHANGED * ROWS, ROWS + 5)


def replaced_by_another(path: Path) -> None:
    beside = path.with_name(f".beside{''.join(path.suffixes)}")
    write_chunk(beside, 1000, 2 * ROWS)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.replace(beside, path)


def replaced_by_a_pipe(path: Path) -> None:
    as_file(path).unlink()
    os.mkfifo(as_file(path))


def replaced_by_a_directory(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.mkdir()


def removed(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


CHANGES = [
    cut_by_three, cut_at_a_row, emptied, appended_to, grown, replaced_by_another, replaced_by_a_pipe,
    replaced_by_a_directory, removed,
]  # fmt: skip


def numbers(batches) -> list[int]:
    return [int(number) for batch in batches for number in next(iter(batch.values()))]


@pytest.mark.slow
@pytest.mark.parametrize("chunks", FORMS, indirect=True)
@pytest.mark.parametrize("manifest", ["none", "counted", "checksums"])
@pytest.mark.parametrize("num_taken", [0, 2])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_under_a_running_loader_is_an_error_after_the_good_rows(chunks, manifest, num_taken, change):
    if manifest != "none":
        assert main(["index", str(chunks), "-q", *(["--checksums"] if manifest == "checksums" else [])]) == 0
    (path,) = chunks.glob(f"c-{CHANGED}.*")
    with DataLoader(data_dir=chunks, batch_size=10, max_queue_size=1, num_workers=1) as loader:
        got = [next(loader) for _ in range(num_taken)]
        change(path)
        with pytest.raises((PyLoaderError, OSError)) as caught:
            for batch in loader:
                got.append(batch)
    assert numbers(got) == list(range(CHANGED * ROWS))
    if change is not removed and change is not replaced_by_a_directory:
        assert isinstance(caught.value, ChunkReadError)
        found = r" bytes, and had [\d,]+ when it was listed\. Make a new loader|and is a pipe, a socket or a device"
        caught.match(rf"c-{CHANGED}\..*({found})")


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [".txt"], indirect=True)
@pytest.mark.parametrize("options", [{"num_workers": 0}, {"num_workers": 1, "worker_kind": "process"}])
def test_it_holds_without_threads_and_in_worker_processes(chunks, options):
    if options["num_workers"]:
        pytest.importorskip("cloudpickle")
    with DataLoader(data_dir=chunks, batch_size=10, **options) as loader:
        emptied(chunks / f"c-{CHANGED}.txt")
        with pytest.raises(ChunkReadError, match=r"c-4\.txt: has 0 bytes, and had 60 when it was listed"):
            list(loader)


@pytest.mark.parametrize("chunks", [".txt"], indirect=True)
def test_an_empty_chunk_that_becomes_a_pipe_does_not_hang(chunks):
    emptied(chunks / f"c-{CHANGED}.txt")
    with DataLoader(data_dir=chunks, batch_size=10) as loader:
        replaced_by_a_pipe(chunks / f"c-{CHANGED}.txt")
        with pytest.raises(ChunkReadError, match=r"c-4\.txt: was a file of 0 bytes .* is a pipe"):
            list(loader)


class Growing(DataReader):
    """A reader of the user's, under which the chunk grows."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.fails = fails

    def read_file(self, path: str):
        lines = Path(path).read_text().splitlines()
        if f"c-{CHANGED}" in path:
            with open(path, "a") as file:
                file.write("more\n")
            if self.fails:
                raise ValueError("the last line is cut")
        return {"data": lines}


@pytest.mark.parametrize("chunks", [".txt"], indirect=True)
@pytest.mark.parametrize("fails", [False, True])
def test_a_chunk_that_grows_while_a_reader_of_the_users_reads_it_is_an_error(chunks, fails):
    match = r"c-4\.txt: has 65 bytes, and had 60 when it was listed"
    loader = DataLoader(Growing(fails=fails), data_dir=chunks, batch_size=10)
    with loader, pytest.raises(ChunkReadError, match=match) as caught:
        list(loader)
    assert isinstance(caught.value.__cause__, ValueError) == fails


@pytest.mark.parametrize("chunks", [".npy"], indirect=True)
def test_a_chunked_dataset_notices_it_too(chunks):
    assert main(["index", str(chunks), "-q"]) == 0
    with contextlib.closing(ChunkedDataset(chunks)) as dataset:
        grown(chunks / f"c-{CHANGED}.npy")
        with pytest.raises(ChunkReadError, match=r"c-4\.npy: has 328 bytes, and had 288 when it was listed"):
            dataset[CHANGED * ROWS]


@pytest.mark.parametrize("chunks", [".txt"], indirect=True)
def test_with_a_manifest_the_remedy_leads_to_what_verify_says(chunks):
    assert main(["index", str(chunks), "-q"]) == 0
    cut_by_three(chunks / f"c-{CHANGED}.txt")
    with pytest.raises(ManifestError, match=r"says that c-4\.txt has 60 bytes; it has 57"):
        DataLoader(data_dir=chunks)
    assert msgspec.json.decode((chunks / "manifest.json").read_bytes())["chunks"][CHANGED]["num_bytes"] == 60
