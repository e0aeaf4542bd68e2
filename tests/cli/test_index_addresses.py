"""`pyloader index` of addresses: what it writes is what it writes of the same files on a disk."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import msgspec
import numpy as np
import pytest
from large_files import FORMS, NUM_ROWS, write_large
from products import drawn
from shards import SHARDS
from small_stores import same_batches

from pyloader import DataLoader, PaddingDataCollator
from pyloader.cli.main import main
from pyloader.errors import DataDirError
from pyloader.files import list_chunks, read_manifest
from pyloader.files.cache import cache_directory
from pyloader.files.manifest import parse_manifest
from pyloader.read import LitDataReader, MDSReader, MegatronReader

TOKENS = ["--reader", "tokens", "--option", "window=16", "--option", "dtype=uint16"]


@pytest.fixture
def index(capsys, tmp_path, monkeypatch):
    """Run `pyloader index`, and return what it says."""
    monkeypatch.chdir(tmp_path)

    def index(*words, code=0):
        assert main(["index", *map(str, words)]) == code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return (err if code else out).splitlines()

    return index


def same(one, other):
    """Tell whether two manifests say the same, but for the commands that made them."""
    return msgspec.structs.replace(one, made_by={}, root="") == msgspec.structs.replace(other, made_by={}, root="")


@pytest.mark.parametrize("form", drawn(FORMS, 5))
def test_each_form_is_indexed_in_a_store_as_on_a_disk(server, index, tmp_path, form):
    path, url = write_large(tmp_path / "data", form), f"s3://corpus/data/{form}"
    server.put(f"corpus/data/{form}", path.read_bytes())
    words = ["--chunk-samples", 30, "--checksums", *(TOKENS if form.endswith(".bin") else [])]
    said = index(path, *words)
    assert [line.replace(url, str(path)) for line in index(url, *words)] == said
    found = server.objects[f"corpus/data/{form}.manifest.json"].data
    assert same(parse_manifest(found, "it"), read_manifest(f"{path}.manifest.json"))
    assert len(list_chunks(url)) > 3


@pytest.mark.slow
def test_what_a_footer_or_a_header_tells_is_found_without_reading_the_data(server, index, tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    values = np.random.default_rng(0).random(400_000)
    parquet.write_table(arrow.table({"x": values}), path, row_group_size=4_000)
    np.save(tmp_path / "x.npy", values)
    for form in ("x.parquet", "x.npy"):
        server.put(f"corpus/data/{form}", tmp_path / form)
        said = index(f"s3://corpus/data/{form}", "--chunk-bytes", "32kB", "--dry-run")
        assert said[0].startswith(f"s3://corpus/data/{form}.manifest.json (not written)   100 chunks, 400,000 samples")
        assert server.bytes_sent[f"corpus/data/{form}"] < 0.2 * (tmp_path / form).stat().st_size  # 4 parts of 100
    assert not [request for request in server.requests if request.startswith("PUT")]


def test_lines_come_once_and_what_the_columns_were_judged_by_stays_in_the_cache(server, index, tmp_path):
    path, url = write_large(tmp_path / "data", "x.jsonl"), "s3://corpus/data/x.jsonl"
    server.put("corpus/data/x.jsonl", path.read_bytes())
    index(url, "--chunk-samples", 50)
    judged = path.stat().st_size  # four parts of four
    assert server.bytes_sent["corpus/data/x.jsonl"] == path.stat().st_size + judged
    with DataLoader(data_dir=url, batch_size=NUM_ROWS, num_epochs=1) as loader:
        assert [batch["n"].tolist() for batch in loader] == [list(range(NUM_ROWS))]
    assert server.bytes_sent["corpus/data/x.jsonl"] == path.stat().st_size + judged


@pytest.mark.slow
def test_a_directory_of_shards_is_indexed_in_a_store(server, index, tmp_path):
    for number in range(12):
        path = write_large(tmp_path / "data" / str(number), "x.tar")
        server.put(f"corpus/shards/{number:02d}.tar", path.read_bytes())
        path.rename(tmp_path / "data" / f"{number:02d}.tar")
        (tmp_path / "data" / str(number)).rmdir()
    said = index("data", "--chunk-bytes", "100kB")
    assert index("s3://corpus/shards/", "--chunk-bytes", "100kB")[0] == said[0].replace("data/", "s3://corpus/shards/")
    assert same(
        parse_manifest(server.objects["corpus/shards/manifest.json"].data, "it"), read_manifest("data/manifest.json")
    )
    (line,) = index("s3://corpus/shards", code=2)
    assert "is there already. To count again and replace it: --overwrite" in line
    index("s3://corpus/shards", "--overwrite", "--quiet")
    with DataLoader(data_dir="s3://corpus/shards", batch_size=100) as loader:
        assert len(loader) == 24


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["here/", "here/x.jsonl.manifest.json", "s3://corpus/indexes/", "s3://corpus/x.jsonl.manifest.json"]
)
def test_the_index_goes_elsewhere_and_leads_back(server, index, tmp_path, place):
    (tmp_path / "here").mkdir()
    path, url = write_large(tmp_path / "data", "x.jsonl"), "s3://corpus/data/x.jsonl"
    server.put("corpus/data/x.jsonl", path.read_bytes())
    said = index(url, "--chunk-samples", 30, "--output", place)
    named = place if place.endswith(".json") else f"{place}x.jsonl.manifest.json"
    assert said[0].startswith(f"{named}   7 chunks, 200 samples")
    assert f'DataLoader(data_dir="{named}", ...)' in said[-1]
    assert "PUT corpus/data/x.jsonl.manifest.json" not in server.requests
    options = {"batch_size": 64, "shuffle": True, "num_epochs": 1}
    with DataLoader(data_dir=named, **options) as loader:
        wanted = [batch["n"].tolist() for batch in loader]
        state = loader.state_dict()
    assert sorted(itertools.chain.from_iterable(wanted)) == list(range(200))
    before = sum(server.requests.values())
    with DataLoader(data_dir=named, offline=True, **options) as offline:
        assert [batch["n"].tolist() for batch in offline] == wanted
        assert offline.state_dict() == state
    assert sum(server.requests.values()) == before


def test_files_over_http_are_indexed_to_a_place_on_a_disk(server, index, tmp_path):
    path = write_large(tmp_path / "data", "x.parquet")
    server.put("data/x.parquet", path.read_bytes())
    url = f"{server.url}/data/x.parquet"
    (line,) = index(url, code=2)
    assert line.endswith(
        f"{url}.manifest.json is served by HTTP, which takes no files. Write it elsewhere: --output FILE"
    )
    index(url, "--output", "x.parquet.manifest.json", "--chunk-samples", 50)
    with DataLoader(data_dir="x.parquet.manifest.json", batch_size=NUM_ROWS, num_epochs=1) as loader:
        assert [batch["n"].tolist() for batch in loader] == [list(range(NUM_ROWS))]


def test_a_manifest_that_somebody_else_writes_meanwhile_stays(server, index, tmp_path, monkeypatch):
    path = write_large(tmp_path / "data", "x.txt")
    server.put("corpus/data/x.txt", path.read_bytes())
    server.add_fault("corpus/data/x.txt", method="GET", before=lambda: server.put("corpus/data/manifest.json", b"{}"))
    (line,) = index("s3://corpus/data", code=2)
    assert "was written by somebody else while this index was made, and stays." in line
    assert server.objects["corpus/data/manifest.json"].data == b"{}"


def test_a_place_where_a_split_is_at_work_is_not_indexed(server, index, tmp_path):
    server.put("corpus/web/.split/lease", b"{}")
    del server.objects["corpus/web/manifest.json"]
    (line,) = index("s3://corpus/web", code=2)
    assert "s3://corpus/web is where something is being written, or was begun and not ended." in line
    assert not [name for name in server.requests if name.startswith("PUT")]


def test_nothing_secret_of_an_address_is_written_down(server, index, tmp_path):
    path = write_large(tmp_path / "data", "x.txt")
    server.put("data/x.txt", path.read_bytes())
    url = f"{server.url.replace('://', '://me:SECRET@')}/data/x.txt?signature=SECRET"
    said = index(url, "--output", "x.txt.manifest.json", "--chunk-samples", 50)
    assert "SECRET" not in Path("x.txt.manifest.json").read_text() + "\n".join(said)


def test_the_command_in_a_manifest_makes_it_again(server, index, tmp_path):
    path = write_large(tmp_path / "data", "x.csv")
    server.put("corpus/data/x.csv", path.read_bytes())
    index("s3://corpus/data/x.csv", "--chunk-samples", 50)
    before = server.objects["corpus/data/x.csv.manifest.json"].data
    index(*shlex.split(parse_manifest(before, "it").command)[2:], "--overwrite")
    assert server.objects["corpus/data/x.csv.manifest.json"].data == before


@pytest.mark.slow
def test_what_a_reader_cannot_find_by_ranges_is_fetched_whole_once_and_stays(server, index, tmp_path):
    module = pytest.importorskip("array_record.python.array_record_module")
    writer = module.ArrayRecordWriter(str(tmp_path / "x.arrayrecord"), "group_size:10")
    for row in range(NUM_ROWS):
        writer.write(b"row %d" % row)
    writer.close()
    size, url = (tmp_path / "x.arrayrecord").stat().st_size, "s3://corpus/data/x.arrayrecord"
    server.put("corpus/data/x.arrayrecord", tmp_path / "x.arrayrecord")
    said = index("x.arrayrecord", "--chunk-samples", 40)
    assert [line.replace("s3://corpus/data/", "") for line in index(url, "--chunk-samples", 40)] == said
    with DataLoader(data_dir=url, batch_size=NUM_ROWS, num_epochs=1) as loader:
        assert [batch["record"] for batch in loader] == [[b"row %d" % row for row in range(NUM_ROWS)]]
    assert server.bytes_sent["corpus/data/x.arrayrecord"] == size
    cache_directory(tmp_path / "small").set_bound(size)
    (line,) = index(url, "--overwrite", "--cache-dir", tmp_path / "small", code=2)
    assert f"may hold --cache-bytes={size:,}, and this loader needs (fetches: 1 + readers: 1) x " in line
    index(url, "--overwrite", "--cache-dir", tmp_path / "small", *re.findall(r"--cache-bytes=\d+(?= or more)", line))


@pytest.mark.slow
@pytest.mark.parametrize("place", [None, "x.jsonl.manifest.json", "s3://corpus/ix/x.jsonl.manifest.json"])
def test_verify_compares_the_bytes_of_parts_and_names_those_that_differ(server, index, tmp_path, capsys, place):
    path, url = write_large(tmp_path / "data", "x.jsonl"), "s3://corpus/data/x.jsonl"
    server.put("corpus/data/x.jsonl", path.read_bytes())
    index(url, "--chunk-samples", 40, "--checksums", *(["--output", place] if place else []))
    assert main(["verify", place or url]) == 0
    assert capsys.readouterr().out.startswith("5 chunks, 200 samples: all checksums agree.")
    server.put("corpus/data/x.jsonl", path.read_bytes().replace(b"row 00100", b"row 00777"))
    assert main(["verify", place or url]) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "x.jsonl[80:120]   changed   the checksum differs",
        "4 of 5 chunks are good; 40 of 200 samples are in the bad one.",
    ]
    server.put("corpus/data/x.jsonl", path.read_bytes()[:-1])
    assert main(["verify", place or url, "--sizes-only"]) == 1
    assert capsys.readouterr().out.startswith("x.jsonl   truncated   ")


@pytest.mark.parametrize("command", ["index", "verify"])
def test_a_pattern_is_no_place_to_index_or_verify(server, capsys, command):
    assert main([command, "s3://corpus/web/*.zst"]) == 2
    assert "is a pattern, and this takes a directory or one file. Name the directory: s3://corpus/web" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["a.zarr/zarr.json", "a.lance/data/0.lance"])
def test_a_directory_that_is_a_chunk_of_another_form_is_an_error_that_says_what_to_type(server, index, name):
    server.put(f"corpus/arrays/{name}", b"{}")
    for place in ("s3://corpus/arrays", f"s3://corpus/arrays/{name.partition('/')[0]}"):
        (line,) = index(place, code=2)
        assert f"name that: aws s3 sync s3://corpus/arrays/{name.partition('/')[0]} DIR" in line
        with pytest.raises(DataDirError, match="of those only"):
            list_chunks(place)


@pytest.mark.slow
def test_another_scheme_does_the_same(server, index, tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_BASE_URL", server.url)
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    path = write_large(tmp_path / "data", "x.tar")
    server.put("corpus/data/x.tar", path.read_bytes())
    index("gs://corpus/data/x.tar", "--chunk-samples", 40, "--checksums", "--output", "x.tar.manifest.json")
    with DataLoader(data_dir="x.tar.manifest.json", batch_size=200, num_epochs=1, verify="first") as loader:
        assert [len(batch["__key__"]) for batch in loader] == [200]
    assert "gs://corpus/data" in Path("x.tar.manifest.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shards", "beside", "reader"),
    [
        ("mds", "index.json", MDSReader(columns=["id", "tokens"])),
        ("litdata", "index.json", LitDataReader(columns=["id", "tokens"])),
        ("a.bin", "a.idx", MegatronReader()),
    ],
)
def test_shards_that_have_an_index_of_their_own_are_read_in_a_store_as_on_a_disk(
    server, index, tmp_path, shards, beside, reader
):
    place = SHARDS / shards
    files = sorted(place.iterdir()) if place.is_dir() else [place, place.with_name(beside)]
    for path in files:
        server.put(f"corpus/{shards}/{path.name}" if place.is_dir() else f"corpus/{path.name}", path.read_bytes())
    url, options = f"s3://corpus/{shards}", {"batch_size": 5, "num_epochs": 1, "datacollator": PaddingDataCollator()}
    index(url, "--checksums")
    with (
        DataLoader(reader, data_dir=place, **options) as on_disk,
        DataLoader(reader, data_dir=url, **options) as loader,
    ):
        assert same_batches(list(loader), list(on_disk))
    said = index(url, "--chunk-samples", 3, "--checksums", "--overwrite")
    assert re.search("   [45] chunks, 12 samples, ", said[0])
    assert main(["verify", url]) == 0
    with DataLoader(reader, data_dir=url, **options, verify="first") as loader:
        assert sum(len(batch["tokens"]) for batch in loader) == 12


@pytest.mark.parametrize("shards", ["litdata", "a.bin"])
def test_shards_whose_index_nobody_has_read_are_an_error_with_the_command_that_reads_it(server, index, shards):
    path = SHARDS / "litdata" / "chunk-0-0.bin" if shards == "litdata" else SHARDS / shards
    server.put(f"corpus/others/{path.name}", path.read_bytes())
    for name in ("index.json", "a.idx"):
        server.put(f"corpus/others/{name}", next(SHARDS.rglob(name)).read_bytes())
    with pytest.raises(DataDirError, match="have the index read that lies beside them: pyloader index ADDRESS"):
        DataLoader(data_dir="s3://corpus/others", batch_size=4)
    index("s3://corpus/others")
    with DataLoader(data_dir="s3://corpus/others", batch_size=4) as loader:
        assert len(loader) >= 1


def test_packed_chunks_of_litdata_are_an_error_that_says_what_to_type(server, index):
    for path in (SHARDS / "litdata-zstd").iterdir():
        server.put(f"corpus/packed/{path.name}", path.read_bytes())
    (line,) = index("s3://corpus/packed", code=2)
    assert "is packed, and is read where its index.json lies beside it: not from a store. Copy both to a disk" in line
