"""`pyloader index` of large files: their parts, in place, and what the other commands make of them."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import pyloader
from pyloader import DataLoader, DataReader, JsonlReader
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError, ManifestError, StateError
from pyloader.files import line_files, list_chunks, read_manifest
from pyloader.indexed import ChunkedDataset
from pyloader.testing.failures import check_damage, check_flaky_reads
from pyloader.testing.order import check_exactly_once, check_parts, check_same_batches


@pytest.fixture(autouse=True)
def a_wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")


def command(capsys: pytest.CaptureFixture[str], *words: Any, ends_with: int = 0) -> list[str]:
    """Run a command, and return what it says."""
    assert main([str(word) for word in words]) == ends_with
    out, err = capsys.readouterr()
    assert not (out and err)
    return (out or err).splitlines()


def numbered_lines(path: Path, count: int = 200, first: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(json.dumps({"n": row, "s": f"row {row:05d}"}) + "\n" for row in range(first, first + count))
    )
    return path


def rows(place: Any, **options: Any) -> list[int]:
    with DataLoader(data_dir=place, num_epochs=1, **{"batch_size": 7, **options}) as loader:
        return [int(number) for batch in loader for number in batch["n"]]


def test_the_index_of_a_file_lies_beside_it_and_is_found_when_the_file_is_named(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    numbered_lines(tmp_path / "other.jsonl")
    assert len(list_chunks(path)) == 1
    assert rows(path) == list(range(200))
    assert command(capsys, "index", path, "--chunk-bytes", "2kB") == [
        f"{path}.manifest.json   3 chunks, 200 samples, 5.7 kB   (parts found; no checksums)",
        "columns    n: int64, s: str   (in every chunk)",
        "parts      1 of 1 file cut, into parts of about 2.0 kB, up to 5.6 kB in memory",
        f'next       several ranks, len() and exact steps now work: DataLoader(data_dir="{path}", ...)',
    ]
    chunks = list_chunks(path)
    assert chunks.names == ("big.jsonl[0:69]", "big.jsonl[69:135]", "big.jsonl[135:200]")
    assert rows(path) == list(range(200))
    assert sorted(rows(path, shuffle=True)) == list(range(200))
    assert rows(path, world=(1, 2), last_batch="drop", batch_size=50) == list(range(100, 200))
    assert rows(f"{path}.manifest.json") == list(range(200))
    assert rows([path]) == list(range(200))  # a list names files themselves
    with DataLoader(data_dir=path, batch_size=64) as loader:
        assert len(loader) == 4


def test_where_columns_cannot_differ_one_part_is_read_of_all_files(capsys, tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("a line\n" * 1000)
    read = []
    read_part = pyloader.TextReader.read_part
    monkeypatch.setattr(
        pyloader.TextReader, "read_part", lambda reader, path, part: read.append(part) or read_part(reader, path, part)
    )
    assert command(capsys, "index", tmp_path, "--chunk-bytes", "1kB")[1] == "columns    text: str   (in every chunk)"
    assert len(read) == 1
    assert read_manifest(tmp_path / "manifest.json").num_samples == 3000
    command(capsys, "index", tmp_path, "--overwrite", "--all")
    assert len(read) == 1 + 21


def test_parts_are_in_the_order_of_their_rows_not_of_their_names(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl", 1200)
    command(capsys, "index", path, "--chunk-samples", "90")
    assert list_chunks(path).names[1:3] == ("big.jsonl[90:180]", "big.jsonl[180:270]")
    assert rows(path) == list(range(1200))


def test_in_a_directory_large_files_are_cut_and_small_ones_are_as_they_were(capsys, tmp_path):
    numbered_lines(tmp_path / "d" / "a.jsonl", 10)
    numbered_lines(tmp_path / "d" / "b.jsonl", 200, first=10)
    lines = command(capsys, "index", tmp_path / "d", "--chunk-bytes", "2kB")
    assert "parts      1 of 2 files cut, into parts of about 2.0 kB" in lines[2]
    assert list_chunks(tmp_path / "d").names == ("a.jsonl", "b.jsonl[0:68]", "b.jsonl[68:135]", "b.jsonl[135:200]")
    assert rows(tmp_path / "d") == list(range(210))
    assert rows(tmp_path / "d" / "b.jsonl") == list(range(10, 210))  # what the directory's manifest knows of it
    assert len(list_chunks(tmp_path / "d" / "b.jsonl")) == 3


def test_a_directory_of_small_files_has_the_manifest_that_it_had(capsys, tmp_path):
    numbered_lines(tmp_path / "d" / "a.jsonl")
    command(capsys, "index", tmp_path / "d")
    before = (tmp_path / "d" / "manifest.json").read_bytes()
    assert b'"part' not in before
    command(capsys, "index", tmp_path / "d", "--overwrite")
    assert (tmp_path / "d" / "manifest.json").read_bytes() == before


def test_indexing_again_keeps_the_size_and_says_when_states_are_refused(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    command(capsys, "index", path, "--chunk-samples", "50")
    first = list_chunks(path)
    with DataLoader(data_dir=path, batch_size=7) as loader:
        next(loader)
        state = loader.state_dict()
    again = command(capsys, "index", path, "--overwrite", "--checksums")
    assert not any(line.startswith("states") for line in again)
    assert list_chunks(path).fingerprint == first.fingerprint
    assert read_manifest(f"{path}.manifest.json").part_sizes == first.manifest.part_sizes
    other = command(capsys, "index", path, "--overwrite", "--chunk-samples", "40")
    assert "states     those that were saved before are refused: the chunks are others now" in other
    with DataLoader(data_dir=path, batch_size=7) as loader, pytest.raises(StateError, match="chunks"):
        loader.load_state_dict(state)


def test_a_directory_whose_chunks_were_files_keeps_them(capsys, tmp_path, monkeypatch):
    numbered_lines(tmp_path / "d" / "a.jsonl")
    command(capsys, "index", tmp_path / "d")
    monkeypatch.setattr("pyloader.inspecting.counting.LARGE_BYTES", 1000)
    lines = command(capsys, "index", tmp_path / "d", "--overwrite")
    assert lines[2].startswith("parts      a.jsonl is one chunk, up to 1")
    assert lines[2].endswith(" kB in memory: as before; cut by --overwrite --chunk-bytes 64MiB")
    assert list_chunks(tmp_path / "d").names == ("a.jsonl",)
    command(capsys, "index", tmp_path / "d", "--overwrite", "--chunk-bytes", "2kB")
    assert len(list_chunks(tmp_path / "d")) == 3


def test_what_cannot_be_cut_is_one_chunk_and_the_screen_says_what_it_takes(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    packed = tmp_path / "big.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    lines = command(capsys, "index", packed, "--chunk-bytes", "100")
    assert lines[2].startswith("parts      big.jsonl.gz is one chunk, up to 1")
    assert lines[2].endswith(" kB in memory: pyloader split makes several")
    assert rows(packed) == list(range(200))


def test_an_index_of_one_file_elsewhere_has_the_files_name(capsys, tmp_path, monkeypatch):
    path = numbered_lines(tmp_path / "big.jsonl")
    numbered_lines(tmp_path / "other.jsonl")
    monkeypatch.chdir(tmp_path)
    assert main(["index", str(path), "--output", "mine.manifest.json"]) == 2
    assert "has its name: --output big.jsonl.manifest.json" in capsys.readouterr().err
    command(capsys, "index", path, "--output", "big.jsonl.manifest.json")
    assert rows(tmp_path / "big.jsonl.manifest.json") == list(range(200))


def test_an_index_elsewhere_names_the_place(capsys, tmp_path):
    path = numbered_lines(tmp_path / "data" / "big.jsonl")
    (tmp_path / "index").mkdir()
    lines = command(capsys, "index", path, "--chunk-samples", "50", "--output", tmp_path / "index")
    manifest = tmp_path / "index" / "big.jsonl.manifest.json"
    assert f'DataLoader(data_dir="{manifest}", ...)' in lines[-1]
    numbered_lines(tmp_path / "data" / "later.jsonl")  # an index of one file does not mind
    assert rows(manifest) == list(range(200))
    assert command(capsys, "verify", manifest)[0].startswith("4 chunks, 200 samples: all were read and counted")


def test_peek_says_how_a_large_file_is_read_in_parts(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("pyloader.cli.peek.LARGE_BYTES", 5000)
    path = numbered_lines(tmp_path / "big.jsonl")
    remedy = f"pyloader index {path} counts the samples, and finds the parts of large files"
    assert any(line.startswith("not indexed") and line.endswith(remedy) for line in command(capsys, "peek", path))
    command(capsys, *remedy.split()[1:3])
    assert not any(line.startswith("not indexed") for line in command(capsys, "peek", path))


def test_errors_and_the_loader_name_the_file_whose_parts_are_read(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    with pytest.raises(ValueError, match=re.escape(f"Make them: pyloader index {path} --checksums")):
        DataLoader(data_dir=path, verify="first")
    with DataLoader(data_dir=path, num_epochs=1) as loader, pytest.raises(TypeError, match=f"pyloader index {path}"):
        len(loader)
    command(capsys, "index", path, "--chunk-samples", "50")
    with pytest.raises(ValueError, match=re.escape(f"Make them: pyloader index {path} --checksums --overwrite")):
        DataLoader(data_dir=path, verify="first")
    with DataLoader(data_dir=path) as loader:
        assert f"data_dir='{path} (4 chunks)'" in repr(loader)


def test_an_index_that_is_large_beside_its_data_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("pyloader.cli.index._INDEX_BYTES", 1000)
    path = numbered_lines(tmp_path / "big.jsonl")
    (line,) = command(capsys, "index", path, "--chunk-samples", "2", ends_with=2)
    assert "100 parts make an index of " in line
    assert "more than 0.5% of it. Make parts " in line
    assert not Path(f"{path}.manifest.json").exists()


def test_a_file_that_has_changed_since_is_an_error_with_the_command_that_helps(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    command(capsys, "index", path, "--chunk-samples", "50")
    numbered_lines(path, 201)
    with pytest.raises(
        ManifestError, match=r"says that big\.jsonl has 5,\d+ bytes; it has .*pyloader verify"
    ) as raised:
        DataLoader(data_dir=path)
    lines = command(capsys, *raised.value.hint.partition("pyloader ")[2].split(), ends_with=1)
    assert lines[0].startswith("big.jsonl   changed   ")
    assert lines[1] == "0 of 4 chunks are good; 200 of 200 samples are in the 4 bad ones."
    remedy = next(line for line in lines if "pyloader index" in line).partition("pyloader ")[2]
    command(capsys, *remedy.split())
    assert rows(path) == list(range(201))


def test_verify_names_the_part_that_is_damaged(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    command(capsys, "index", path, "--chunk-samples", "50", "--checksums")
    assert command(capsys, "verify", path)[0] == "4 chunks, 200 samples: all checksums agree."
    content = bytearray(path.read_bytes())
    place = content.index(b"row 00120")
    content[place] ^= 1
    path.write_bytes(content)
    lines = command(capsys, "verify", path, ends_with=1)
    assert lines[0].startswith("big.jsonl[100:150]   changed   the checksum differs")
    assert lines[1] == "3 of 4 chunks are good; 50 of 200 samples are in the bad one."
    with DataLoader(data_dir=path, verify="first", batch_size=50) as loader:
        assert len(next(loader)["n"]) == 50
        assert len(next(loader)["n"]) == 50
        with pytest.raises(ChunkReadError, match=r"big\.jsonl\[100:150\]: is not what the manifest was made of"):
            next(loader)


def test_a_damaged_line_is_named_by_its_place_in_the_file_and_may_be_left_out(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    command(capsys, "index", path, "--chunk-samples", "50")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'{"n": 120', b'["n": 120'))
    with pytest.raises(ChunkReadError, match=r"big\.jsonl:121: "):
        rows(path)
    with DataLoader(data_dir=path, batch_size=50, num_epochs=1, max_skipped=1) as loader:
        found = [int(number) for batch in loader for number in batch["n"]]
        assert len(found) == 200
        assert 120 not in found
        ((name, reason),) = loader.stats().skipped.items()
    assert name == f"{path}[100:150], row 20"
    assert ":121: " in reason


@pytest.mark.slow
def test_peek_bench_and_locate_work_on_parts(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    command(capsys, "index", path, "--chunk-samples", "50")
    lines = command(capsys, "peek", path)
    assert any("200 samples, 4 chunks of 50" in line for line in lines)
    assert "  (from big.jsonl[0:50], 50 samples; --all reads every chunk)" in lines
    assert json.loads("\n".join(command(capsys, "peek", path, "--all", "--json")))["columns"][0]["num_rows"] == 200
    with DataLoader(data_dir=path, batch_size=8, shuffle=True) as loader:
        numbers = next(loader)["n"].tolist()
        (tmp_path / "state.json").write_text(json.dumps(loader.state_dict()))
    located = json.loads("\n".join(command(capsys, "locate", tmp_path / "state.json", path, "--step", 0, "--json")))
    assert {sample["chunk"] for sample in located["samples"]} <= set(list_chunks(path).names)
    begins = [int(sample["chunk"].partition("[")[2].partition(":")[0]) for sample in located["samples"]]
    rows_there = [sample["row"] for sample in located["samples"]]
    assert [begin + row for begin, row in zip(begins, rows_there, strict=True)] == numbers
    assert "4 chunks" in "\n".join(command(capsys, "bench", path, "--seconds", "0.1", "--quiet"))


@pytest.mark.slow
def test_the_checks_of_a_loader_hold_over_parts(capsys, tmp_path):
    path = tmp_path / "big.npy"
    np.save(path, np.arange(900, dtype="f4").reshape(300, 3))
    command(capsys, "index", path, "--chunk-samples", "30", "--checksums")

    def make_loader(**options: Any) -> DataLoader:
        return DataLoader(data_dir=path, **{"batch_size": 16, "shuffle": True, "num_epochs": 1, **options})

    for check in (check_parts, check_exactly_once, check_same_batches, check_damage, check_flaky_reads):
        check(make_loader)


@pytest.mark.slow
def test_parts_of_a_table_in_processes(capsys, tmp_path):
    path = tmp_path / "big.parquet"
    pq.write_table(pa.table({"n": range(200)}), path, row_group_size=20)
    command(capsys, "index", path, "--chunk-samples", "40")
    assert rows(path, worker_kind="process", num_workers=1) == list(range(200))


def test_a_size_below_that_of_a_row_group_says_so(capsys, tmp_path):
    path = tmp_path / "big.parquet"
    pq.write_table(pa.table({"n": range(200)}), path, row_group_size=20)
    lines = command(capsys, "index", path, "--chunk-samples", "3")
    assert lines[1] == "columns    n: int64   (in 4 of 10 chunks; --all reads every one)"
    assert lines[3] == "parts      the largest has 20 samples, since what is unpacked together is not cut"


def test_columns_are_judged_by_some_parts_and_by_all_where_it_is_said(capsys, tmp_path):
    path = tmp_path / "big.jsonl"
    path.write_text("".join(f'{{"n": {70.5 if row == 70 else row}}}\n' for row in range(200)))
    command(capsys, "index", path, "--chunk-samples", "10")
    with pytest.raises(ChunkReadError, match=r"big\.jsonl:71: 'n' ") as raised:
        rows(path)
    assert raised.value.hint.endswith("let the index look at all parts: pyloader index --overwrite --all")
    command(capsys, "index", path, "--overwrite", "--all")
    assert rows(path) == list(range(200))  # 70.5 in between, as int has it


def test_a_value_that_does_not_fit_is_named_by_its_row_in_the_file(capsys, tmp_path):
    path = tmp_path / "big.parquet"
    pq.write_table(pa.table({"n": [None if row == 70 else row for row in range(200)]}), path, row_group_size=10)
    command(capsys, "index", path, "--chunk-samples", "10")
    with pytest.raises(ChunkReadError, match=r"big\.parquet: row 71: 'n' .*pyloader index --overwrite --all"):
        rows(path)
    command(capsys, "index", path, "--overwrite", "--all")
    assert read_manifest(f"{path}.manifest.json").columns[0].kind == "int"


def test_rows_of_parts_are_reached_by_their_index(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    command(capsys, "index", path, "--chunk-samples", "30")
    samples = ChunkedDataset(path)
    assert len(samples) == 200
    assert [int(samples[row]["n"]) for row in (0, 29, 30, 199)] == [0, 29, 30, 199]


class Squares(DataReader):
    """Reads a file that has the number of its rows in it, and no parts."""

    def read_file(self, path: str) -> Any:
        return {"n": [row**2 for row in range(int(Path(path).read_text()))]}


def test_a_reader_that_reads_no_parts_is_refused_where_there_are_parts(capsys, tmp_path):
    path = numbered_lines(tmp_path / "big.jsonl")
    command(capsys, "index", path, "--chunk-samples", "50")

    class Filters(JsonlReader):
        def read_file(self, path: str) -> Any:
            columns, _ = super().read_file(path)
            return {"n": columns["n"][:1]}

    for reader in (Squares(), Filters()):
        message = r"has files that were indexed in parts, and (Squares|Filters) has no read_part beside its read_file"
        with pytest.raises(TypeError, match=message):
            DataLoader(reader, data_dir=path)


def test_the_screen_of_the_formats_page_is_what_is_shown(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(pyloader.__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    words, screen = re.search(r"```console\n\$ pyloader (index huge.*)\n((?:.*\n)+?)```", text).groups()
    pq.write_table(pa.table({"n": range(100_000)}), "huge.parquet", row_group_size=5000)

    def without_bytes_of_the_file(lines: list[str]) -> list[str]:
        return [re.sub(r"samples, [0-9.]+ kB", "", line) for line in lines]

    shown = command(capsys, *words.split())
    assert without_bytes_of_the_file(shown) == without_bytes_of_the_file(screen.splitlines())


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt.zst"])
def test_an_index_is_the_same_for_any_number_of_workers(capsys, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(line_files, "_PLACE_BYTES", 900)
    form = '{{"n": {0}, "s": "row {0}"}}\n' if suffix == ".jsonl" else '{0},"a ""row"",\nof {0}"\n'
    data = "".join(form.format(row) for row in range(300)).encode()
    if suffix.endswith(".zst"):
        data = b"".join(zstandard.compress(data[at : at + 700]) for at in range(0, len(data), 700))
    place, made = tmp_path / "d", []
    place.mkdir()
    for name in ("a", "b", "c"):
        (place / f"{name}{suffix}").write_bytes(data)
    path = place / f"a{suffix}"
    for workers in (1, 2, 5):
        command(capsys, "index", path, "--chunk-bytes", "700", "--workers", workers, "--overwrite")
        command(capsys, "index", place, "--chunk-bytes", "700", "--workers", workers, "--overwrite", "--checksums")
        made.append(((place / f"a{suffix}.manifest.json").read_bytes(), (place / "manifest.json").read_bytes()))
    assert len(list_chunks(path)) > 5
    assert made[0] == made[1] == made[2]
