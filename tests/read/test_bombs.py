"""Bombs: small files that become large are stopped before the memory is taken."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import zstandard

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.errors import ManifestError, MemoryBoundError
from pyloader.files import room
from pyloader.files.compressors import COMPRESSORS, open_packed
from pyloader.files.room import room_of
from pyloader.inspecting import beginnings
from pyloader.read import NumpyReader, reader_for

MiB = 2**20
UNPACKED = 64 * MiB
BOUND = 16 * MiB
# What reading takes beside the columns that are bounded, at most: numbers and short fields as Python's values.
MOST_TAKEN = 320 * MiB
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss

ROWS = {".jsonl": b'{"a":1}\n', ".txt": b"ab\n", ".csv": b"12,34\n"}


def write_rows(path, row: bytes, packing: str) -> str:
    """Write 64 MiB of the same row, of which little is left packed."""
    block = row * (MiB // len(row))
    with open_packed(path, "wb") as file:
        for _ in range(UNPACKED // MiB):
            file.write(block)
    assert path.stat().st_size < 2 * MiB
    return str(path)


def npy_of_zeros(num_bytes: int) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (num_bytes,)})
    return header.getvalue()


def stopped(path: str, *, max_bytes: int | None = BOUND, **options: object) -> str:
    """Load a chunk in a process of its own, and return its error; at most so much memory may have been taken."""
    script = f"""
        import resource
        import pyarrow.parquet
        from pyloader import DataLoader
        from pyloader.errors import MemoryBoundError
        from pyloader.inspecting.measuring import peak_bytes
        loader = DataLoader(data_dir={path!r}, max_bytes={max_bytes!r}, **{options!r})
        before = peak_bytes()
        try:
            next(loader)
        except MemoryBoundError as exc:
            loader.close()
            of_workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * {UNIT}
            print(max(peak_bytes(), of_workers) - before, exc)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    num_bytes, message = out.stdout.strip().split(" ", 1)
    assert int(num_bytes) < MOST_TAKEN
    return message


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ROWS)
def test_packed_rows_stop_at_the_bound(tmp_path, suffix):
    path = write_rows(tmp_path / f"a{suffix}.zst", ROWS[suffix], ".zst")
    message = stopped(path)
    assert message.startswith(f"{path}: takes more than 16.8 MB unpacked, which is max_bytes=16,777,216.")
    assert message.endswith("pyloader split; or let the loader go further: a larger max_bytes=")


@pytest.mark.slow
@pytest.mark.parametrize("packing", [".gz", ".xz"])
def test_every_packing_stops_at_the_bound(tmp_path, packing):
    assert "which is max_bytes=16,777,216." in stopped(write_rows(tmp_path / f"a.txt{packing}", b"ab\n", packing))


@pytest.mark.slow
def test_a_line_without_an_end_stops_at_the_bound(tmp_path):
    path = write_rows(tmp_path / "a.jsonl.zst", b'{"a": "' + b"x" * 57, ".zst")
    assert stopped(path).startswith(f"{path}: has a line of more than 16.8 MB.")


@pytest.mark.slow
def test_a_bomb_stops_in_a_worker_process_too(tmp_path):
    pytest.importorskip("cloudpickle")
    path = write_rows(tmp_path / "a.txt.zst", b"ab\n", ".zst")
    assert "which is max_bytes=16,777,216." in stopped(path, num_workers=1, worker_kind="process")


@pytest.mark.slow
def test_packed_arrays_are_refused_by_their_headers(tmp_path):
    path = tmp_path / "a.npy.zst"
    path.write_bytes(zstandard.compress(npy_of_zeros(UNPACKED) + bytes(UNPACKED)))
    assert "; it says that it unpacks to 67.1 MB." in stopped(str(path))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy_of_zeros(UNPACKED) + bytes(UNPACKED))
    assert "; it says that it unpacks to 67.1 MB." in stopped(str(tmp_path / "a.npz"))


