"""The inputs of a split may lie in an object store: the chunks are those of the same files on a disk, byte for byte."""

from __future__ import annotations

import glob
import gzip
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from store_server import ACCESS_KEY, SECRET_KEY, StoreServer

from pyloader.cli.main import main
from pyloader.errors import SplitError
from pyloader.files import fetching, read_manifest
from pyloader.write import split
from pyloader.write.input_files import input_file
from pyloader.write.stored_inputs import stored_inputs

DAYS = Path("dumps/days")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreServer]:
    """A store to which the environment leads; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    DAYS.mkdir(parents=True)
    with StoreServer() as server:
        for name, value in (
            ("AWS_ENDPOINT_URL", server.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("COLUMNS", "200"),
        ):
            monkeypatch.setenv(name, value)
        yield server


def lines_of(day: int, num_rows: int = 9000) -> bytes:
    rows = ({"id": 100_000 * day + row, "text": "é" * (row % 61)} for row in range(num_rows))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def chunks_in(place: str) -> dict[str, bytes]:
    files = [path for path in Path(place).rglob("*") if path.is_file() and "chunk-" in str(path)]
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def write_lines() -> str:
    for day in range(2):
        (DAYS / f"day{day}.jsonl").write_bytes(lines_of(day))
    return "*.jsonl"


def write_packed() -> str:
    for day in range(2):
        (DAYS / f"day{day}.jsonl.gz").write_bytes(gzip.compress(lines_of(day)))
    return "*.gz"


def write_frames() -> str:
    (DAYS / "day.jsonl.zst").write_bytes(b"".join(zstandard.compress(lines_of(day)) for day in range(3)))
    return "day.jsonl.zst"


def write_fields() -> str:
    (DAYS / "day.csv").write_bytes(b"id,text\n" + b"".join(b'%d,"two\nlines"\n' % row for row in range(20_000)))
    return "day.csv"


def write_tables() -> str:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"id": list(range(30_000)), "text": [f"row {row}" for row in range(30_000)]})
    parquet.write_table(table, DAYS / "day.parquet", row_group_size=4000)
    return "day.parquet"


def write_batches() -> str:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"id": list(range(30_000))})
    with arrow.OSFile(str(DAYS / "day.arrow"), "wb") as file, arrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=5000)
    return "day.arrow"


def write_arrays() -> dict[str, str]:
    np.save(DAYS / "x.npy", np.arange(120_000.0).reshape(-1, 4))
    np.save(DAYS / "y.npy", np.arange(30_000))
    return {"image": "x.npy", "label": "y.npy"}


def write_members() -> str:
    np.savez(DAYS / "day.npz", a=np.arange(5000), b=np.ones((5000, 3)))
    return "day.npz"


def write_tokens() -> str:
    (DAYS / "day.bin").write_bytes(np.arange(400_000, dtype=np.uint16).tobytes())
    return "day.bin"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "options"),
    [
        (write_lines, {"engine": "thread", "workers": 3}),
        (write_lines, {"engine": "process", "workers": 2, "shuffle": True, "holdout": {"val": 0.1}}),
        (write_packed, {"engine": "thread", "workers": 2}),
        (write_packed, {"engine": "inline", "shuffle": True, "unique": "text"}),
        (write_frames, {"engine": "inline"}),
        (write_fields, {"engine": "inline"}),
        (write_tables, {"engine": "thread", "workers": 2}),
        (write_batches, {"engine": "inline"}),
        (write_arrays, {"engine": "inline"}),
        (write_members, {"engine": "inline"}),
        (write_tokens, {"engine": "inline", "window": 1025, "stride": 1024}),
    ],
)
def test_the_chunks_are_those_of_the_same_files_on_a_disk(
    server: StoreServer, write: Any, options: dict[str, Any]
) -> None:
    names = write()
    server.put_directory(Path("dumps"), "dumps")

    def below(place: str) -> Any:
        return {key: place + name for key, name in names.items()} if isinstance(names, dict) else place + names

    on_disk = split(below("dumps/days/"), "disk", **options)
    from_store = split(below("s3://dumps/days/"), "set", **options)
    assert chunks_in("set") == chunks_in("disk") != {}
    assert from_store.as_dict()["columns"] == on_disk.as_dict()["columns"]
    for path in Path("set").rglob("*"):
        assert not path.is_file() or SECRET_KEY.encode() not in path.read_bytes()


@pytest.mark.slow
def test_a_file_of_lines_is_read_in_ranges_each_by_one_request(server: StoreServer) -> None:
    server.put("dumps/day.jsonl", lines_of(0, 40_000))
    size = server.objects["dumps/day.jsonl"].size
    split("s3://dumps/day.jsonl", "set", engine="thread", workers=2)
    asked = [headers["range"] for line, headers in server.heard if line.startswith("GET")]
    ranges = [tuple(map(int, text.removeprefix("bytes=").split("-"))) for text in asked]
    assert len(ranges) == 1 + 16  # the first is read twice: it says what the columns are
    assert all(stop - start < size // 16 + 2**17 for start, stop in ranges)
    assert server.requests["HEAD dumps/day.jsonl"] == 1


def test_a_web_address_names_one_file_and_is_split(server: StoreServer) -> None:
    server.put("open/a day.jsonl", lines_of(0, 50))
    assert main(["split", f"{server.url}/open/a%20day.jsonl", "set", "-q"]) == 0
    assert main(["split", f"{server.url}/open/a%20day.jsonl", "set", "--append"]) == 0
    with pytest.raises(SplitError, match=r"/open/none\.jsonl: does not exist\. On the web an address names one file"):
        split(f"{server.url}/open/none.jsonl", "other")


def test_a_file_address_is_a_path(server: StoreServer) -> None:
    (DAYS / "day.jsonl").write_bytes(lines_of(0, 50))
    split(f"file://{DAYS.absolute()}/*.jsonl", "set")
    split("dumps/days/day.jsonl", "disk")
    assert chunks_in("set") == chunks_in("disk")


@pytest.mark.slow
def test_what_may_pass_is_asked_for_again(server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_FIRST_WAIT_SECONDS", 0.001)
    write_lines()
    server.put_directory(Path("dumps"), "dumps")
    server.add_fault("dumps/days/*", method="GET", close_at=100_000, times=4)
    server.add_fault("dumps/days/*", method="HEAD", status=500)
    server.add_fault("*", method="LIST", status=500)
    server.add_fault("dumps/days/*", method="GET", status=503, headers={"Retry-After": "0"}, times=3)
    split("s3://dumps/days/*", "set")
    split("dumps/days/*", "disk")
    assert chunks_in("set") == chunks_in("disk")
    assert all(fault.used for fault in server.faults)


@pytest.mark.slow
def test_an_object_that_changes_while_it_is_split_is_an_error_that_names_both_versions(server: StoreServer) -> None:
    was = server.put("dumps/day.jsonl", lines_of(0)).etag
    server.add_fault("dumps/day.jsonl", after=3, before=lambda: server.put("dumps/day.jsonl", lines_of(1)))
    with pytest.raises(SplitError, match=r"s3://dumps/day\.jsonl: has changed.*once nothing is written") as caught:
        split("s3://dumps/day.jsonl", "set")
    assert was in str(caught.value) and server.objects["dumps/day.jsonl"].etag in str(caught.value)
    split("s3://dumps/day.jsonl", "set")  # as it is now, from the beginning
    (DAYS / "day.jsonl").write_bytes(lines_of(1))
    split("dumps/days/day.jsonl", "disk")
    assert chunks_in("set") == chunks_in("disk")


@pytest.mark.slow
def test_a_split_that_a_store_has_stopped_goes_on_where_it_was(
    server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(4):
        server.put(f"dumps/day{day}.jsonl", lines_of(day))
    refused = server.add_fault("dumps/day3.jsonl", method="GET", status=403, times=None)
    with pytest.raises(SplitError, match=r"day3\.jsonl: was refused.*give the same command again: it goes on"):
        split("s3://dumps/day*.jsonl", "set", engine="inline")
    server.faults.remove(refused)
    server.requests.clear()
    split("s3://dumps/day*.jsonl", "set", engine="inline")
    assert not server.requests["GET dumps/day1.jsonl"] and server.requests["GET dumps/day3.jsonl"]


def test_an_append_takes_what_is_new_and_knows_objects_by_address_size_and_version(
    server: StoreServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(2):
        server.put(f"dumps/day{day}.jsonl", lines_of(day, 100))
    assert main(["split", "s3://dumps/*.jsonl", "set", "-q"]) == 0
    server.put("dumps/day1.jsonl", lines_of(1, 100))  # the same bytes at another time
    server.put("dumps/day2.jsonl", lines_of(2, 100))
    server.put("dumps/same-as-day0.jsonl", lines_of(0, 100))
    server.requests.clear()
    assert main(["split", "s3://dumps/*.jsonl", "set", "--append"]) == 0
    assert "3 inputs were taken in before: passed over" in capsys.readouterr().out
    gets = {name for name in server.requests if name.startswith("GET")}
    assert gets == {"GET dumps/day2.jsonl", "GET dumps/same-as-day0.jsonl"}
    assert not [name for name in server.requests if name.startswith("HEAD")]
    known = [json.loads(line) for line in Path("set/.inputs.jsonl").read_text().splitlines()]
    assert {line["path"] for line in known} >= {"s3://dumps/day0.jsonl", "s3://dumps/day2.jsonl"}
    assert all(line["object_version"].startswith('"') and line["modified_ns"] == 0 for line in known)

    server.put("dumps/day0.jsonl", lines_of(5, 100))
    with pytest.raises(SplitError, match=r'day0\.jsonl: is not what version 1 .* of version "\w+"; this has .* "\w+"'):
        split("s3://dumps/*.jsonl", "set", append=True)


def test_what_is_secret_in_an_address_is_refused_and_written_nowhere(
    server: StoreServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("open/day.jsonl", lines_of(0, 10))
    signed = f"{server.url.replace('http://', 'http://me:planted@')}/open/day.jsonl?signature=planted"
    assert main(["split", signed, "set"]) == 2
    said = "".join(capsys.readouterr())
    assert "Pipe it: curl ADDRESS | pyloader split - DIR --from jsonl" in said and "planted" not in said
    assert not Path("set").exists()


def test_below_a_prefix_lies_what_is_data(server: StoreServer) -> None:
    names = ["a/1.jsonl", "a/b/2.jsonl", "a/_SUCCESS", "a/_temporary/3.jsonl", "a/.4.crc", "a/empty.jsonl", "ab.jsonl"]
    for name in names:
        server.put(f"dumps/{name}", b"" if "empty" in name else b"{}\n")
    found = [file.path for file in stored_inputs("s3://dumps/a/")]
    assert found == ["s3://dumps/a/1.jsonl", "s3://dumps/a/b/2.jsonl"]
    assert [file.path for file in stored_inputs("s3://dumps")] == [*found, "s3://dumps/ab.jsonl"]
    with pytest.raises(SplitError, match=r"s3://dumps/c: there is no such object.*begins so: 's3://dumps/c\*'"):
        stored_inputs("s3://dumps/c")
    with pytest.raises(SplitError, match=r"no such object, and nothing below it\.$"):
        stored_inputs("s3://dumps/c.jsonl")
    with pytest.raises(SplitError, match=r"s3://dumps/a/: is followed by a \?.* write \* or \[0-9\]"):
        stored_inputs("s3://dumps/a/?.jsonl")


PATTERNS = ("*", "a*/*.jsonl", "**/*.jsonl", "**", "a/**/*.gz", "a/[!1].jsonl", ".*", "a/.*", "x/**/x", "[[]1].*")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_what_they_mean_on_a_disk(server: StoreServer, pattern: str) -> None:
    names = ["1.jsonl", ".h.jsonl", "a/1.jsonl", "a/2.jsonl", "a/.3.jsonl", "a/b/c/4.jsonl.gz", "a/.b/5.jsonl"]
    for name in [*names, "[1].txt", "ab/6.jsonl", "x/x", "x/y/x"]:
        path = Path("dumps", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    server.put_directory(Path("dumps"), "dumps")
    wanted = sorted(filter(os.path.isfile, glob.glob(f"dumps/{pattern}", recursive=True)))
    if not wanted:
        with pytest.raises(SplitError, match="there is no such object"):
            stored_inputs(f"s3://dumps/{pattern}")
        return
    found = stored_inputs(f"s3://dumps/{pattern}")
    assert [file.path.replace("s3://", "") for file in found] == wanted
    assert [file.num_bytes for file in found] == [input_file(path).num_bytes for path in wanted]


def test_an_object_whose_name_is_a_pattern_is_named_by_it(server: StoreServer) -> None:
    server.put("dumps/day[0].jsonl", b"{}\n")
    assert [file.path for file in stored_inputs("s3://dumps/day[0].jsonl")] == ["s3://dumps/day[0].jsonl"]


def test_check_lists_the_bad_rows_of_a_store(server: StoreServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.put("dumps/day.jsonl", lines_of(0, 20) + b"no row\n")
    assert main(["split", "s3://dumps/day.jsonl", "set", "--check", "-q"]) == 1
    assert "s3://dumps/day.jsonl:21" in "".join(capsys.readouterr())


@pytest.mark.slow
def test_a_bad_row_of_a_range_is_named_by_its_line_in_the_object(server: StoreServer) -> None:
    server.put("dumps/day.jsonl", lines_of(0) + b"no row\n")
    with pytest.raises(SplitError, match=r"s3://dumps/day\.jsonl:9001: "):
        split("s3://dumps/day.jsonl", "set")


def test_a_packed_object_that_ends_early_says_so(server: StoreServer) -> None:
    server.put("dumps/day.jsonl.gz", gzip.compress(lines_of(0))[:-2000])
    with pytest.raises(SplitError, match=r"s3://dumps/day\.jsonl\.gz: ends early"):
        split("s3://dumps/day.jsonl.gz", "set")


def test_what_is_read_from_a_disk_alone_says_so(server: StoreServer) -> None:
    server.put("dumps/cats/1.png", b"\x89PNG")
    np.save(DAYS / "x.npy", np.asfortranarray(np.ones((50, 3))))
    server.put_directory(Path("dumps"), "dumps")
    with pytest.raises(SplitError, match=r"column by column.*Copy it to a disk first"):
        split("s3://dumps/days/x.npy", "set")
    with pytest.raises(SplitError, match=r"1\.png: .*Images are split from a disk"):
        split("s3://dumps/cats", "set")


@pytest.mark.slow
def test_memory_stays_what_it_is_whatever_the_size_of_an_object(server: StoreServer, tmp_path: Path) -> None:
    line = b'{"id": 123456789, "text": "' + b"x" * 473 + b'"}\n'
    for name, num_lines in (("small", 10_000), ("large", 50_000)):  # 5 and 25 MB
        (tmp_path / name).write_bytes(line * num_lines)
        server.put(f"dumps/{name}.jsonl", tmp_path / name)
        server.put(f"dumps/{name}.jsonl.gz", gzip.compress(line * num_lines, 1))
    script = """
        from pyloader.inspecting.measuring import peak_bytes
        from pyloader.write import split
        peaks = []
        for name in ("small.jsonl", "small.jsonl.gz", "large.jsonl", "large.jsonl.gz"):
            split(f"s3://dumps/{name}", f"set-{name}", engine="inline")
            peaks.append(peak_bytes())
        print(*peaks)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    peaks = [int(word) for word in done.stdout.split()]
    assert peaks[3] - peaks[1] < 10_000_000, peaks


def test_a_file_that_http_serves_to_who_has_a_token_is_split_with_it(server: StoreServer, monkeypatch) -> None:
    server.put("data/day.jsonl", lines_of(0))
    host = server.url.removeprefix("http://")
    monkeypatch.setenv("PYLOADER_HTTP_HEADERS", f"{host} Authorization: Bearer {SECRET_KEY}")
    split(f"{server.url}/data/day.jsonl", "chunks", workers=2)
    assert read_manifest(Path("chunks/manifest.json")).num_samples == 9000
    assert {headers.get("authorization") for _, headers in server.heard} == {f"Bearer {SECRET_KEY}"}
    written = [path.read_bytes() for path in Path().rglob("*") if path.is_file()]
    assert SECRET_KEY.encode() not in b"".join(written)
