"""Splits to a store: the bytes of a split to a disk, gone on with after any end, and nothing of others touched."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_server import SECRET_KEY, StoreServer
from store_writers import check_visible_sets, killed_at, objects_below, put_aside, split_options, without_places

from pyloader import DataLoader
from pyloader.errors import OutputDirError, PyLoaderError, SplitError, StoreError
from pyloader.write import discard_stopped, split
from pyloader.write.outputs import StorePlace

ADDRESS, PLACE = "s3://bucket/web/", "bucket/web"


@pytest.fixture
def server(tmp_path: Path, small_steps: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreServer]:
    small_steps()
    monkeypatch.chdir(tmp_path)
    Path("scratch").mkdir()
    Path("dump.jsonl").write_text("".join(json.dumps({"id": i, "text": "x" * (i % 50)}) + "\n" for i in range(600)))
    with StoreServer() as server:
        yield server


@pytest.fixture
def options(server: StoreServer) -> dict[str, Any]:
    return split_options(server, Path("scratch"), chunk_bytes=4000)


def on_disk(directory: str) -> dict[str, Any]:
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    return without_places({str(path.relative_to(directory)): path.read_bytes() for path in files})


def in_store(server: StoreServer, place: str = PLACE) -> dict[str, Any]:
    return without_places(objects_below(server, place))


SPLITS: dict[str, dict[str, Any]] = {
    "cut while they are read": {"chunk_bytes": 4000, "engine": "thread", "workers": 2},
    "shuffled": {"shuffle": True, "chunk_samples": 120},
    "shuffled and held out": {"shuffle": True, "holdout": {"val": 0.1}, "chunk_bytes": 4000, "engine": "thread"},
    "held out": {"holdout": {"val": 0.1}},
    "counted first": {"num_chunks": 7},
    "unique": {"unique": "text"},
    "parquet": {"output_format": "parquet"},
}


@pytest.mark.slow
@pytest.mark.parametrize("asked", SPLITS.values(), ids=SPLITS)
def test_what_is_written_is_what_a_split_to_a_disk_writes(server, asked):
    report = split("dump.jsonl", ADDRESS, **split_options(server, Path("scratch"), **asked))
    there = split("dump.jsonl", "there", **{"engine": "inline", **asked})
    assert in_store(server) == on_disk("there")
    assert [output.counts for output in report.outputs] == [output.counts for output in there.outputs]
    assert report.outputs[0].directory == f"s3://bucket/web{'/train' if 'holdout' in asked else ''}"
    assert not put_aside(Path("scratch"))


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"shuffle": True}, {"chunk_bytes": 2000}], ids=["shuffled", "cut"])
def test_arrays_are_written_as_to_a_disk(server, asked):
    np.save("x.npy", np.random.default_rng(0).normal(size=(300, 4)))
    np.save("label.npy", np.arange(300))
    columns = {"x": "x.npy", "label": "label.npy"}
    split(columns, ADDRESS, **split_options(server, Path("scratch"), **asked))
    split(columns, "there", engine="inline", **asked)
    assert in_store(server) == on_disk("there")


@pytest.mark.slow
def test_workers_in_other_processes_write_the_same(server, options):
    split("dump.jsonl", ADDRESS, **{**options, "engine": "process", "workers": 2})
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")


@pytest.mark.slow
def test_a_loader_reads_it(server, options, tmp_path):
    split("dump.jsonl", ADDRESS, **options)
    read = {"storage_options": server.s3_options, "cache_dir": tmp_path / "cache"}
    with DataLoader(data_dir=ADDRESS, batch_size=50, num_epochs=1, **read) as loader:
        assert sorted(i for batch in loader for i in batch["id"]) == list(range(600))


@pytest.mark.slow
def test_chunks_go_to_the_store_while_others_are_made_and_take_no_room_here(server, options):
    held = []

    def look() -> None:
        files = [path for path in Path("scratch").rglob("unit-*") if path.is_file()]
        held.append(sum(path.stat().st_blocks > 0 for path in files))

    server.add_fault("*/chunk-*", method="PUT", before=look, times=None)
    split("dump.jsonl", ADDRESS, **{**options, "chunk_bytes": 1000})
    assert len(held) > 20
    assert max(held) <= 4  # the chunks of a unit, and of the next one


def test_the_same_command_again_reads_no_chunk_and_writes_nothing(server, options):
    split("dump.jsonl", ADDRESS, **options)
    before, _ = objects_below(server, PLACE), server.requests.clear()
    assert split("dump.jsonl", ADDRESS, **options).num_written == 0
    assert objects_below(server, PLACE) == before
    assert not [name for name in server.requests if "chunk-" in name]


@pytest.mark.slow
def test_a_chunk_that_was_lost_is_written_again_and_no_other(server, options):
    split("dump.jsonl", ADDRESS, **options)
    before = objects_below(server, PLACE)
    del server.objects[f"{PLACE}/chunk-00002.jsonl.zst"]
    server.put(f"{PLACE}/chunk-00003.jsonl.zst", b"short")
    server.requests.clear()
    split("dump.jsonl", ADDRESS, **options)
    assert objects_below(server, PLACE) == before
    assert {name.rpartition("/")[2] for name in server.requests if name.startswith("PUT") and "chunk" in name} == {
        "chunk-00002.jsonl.zst",
        "chunk-00003.jsonl.zst",
    }


@pytest.mark.parametrize(
    ("name", "number", "num_left", "is_done"),
    [
        ("*/chunk-*", 3, 5, True),
        ("*/manifest.json", 0, 0, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("*/.split/lease", 0, 8, True),
                ("*/.split/lease", 1, 8, True),
                ("*/chunk-*", 0, 8, False),
                ("*/.split/complete", 0, 0, False),
                ("*/.split/complete", 0, 0, True),
                ("*/.inputs.jsonl", 0, 0, True),
                ("*/manifest.json", 0, 0, True),
            ]
        ),
    ],
)
def test_after_a_kill_the_same_command_ends_with_the_same_bytes(server, options, name, number, num_left, is_done):
    where = Path("scratch").absolute()
    asked = {**options, "scratch_dir": str(where)}
    assert killed_at(server, number, "dump.jsonl", ADDRESS, asked, name=name, method="PUT", is_done=is_done)
    assert check_visible_sets(server, PLACE) == (600 if is_done and "manifest" in name else 0)
    server.requests.clear()
    split("dump.jsonl", ADDRESS, **asked)
    written = [name for name in server.requests if name.startswith("PUT") and "chunk-" in name]
    assert len(written) == num_left
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")
    assert not put_aside(where)


@pytest.mark.parametrize("name", ["*/chunk-00003*", pytest.param("*/manifest.json", marks=pytest.mark.slow)])
def test_after_a_kill_another_machine_ends_it_and_what_is_here_counts_no_more(server, options, name):
    here = Path("scratch").absolute()
    asked = {**options, "scratch_dir": str(here)}
    assert killed_at(server, 0, "dump.jsonl", ADDRESS, asked, name=name, method="PUT")
    Path("elsewhere").mkdir()
    split("dump.jsonl", ADDRESS, **{**options, "scratch_dir": "elsewhere"})
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")
    before = objects_below(server, PLACE)
    assert split("dump.jsonl", ADDRESS, **{**options, "scratch_dir": str(here)}).num_written == 0
    assert objects_below(server, PLACE) == before
    assert not put_aside(here)


def stop(server: StoreServer, options: dict[str, Any], dump: str = "dump.jsonl", **more: Any) -> None:
    """Split until the store lets nothing more in."""
    fault = server.add_fault(f"{PLACE}/chunk-*", method="PUT", status=403, after=2, times=None)
    with pytest.raises(SplitError, match="was refused: the server answered 403"):
        split(dump, ADDRESS, **{**options, **more})
    server.faults.remove(fault)


@pytest.mark.slow
def test_what_was_stopped_is_gone_on_with_by_the_same_command_and_by_no_other(server, options):
    stop(server, options)
    Path("other.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(
        OutputDirError, match=r"stopped \(pyloader split dump.jsonl s3://bucket/web/.*--discard-stopped"
    ):
        split("other.jsonl", ADDRESS, **options)
    split("dump.jsonl", ADDRESS, **options)
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")


@pytest.mark.slow
def test_a_chunk_that_was_lost_since_the_stop_is_made_again(server, options):
    stop(server, options)
    del server.objects[f"{PLACE}/chunk-00001.jsonl.zst"]
    split("dump.jsonl", ADDRESS, **options)
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")


@pytest.mark.slow
def test_what_was_stopped_can_be_given_up_here_and_elsewhere(server, options):
    for scratch in ("scratch", "elsewhere"):
        Path(scratch).mkdir(exist_ok=True)
        stop(server, options)
        assert len(objects_below(server, PLACE)) == 3
        given_up = discard_stopped(ADDRESS, storage_options=server.s3_options, scratch_dir=scratch)
        assert given_up.startswith("pyloader split dump.jsonl s3://bucket/web/")
        assert not server.objects
    assert discard_stopped(ADDRESS, storage_options=server.s3_options, scratch_dir="scratch") == ""


@pytest.mark.slow
@pytest.mark.parametrize("word", ["discard_stopped", "overwrite", "take_over"])
def test_another_command_that_says_so_begins_with_an_empty_place(server, options, word):
    stop(server, options, chunk_bytes=3000)
    split("dump.jsonl", ADDRESS, **{**options, word: True})
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")


@pytest.mark.slow
def test_a_dump_that_has_changed_meanwhile_is_split_anew(server, options):
    stop(server, options)
    Path("dump.jsonl").write_text("".join(json.dumps({"id": -i}) + "\n" for i in range(300)))
    split("dump.jsonl", ADDRESS, **options)
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")


@pytest.mark.slow
def test_a_dump_that_has_changed_meanwhile_is_found_out_elsewhere_too(server, options):
    stop(server, options)
    Path("dump.jsonl").write_text("".join(json.dumps({"id": -i}) + "\n" for i in range(300)))
    Path("elsewhere").mkdir()
    with pytest.raises(SplitError, match=r"s3://bucket/web/chunk-00000\S+: is there already, and holds other bytes"):
        split("dump.jsonl", ADDRESS, **{**options, "scratch_dir": "elsewhere"})
    split("dump.jsonl", ADDRESS, **{**options, "scratch_dir": "elsewhere"})  # as the error says
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")


def test_a_split_that_fails_for_good_leaves_nothing(server, options):
    with pytest.raises(SplitError, match="holds no samples that --where keeps"):
        split("dump.jsonl", ADDRESS, **options, where=lambda row: False)
    assert not server.objects
    assert not put_aside(Path("scratch"))


@pytest.mark.slow
def test_after_a_bad_row_the_same_command_goes_on_when_it_allows_that(server, options):
    with open("dump.jsonl", "a") as file:
        file.write("no JSON\n")
    with pytest.raises(SplitError, match=r"dump\.jsonl:601"):
        split("dump.jsonl", ADDRESS, **options)
    server.requests.clear()
    split("dump.jsonl", ADDRESS, **options, max_skipped=1)
    assert len([name for name in server.requests if name.startswith("PUT") and "chunk-" in name]) == 1
    split("dump.jsonl", "there", chunk_bytes=4000, max_skipped=1)
    assert in_store(server) == on_disk("there")


@pytest.mark.slow
def test_overwriting_removes_the_manifest_first_and_what_is_there_stays_until_it_is_asked_for(server, options):
    split("dump.jsonl", ADDRESS, **{**options, "chunk_bytes": 2000})
    with pytest.raises(OutputDirError, match=r"s3://bucket/web/ holds \d\d chunks.*--overwrite, which deletes its 600"):
        split("dump.jsonl", ADDRESS, **options)
    listed = []
    look = {"before": lambda: listed.append(f"{PLACE}/manifest.json" in server.objects)}
    server.add_fault("*/chunk-*", method="DELETE", times=None, **look)
    split("dump.jsonl", ADDRESS, **options, overwrite=True)
    assert len(listed) > 8
    assert not any(listed)
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")


@pytest.mark.parametrize("name", ["chunk-00007.jsonl.zst", "train.jsonl"])
def test_objects_that_no_manifest_lists_are_not_touched(server, options, name):
    server.put(f"{PLACE}/{name}", b"of somebody else")
    with pytest.raises(OutputDirError, match=f"s3://bucket/web/ holds {name}, which no manifest lists"):
        split("dump.jsonl", ADDRESS, **options)
    assert discard_stopped(ADDRESS, storage_options=server.s3_options, scratch_dir="scratch") == ""
    assert [*server.objects] == [f"{PLACE}/{name}"]


def test_objects_that_are_in_nobodys_way_stay(server, options):
    others = {"README.md": b"read", "deep/er/chunk-00000.jsonl": b"{}", "notes/chunk-00000.jsonl": b"{}"}
    for name, data in others.items():
        server.put(f"{PLACE}/{name}", data)
    stop(server, options)
    split("dump.jsonl", ADDRESS, **options)
    assert others.items() <= objects_below(server, PLACE).items()


@pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
def test_a_store_that_keeps_to_no_conditions_is_refused_where_they_are_needed(server, options, ignored):
    server.headers_ignored = {ignored}
    if ignored == "If-Match":
        split("dump.jsonl", ADDRESS, **options)
        with pytest.raises(StoreError, match="does not replace objects only if they are unchanged"):
            split("dump.jsonl", ADDRESS, **options, append=True, again=True)
        assert check_visible_sets(server, PLACE) == 600
    else:
        with pytest.raises(StoreError, match="overwrites objects"):
            split("dump.jsonl", ADDRESS, **options)
        assert not server.objects


def test_a_manifest_that_somebody_else_has_changed_meanwhile_is_not_replaced(server, options):
    split("dump.jsonl", ADDRESS, **options)
    Path("more.jsonl").write_text('{"id": 1, "text": ""}\n')
    other = objects_below(server, PLACE)["manifest.json"] + b"\n"
    server.add_fault("*/chunk-v*", method="PUT", before=lambda: server.put(f"{PLACE}/manifest.json", other))
    with pytest.raises(OutputDirError, match=r"manifest\.json was changed meanwhile"):
        split("more.jsonl", ADDRESS, **options, append=True)
    assert objects_below(server, PLACE)["manifest.json"] == other


def test_a_chunk_that_goes_away_meanwhile_is_never_listed(server, options):
    def lose() -> None:
        del server.objects[f"{PLACE}/chunk-00000.jsonl.zst"]

    server.add_fault("*/chunk-00004*", method="PUT", before=lose)
    with pytest.raises(OutputDirError, match=r"chunk-00000\.jsonl\.zst is not there"):
        split("dump.jsonl", ADDRESS, **options)
    assert "manifest.json" not in objects_below(server, PLACE)


@pytest.mark.slow
def test_keys_are_in_no_message_and_in_no_object(server, options):
    stop(server, options)
    Path("other.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(PyLoaderError) as caught:
        split("other.jsonl", ADDRESS, **options)
    assert SECRET_KEY not in str(caught.value)
    split("dump.jsonl", ADDRESS, **options)
    written = [*objects_below(server, PLACE).values(), repr(StorePlace(None, server.s3_options)).encode()]  # type: ignore[arg-type]
    assert not [data for data in written if SECRET_KEY.encode() in data]


def test_a_place_travels_without_its_open_store(server):
    from pyloader.files.stores import parse_address

    place = StorePlace(parse_address("s3://bucket/web"), server.s3_options)
    place.store.create("a", b"1")
    assert pickle.loads(pickle.dumps(place)).store.read("a") == b"1"


@pytest.mark.parametrize("address", ["https://host/web", "hf://datasets/me/web"])
def test_what_is_only_read_is_refused_by_name(tmp_path, address):
    with pytest.raises(OutputDirError, match=r"is only read\. Write to a directory, or to s3://"):
        split("dump.jsonl", address, scratch_dir=tmp_path)
    assert not put_aside(tmp_path)


def test_a_directory_of_somebody_else_is_not_used(server, options):
    stop(server, options)
    (home,) = Path("scratch").iterdir()
    home.chmod(0o777)
    with pytest.raises(OutputDirError, match="not a directory that belongs to this user alone"):
        split("dump.jsonl", ADDRESS, **options)


@pytest.mark.slow
def test_what_is_complete_is_ended_whoever_comes_next_even_after_others_that_were_killed(server, options):
    """A writer is killed between two manifests; the next one right after it has taken its place."""
    asked = {**options, "holdout": {"val": 0.1}, "scratch_dir": str(Path("scratch").absolute())}
    assert killed_at(server, 0, "dump.jsonl", ADDRESS, asked, name="*/train/manifest.json", method="PUT", is_done=False)
    assert killed_at(server, 1, "dump.jsonl", ADDRESS, asked, name="*/.split/lease", method="PUT", is_done=True)
    assert check_visible_sets(server, PLACE) < 600
    assert discard_stopped(ADDRESS, storage_options=server.s3_options, scratch_dir="scratch")
    assert check_visible_sets(server, PLACE) == 600


@pytest.mark.slow
@pytest.mark.parametrize("name", ["*/chunk-00005*", "*/.split/complete", "*/manifest.json"])
def test_what_another_machine_went_on_with_is_gone_on_with_from_the_store(server, options, name):
    for scratch, where in (("scratch", "*/chunk-00003*"), ("elsewhere", name)):
        Path(scratch).mkdir(exist_ok=True)
        asked = {**options, "scratch_dir": str(Path(scratch).absolute())}
        assert killed_at(server, 0, "dump.jsonl", ADDRESS, asked, name=where, method="PUT")
    split("dump.jsonl", ADDRESS, **{**options, "scratch_dir": str(Path("scratch").absolute())})
    split("dump.jsonl", "there", chunk_bytes=4000)
    assert in_store(server) == on_disk("there")
    assert not put_aside(Path("scratch"))