@pytest.mark.slow
def test_parquet_that_says_how_many_rows_it_has_is_refused_by_that(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"a": arrow.nulls(10**7, arrow.int64())}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    assert "; it says that it unpacks to 80.0 MB." in stopped(str(tmp_path / "a.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("store_schema", [True, False])
def test_parquet_whose_rows_share_a_large_value_stops_at_the_bound(tmp_path, store_schema):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    column = arrow.DictionaryArray.from_arrays(arrow.array(np.zeros(3 * 10**5, np.int32)), arrow.array(["x" * 10_000]))
    parquet.write_table(arrow.table({"a": column}), tmp_path / "a.parquet", store_schema=store_schema)
    assert "which is max_bytes=16,777,216" in stopped(str(tmp_path / "a.parquet"))


@pytest.mark.slow
def test_packed_arrow_stops_at_the_bound(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": np.zeros(2**25, np.int64)})
    options = arrow.ipc.IpcWriteOptions(compression="zstd")
    with arrow.ipc.new_file(tmp_path / "a.arrow", table.schema, options=options) as file:
        file.write_table(table, max_chunksize=2**16)
    assert "which is max_bytes=16,777,216" in stopped(str(tmp_path / "a.arrow"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.zst", "a.csv.xz", "a.npy.bz2", "a.npz", "a.parquet"])
def test_without_a_bound_half_of_the_memory_is_one_and_a_larger_bound_goes_further(tmp_path, monkeypatch, name):
    rows = 200_000
    if name.endswith(".parquet"):
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({"a": ["x" * 100] * rows}), tmp_path / name)
    elif name.endswith(".npz"):
        np.savez_compressed(tmp_path / name, a=np.zeros(rows, np.int64))
    else:
        with open_packed(tmp_path / name, "wb") as file:
            suffix = f".{name.split('.')[1]}"
            if suffix == ".npy":
                np.save(file, np.zeros(rows, np.int64))
            else:
                file.write(ROWS[suffix] * rows)
    path = str(tmp_path / name)
    reader = reader_for(path)
    num_rows = reader.read_file(path)[1]
    assert num_rows in (rows, rows - 1)
    monkeypatch.setattr(room, "half_of_memory", lambda: MiB)
    with pytest.raises(MemoryBoundError, match=r"takes more than 1\.0 MB unpacked, which is half of the memory"):
        reader.read_file(path)
    with room_of(2**30):
        assert reader.read_file(path)[1] == num_rows


@pytest.mark.slow
def test_plain_files_are_as_large_as_they_look_and_may_take_more_than_half_of_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "half_of_memory", lambda: 5 * MiB)
    (tmp_path / "a.txt").write_bytes(b"ab\n" * 3 * MiB)
    assert reader_for("a.txt").read_file(str(tmp_path / "a.txt"))[1] == 3 * MiB
    np.save(tmp_path / "a.npy", np.zeros(MiB))
    assert NumpyReader().read_file(str(tmp_path / "a.npy"))[1] == MiB


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["", *COMPRESSORS])
def test_one_line_of_a_hundred_megabytes_is_read(tmp_path, packing):
    path = tmp_path / f"a.txt{packing}"
    with open_packed(path, "wb") as file:
        file.write(b"x" * 10**8 + b"\n")
    columns, num_rows = reader_for(path).read_file(str(path))
    assert (len(columns["text"][0]), num_rows) == (10**8, 1)


@pytest.mark.slow
def test_peek_shows_the_beginning_of_what_unpacks_to_much(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(beginnings, "_ROOM_BYTES", MiB)
    path = write_rows(tmp_path / "a.jsonl.zst", ROWS[".jsonl"], ".zst")
    assert main(["peek", path]) == 0
    assert "from the beginning of a.jsonl.zst" in capsys.readouterr().out


@pytest.mark.slow
def test_index_names_what_there_is_no_room_for_and_split_makes_smaller_chunks_of_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "raw").mkdir()
    with open_packed(tmp_path / "raw" / "a.jsonl.gz", "wb") as file:
        file.write(b"".join(b'{"a": "row %d"}\n' % row for row in range(50_000)))
    monkeypatch.setattr(room, "half_of_memory", lambda: MiB)
    assert main(["index", str(tmp_path / "raw")]) == 2
    assert "a.jsonl.gz: takes more than 1.0 MB unpacked, which is half of the memory" in capsys.readouterr().err
    assert main(["split", str(tmp_path / "raw" / "a.jsonl.gz"), str(tmp_path / "chunks"), "--num-chunks", "20"]) == 0
    with DataLoader(data_dir=tmp_path / "chunks", batch_size=1000) as loader:
        assert sum(len(batch["a"]) for batch in loader) == 50_000


@pytest.mark.parametrize("suffix", [".jsonl", ".txt"])
def test_a_dump_with_a_line_without_an_end_is_refused_by_split(tmp_path, monkeypatch, capsys, suffix):
    monkeypatch.setattr(room, "half_of_memory", lambda: 16 * MiB)
    path = write_rows(tmp_path / f"a{suffix}.zst", b"x" * 64, ".zst")
    assert main(["split", path, str(tmp_path / "chunks")]) == 2
    error = capsys.readouterr().err
    assert f"a{suffix}.zst:1: has a line of more than" in error
    assert "a quarter of the memory" in error


def test_a_manifest_that_is_nested_too_deep_is_damaged(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": ' + "[" * 10**5)
    with pytest.raises(ManifestError, match="is not a manifest"):
        DataLoader(data_dir=tmp_path)
