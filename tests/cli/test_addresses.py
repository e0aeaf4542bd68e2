"""Commands that only read take addresses of object stores; others say what to do today."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyloader import DataLoader, split
from pyloader.cli.main import main

URL = "s3://corpus/web"


def typed(capsys, *words, code=0):
    assert main(list(map(str, words))) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return (err if code == 2 else out).splitlines()


@pytest.mark.slow
def test_peek_shows_what_a_store_holds_and_how_much_of_it_is_here(server, capsys, tmp_path):
    lines = typed(capsys, "peek", f"{URL}/")
    assert lines[0].startswith(f"{URL}   1,000 samples, 8 chunks of 125   jsonl.zst, ")
    assert " in the store, about " in lines[0]
    assert lines[1].startswith(f"cache             {tmp_path}/cache   1") and "of it is here: 1 chunk, " in lines[1]
    assert any(line.startswith("to read") and f'DataLoader(data_dir="{URL}"' in line for line in lines)
    fetched = [name for name in server.requests if "chunk-" in name]
    assert fetched == [name for name in fetched if "chunk-00000" in name]

    assert typed(capsys, "fetch", URL, "-q") == []
    assert typed(capsys, "peek", URL)[1].endswith("cache   all of it is here")
    told = json.loads("".join(typed(capsys, "peek", URL, "--json", "--all")))
    assert (told["path"], told["num_samples"], told["cached_bytes"]) == (URL, 1000, told["disk_bytes"])


@pytest.mark.slow
def test_peek_of_chunks_without_a_manifest_says_where_one_is_made(server, capsys):
    del server.objects["corpus/web/manifest.json"]
    lines = typed(capsys, "peek", URL, "--samples", 0)
    (how,) = [line for line in lines if line.startswith("not indexed")]
    assert f"pyloader index {URL} counts the samples" in how
    typed(capsys, "index", URL)
    assert "manifest.json" in "".join(server.objects)
    assert not [line for line in typed(capsys, "peek", URL, "--samples", 0) if line.startswith("not indexed")]
    assert not [line for line in lines if "split" in line]


@pytest.mark.slow
def test_peek_looks_at_one_object_and_says_how_it_is_split(server, capsys, tmp_path, monkeypatch):
    server.put("corpus/dump.jsonl", b'{"n": 1}\n' * 50)
    lines = typed(capsys, "peek", "s3://corpus/dump.jsonl")
    assert lines[0].startswith("s3://corpus/dump.jsonl   50 samples") or "50 samples" in lines[1]
    assert lines[-1] == "or split   pyloader split s3://corpus/dump.jsonl chunks/"
    assert any('DataLoader(data_dir="s3://corpus/dump.jsonl"' in line for line in lines)
    monkeypatch.chdir(tmp_path)
    typed(capsys, *lines[-1].split()[3:])
    with DataLoader(data_dir="s3://corpus/dump.jsonl", batch_size=50) as loader:
        assert next(loader)["n"].tolist() == [1] * 50
    monkeypatch.setattr("pyloader.inspecting.peeking._LARGEST_BYTES", 400)
    server.put("corpus/dump.jsonl", b'{"n": 2}\n' * 50)  # another version, which is not here
    (line,) = typed(capsys, "peek", "s3://corpus/dump.jsonl", code=2)
    assert (
        "too much to be fetched for a look. Find its parts, or split it: pyloader index s3://corpus/dump.jsonl" in line
    )


def test_a_damaged_chunk_of_a_store_is_named_by_its_address(server, capsys):
    name = "corpus/web/chunk-00000.jsonl.zst"
    data = bytearray(server.objects[name].data.read_bytes())
    server.put(name, bytes(data[:-20] + bytes(20)))
    (line,) = typed(capsys, "peek", URL, code=2)
    assert f"{URL}/chunk-00000.jsonl.zst: " in line and "entries" not in line


@pytest.mark.slow
def test_bench_measures_a_store_and_compares_only_what_came_from_the_cache(server, capsys):
    lines = typed(capsys, "bench", URL, "--seconds", "0.02", "-q", "--alone")
    assert lines[0].startswith(f"chunks        {URL}   1,000 samples, 8 chunks, ") and "in the store" in lines[0]
    (store,) = [line for line in lines if line.startswith("store ")]
    assert " kB fetched   " in store and "chunks were in the cache" in store
    assert [line for line in lines if line.startswith("next") and f"pyloader fetch {URL}   and measure again" in line]
    typed(capsys, "fetch", URL)
    lines = typed(capsys, "bench", URL, "--seconds", "0.02", "-q", "--alone")
    assert "0 B fetched" in "".join(lines) and "pyloader fetch" not in "".join(lines)


def test_locate_and_audit_read_only_the_list_of_a_store(server, capsys, tmp_path, web_chunks):
    options = {"batch_size": 100, "shuffle": True, "audit_dir": tmp_path / "receipts", "num_epochs": 1}
    with DataLoader(data_dir=web_chunks, **options) as loader:
        next(loader)
        (tmp_path / "state.json").write_text(json.dumps(loader.state_dict()))
        list(loader)
    for words in (["locate", tmp_path / "state.json"], ["audit", tmp_path / "receipts"]):
        assert typed(capsys, *words, URL, "--json") == typed(capsys, *words, web_chunks, "--json")
    assert not [name for name in server.requests if "chunk-" in name]


@pytest.mark.parametrize(
    ("words", "today"),
    [
        (["peek", URL, "--versions"], "Copy the set to a disk"),
    ],
)
def test_what_takes_no_address_says_what_to_do_today(server, capsys, tmp_path, monkeypatch, words, today):
    monkeypatch.chdir(tmp_path)
    (line,) = typed(capsys, *words, code=2)
    assert URL in line and today in line
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]


def test_verify_compares_the_bytes_in_the_store_and_keeps_none(server, capsys, tmp_path):
    assert typed(capsys, "verify", URL) == [
        "8 chunks, 1,000 samples: all checksums agree.",
        f"next       pyloader peek {URL}",
    ]
    assert not [path for path in tmp_path.rglob("*") if "chunk-" in path.name]
    assert sum(count for name, count in server.requests.items() if "chunk-" in name) == 8

    name = "corpus/web/chunk-0000{}.jsonl.zst".format
    data = server.objects[name(1)].data.read_bytes()
    server.put(name(1), data[:-1] + b"x")
    server.put(name(2), data[:-9])
    del server.objects[name(5)]
    server.put("corpus/web/others.jsonl", b"{}")
    lines = typed(capsys, "verify", URL, code=1)
    assert [line.split()[:2] for line in lines[:4]] == [
        ["chunk-00001.jsonl.zst", "changed"],
        ["chunk-00002.jsonl.zst", "truncated"],
        ["chunk-00005.jsonl.zst", "missing"],
        ["others.jsonl", "ignored"],
    ]
    assert lines[4] == "5 of 8 chunks are good; 375 of 1,000 samples are in the 3 bad ones."
    assert lines[5].endswith("put these 3 there again, from where the set was made, or from a copy")
    assert "made by: pyloader split" in lines[6]
    server.requests.clear()
    assert typed(capsys, "verify", URL, "--sizes-only", code=1)[:3] == lines[1:4]
    assert not [asked for asked in server.requests if "chunk-" in asked]


@pytest.mark.slow
def test_verify_looks_at_each_set_below_an_address_and_at_columns_and_over_http(server, capsys, tmp_path):
    split({"x": write_array(tmp_path / "x.npy")}, tmp_path / "sets", holdout={"val": 0.5})
    server.put_directory(tmp_path / "sets", "corpus/sets")
    lines = typed(capsys, "verify", "s3://corpus/sets")
    assert [line for line in lines if "all checksums agree" in line and "chunks" in line]
    assert [line for line in lines if line.startswith("s3://")] == ["s3://corpus/sets/train", "s3://corpus/sets/val"]
    assert typed(capsys, "verify", f"{server.url}/corpus/web")[0] == "8 chunks, 1,000 samples: all checksums agree."
    del server.objects["corpus/web/chunk-00003.jsonl.zst"]
    first, *_ = typed(capsys, "verify", f"{server.url}/corpus/web", code=1)
    assert first.split() == ["chunk-00003.jsonl.zst", "missing"]


def write_array(path):
    np.save(path, np.arange(4000.0).reshape(-1, 2))
    return path


def test_verify_needs_checksums_and_says_how_they_are_made(server, capsys):
    manifest = json.loads(server.objects["corpus/web/manifest.json"].data.read_bytes())
    for chunk in manifest["chunks"]:
        del chunk["checksum"]
    server.put("corpus/web/manifest.json", json.dumps(manifest).encode())
    (line,) = typed(capsys, "verify", URL, code=2)
    assert "--sizes-only compares sizes" in line and "pyloader index ADDRESS --checksums" in line
    assert typed(capsys, "verify", URL, "--sizes-only")[0] == "8 chunks, 1,000 samples: all sizes agree."


@pytest.mark.slow
def test_the_directory_of_the_cache_can_be_typed(server, capsys, tmp_path):
    there = tmp_path / "another"
    assert f"pyloader peek {URL} --cache-dir {there}" in typed(capsys, "fetch", URL, "--cache-dir", there)[-1]
    lines = typed(capsys, "peek", URL, "--cache-dir", there, "-q")
    assert lines[1] == f"cache             {there}   all of it is here"
    assert f'cache_dir="{there}"' in "".join(lines)
    lines = typed(capsys, "bench", URL, "--cache-dir", there, "--alone", "--seconds", "0.02", "-q")
    assert "8 of 8 chunks were in the cache" in "".join(lines) or "0 B fetched" in "".join(lines)
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_no_screen_shows_what_is_secret_in_an_address(server, capsys):
    place = f"{server.url.replace('http://', 'http://me:planted@')}/corpus/web?signature=planted"
    for words in (["peek"], ["bench", "--alone", "--seconds", "0.02"], ["fetch"], ["verify"], ["index"], ["compact"]):
        main([*words, place])
        assert "planted" not in "".join(capsys.readouterr())
    main(["cache", "ls"])
    assert "planted" not in "".join(capsys.readouterr())


@pytest.mark.slow
def test_split_and_compact_write_to_a_store_and_say_what_to_type_next(server, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    for day in range(3):
        Path(f"day{day}.jsonl").write_text(f'{{"n": {day}}}\n{{"n": 9}}\n')
        words = ["--append"] if day else ["--chunk-samples", "100"]
        lines = typed(capsys, "split", f"day{day}.jsonl", "s3://corpus/days/", *words, "--scratch-dir", "here", "-q")
        assert not any(lines)
    lines = typed(capsys, "compact", "s3://corpus/days/", "--scratch-dir", "here")
    assert "joined 3 small chunks into 1; version 4 has 1 chunk" in lines[0]
    assert lines[-1].split(maxsplit=1) == ["next", "pyloader peek s3://corpus/days"]
    assert "6 samples" in "".join(typed(capsys, "peek", "s3://corpus/days"))
    (line,) = typed(capsys, "split", "s3://corpus/days/", "--discard-stopped", "--scratch-dir", "here")
    assert line.split(maxsplit=1) == ["s3://corpus/days/", "nothing to give up: no split was stopped here"]
    assert not [*Path("here").iterdir()]
