"""Sets in a store grow, are compacted, and are written sample by sample, as on a disk."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_servers import azurite, moto, seaweedfs
from store_server import StoreServer
from store_writers import check_visible_sets, objects_below, put_aside, split_options, without_places

from pyloader import ChunkWriter, compact
from pyloader.errors import OutputDirError, SplitError
from pyloader.files.stores import open_store
from pyloader.write import split

ADDRESS, PLACE = "s3://bucket/web", "bucket/web"


@pytest.fixture
def server(tmp_path: Path, small_steps: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreServer]:
    small_steps()
    monkeypatch.chdir(tmp_path)
    Path("scratch").mkdir()
    for day in range(5):
        rows = range(100 * day, 100 * day + 50 + 10 * day)
        Path(f"day{day}.jsonl").write_text("".join(json.dumps({"id": i, "text": "x" * (i % 50)}) + "\n" for i in rows))
    with StoreServer() as server:
        yield server


@pytest.fixture
def at_store(server: StoreServer) -> dict[str, Any]:
    return split_options(server, Path("scratch"))


def on_disk(directory: str) -> dict[str, Any]:
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    return without_places({str(path.relative_to(directory)): path.read_bytes() for path in files})


def in_store(server: StoreServer, place: str = PLACE) -> dict[str, Any]:
    return without_places(objects_below(server, place))


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"holdout": {"val": 0.2}}, {"unique": "id"}], ids=["held out", "unique"])
def test_a_set_grows_as_on_a_disk(server, at_store, asked):
    for day in range(3):
        split(f"day{day}.jsonl", ADDRESS, **at_store, **asked, append=day > 0)
        split(f"day{day}.jsonl", "there", engine="inline", **asked, append=day > 0)
        assert check_visible_sets(server, PLACE) == sum(
            chunk["num_samples"]
            for name, held in on_disk("there").items()
            if "manifest" in name
            for chunk in held["chunks"]
        )
    assert in_store(server) == on_disk("there")
    assert not put_aside(Path("scratch"))


@pytest.mark.slow
def test_a_nightly_glob_takes_what_is_new_from_any_directory(server, at_store, monkeypatch, tmp_path):
    split([f"day{day}.jsonl" for day in range(2)], ADDRESS, **at_store)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    asked = {**at_store, "scratch_dir": "../scratch", "append": True}
    report = split([f"../day{day}.jsonl" for day in range(4)], ADDRESS, **asked)
    assert report.num_known == 2
    server.requests.clear()
    report = split([f"../day{day}.jsonl" for day in range(4)], ADDRESS, **asked)
    assert (report.num_known, report.num_written) == (4, 0)
    assert not [name for name in server.requests if "chunk-" in name or "PUT bucket/web/m" in name]


@pytest.mark.slow
def test_an_append_that_was_stopped_is_gone_on_with_and_what_is_there_stays_readable(server, at_store):
    split("day0.jsonl", ADDRESS, **at_store)
    fault = server.add_fault("*/chunk-v*", method="PUT", status=403, after=1, times=None)
    with pytest.raises(SplitError, match="was refused: the server answered 403"):
        split("day1.jsonl", ADDRESS, **at_store, append=True)
    assert check_visible_sets(server, PLACE) == 50
    server.faults.remove(fault)
    with pytest.raises(OutputDirError, match=r"stopped \(pyloader split day1\.jsonl s3://bucket/web/ --append\)"):
        split("day2.jsonl", ADDRESS, **at_store, append=True)
    split("day1.jsonl", ADDRESS, **at_store, append=True)
    for day in range(2):
        split(f"day{day}.jsonl", "there", engine="inline", append=day > 0)
    assert in_store(server) == on_disk("there")


@pytest.mark.parametrize(
    "asked",
    [
        {"holdout": {"val": 0.3}},
        *(pytest.param(one, marks=pytest.mark.slow) for one in ({}, {"output_format": "parquet"})),
    ],
    ids=str,
)
def test_small_chunks_are_joined_as_on_a_disk(server, at_store, asked):
    for day in range(5):
        split(f"day{day}.jsonl", ADDRESS, **at_store, **asked, append=day > 0)
        split(f"day{day}.jsonl", "there", engine="inline", **asked, append=day > 0)
    where = {"storage_options": server.s3_options, "scratch_dir": "scratch", "workers": 1}
    for drops in (False, True):
        reports = compact(ADDRESS, **where, drop_versions=drops)
        there = compact("there", workers=1, drop_versions=drops)
        assert in_store(server) == on_disk("there")
        assert [{**report.as_dict(), "directory": ""} for report in reports] == [
            {**report.as_dict(), "directory": ""} for report in there
        ]
    assert not [name for name, data in objects_below(server, PLACE).items() if b"pyloader-writing" in data]
    assert reports[0].directory == f"{ADDRESS}/train" if "holdout" in asked else ADDRESS
    assert not put_aside(Path("scratch"))


@pytest.mark.slow
def test_arrays_are_joined_as_on_a_disk(server, at_store):
    for part in range(4):
        np.save(f"x{part}.npy", np.random.default_rng(part).normal(size=(30, 4)))
        split({"x": f"x{part}.npy"}, ADDRESS, **at_store, append=part > 0)
        split({"x": f"x{part}.npy"}, "there", engine="inline", append=part > 0)
    compact(ADDRESS, storage_options=server.s3_options, scratch_dir="scratch")
    compact("there")
    assert in_store(server) == on_disk("there")


def writer(server: StoreServer, **options: Any) -> ChunkWriter:
    return ChunkWriter(ADDRESS, storage_options=server.s3_options, scratch_dir="scratch", chunk_samples=40, **options)


def test_samples_are_written_one_by_one_and_added_to(server):
    for part in range(2):
        with writer(server, append=part > 0) as one, ChunkWriter("there", chunk_samples=40, append=part > 0) as other:
            for number in range(100):
                one.write({"id": number, "part": part})
                other.write({"id": number, "part": part})
            if part:
                assert check_visible_sets(server, PLACE) == 100  # that is loaded meanwhile
    assert in_store(server) == on_disk("there")
    assert not put_aside(Path("scratch"))


def test_after_an_error_nothing_is_left_and_it_names_the_address(server):
    with pytest.raises(SplitError, match=f"^{ADDRESS}: sample 100 has \\['other'\\]"), writer(server) as one:
        for number in range(100):
            one.write({"id": number})
        one.write({"other": 1})
    with pytest.raises(OutputDirError, match=f"{ADDRESS}/ was given no samples"), writer(server):
        pass
    assert not server.objects
    assert not put_aside(Path("scratch"))


def test_of_two_writers_the_second_is_told_of_the_first(server, tmp_path):
    (tmp_path / "other").mkdir()
    with writer(server) as one:
        one.write({"id": 1})
        with pytest.raises(OutputDirError, match=f"{ADDRESS}/ is being written by this very process"):
            writer(server)
        with pytest.raises(OutputDirError, match=f"{ADDRESS}/ is being written by process"):
            ChunkWriter(ADDRESS, storage_options=server.s3_options, scratch_dir="other")
    assert check_visible_sets(server, PLACE) == 1


@pytest.mark.slow
def test_a_writer_that_is_dropped_keeps_nobody_off(server):
    one = writer(server)
    one.write({"id": 1})
    del one
    gc.collect()
    assert not server.objects
    with writer(server) as other:
        other.write({"id": 2})
    assert check_visible_sets(server, PLACE) == 1


@pytest.mark.slow
def test_chunks_of_a_killed_writer_are_removed_by_the_next(server):
    one = writer(server)
    for number in range(600):
        one.write({"id": number})
    lease = server.objects[f"{PLACE}/.split/lease"]
    left = {**server.objects}
    with pytest.raises(ZeroDivisionError), one:
        raise ZeroDivisionError
    server.objects.update(left)  # as if it had been killed before
    assert len([name for name in left if "chunk-" in name]) > 5
    lease.modified -= 61
    with writer(server) as other:
        other.write({"id": 1})
    assert len([name for name in server.objects if "chunk-" in name]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("server_of", [moto, seaweedfs, azurite], ids=lambda server: server.__name__)
def test_real_servers_hold_what_a_disk_holds(server_of, server, tmp_path):
    (tmp_path / "server").mkdir()
    with server_of(tmp_path / "server") as opened:
        where = {"storage_options": opened.options, "scratch_dir": "scratch"}

        def held() -> dict[str, Any]:
            store = open_store(f"{opened.url}/a set/web", storage_options=opened.options)
            return without_places({stored.name: store.read(stored.name) for stored in store.list()})

        for day in range(3):
            asked = {"holdout": {"val": 0.2}, "shuffle": True, "append": day > 0}
            split(f"day{day}.jsonl", f"{opened.url}/a set/web", **where, **asked)
            split(f"day{day}.jsonl", "there", **asked)
            assert held() == on_disk("there")
        compact(f"{opened.url}/a set/web", **where, drop_versions=True)
        compact("there", drop_versions=True)
        assert held() == on_disk("there")
        with pytest.raises(OutputDirError, match="--overwrite, which deletes its"):
            split("day0.jsonl", f"{opened.url}/a set/web", **where)


@pytest.mark.slow
def test_google_cloud_storage_is_written_to_by_its_generations(server):
    where = {"storage_options": server.gs_options, "scratch_dir": "scratch"}
    for day in range(2):
        split(f"day{day}.jsonl", "gs://bucket/web", **where, append=day > 0)
        split(f"day{day}.jsonl", "there", append=day > 0)
    assert in_store(server) == on_disk("there")


def test_an_address_of_a_file_is_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("day.jsonl").write_text('{"id": 1}\n')
    assert split("day.jsonl", f"file://{tmp_path}/web/").outputs[0].directory == f"{tmp_path}/web"
    with ChunkWriter(f"file://{tmp_path}/web", append=True) as writer:
        writer.write({"id": 2})
    compact(f"file://{tmp_path}/web")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["day.jsonl", "web"]


@pytest.mark.slow
def test_strange_names_in_a_store_are_passed_over_or_refused_by_name(server, at_store, tmp_path):
    for name in ("n" * 900, "a/b/c/" + "d" * 300, "..%2F..%2Fout", ".hidden", "__pycache__/a"):
        server.put(f"{PLACE}/{name}", b"strange")
    split("day0.jsonl", ADDRESS, **at_store)
    server.put(f"{PLACE}/both", b"1")
    server.put(f"{PLACE}/both/below", b"2")
    with pytest.raises(OutputDirError, match=f"{ADDRESS}/both(/below)? is an object, and others lie below it"):
        split("day1.jsonl", ADDRESS, **at_store, append=True)
    assert check_visible_sets(server, PLACE) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "day0.jsonl",
        "day1.jsonl",
        "day2.jsonl",
        "day3.jsonl",
        "day4.jsonl",
        "scratch",
    ]


def test_a_record_of_what_is_complete_that_names_other_objects_is_refused(server, at_store):
    split("day0.jsonl", ADDRESS, **at_store)
    lease = json.dumps(
        {
            "work": "w",
            "holder": "h",
            "host": "",
            "boot": "",
            "process": 1,
            "started": "",
            "command": "",
            "is_stopped": True,
        }
    )
    server.put(f"{PLACE}/.split/lease", lease.encode())
    changes = [{"name": "../other/manifest.json", "data": "{}", "version": ""}]
    server.put(f"{PLACE}/.split/complete", json.dumps({"holder": "h", "changes": changes}).encode())
    with pytest.raises(OutputDirError, match=r"complete names '\.\./other/manifest\.json', which no writer changes"):
        split("day1.jsonl", ADDRESS, **at_store, append=True)
    assert not [name for name in server.objects if not name.startswith(PLACE)]
