"""`pyloader fetch`: all chunks at an address come into the cache, and are read there without a network."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import pyloader
from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.errors import CacheError, ChunkReadError, DataDirError
from pyloader.files.cache import cache_directory, cache_entries, fetching
from pyloader.run import filling

URL = "s3://corpus/web"


def chunk_requests(server):
    return {name: number for name, number in server.requests.items() if "chunk-" in name}


def numbers(**options):
    with DataLoader(data_dir=URL, batch_size=100, **options) as loader:
        return np.concatenate([batch["n"] for batch in loader])


@pytest.mark.slow
def test_all_chunks_come_once_and_are_read_offline(server, capsys, tmp_path):
    assert main(["fetch", URL]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == URL
    assert "8 chunks, " in out and "8 fetched, 0 were there" in out and "0 retries" in out
    assert str(tmp_path / "cache") in out and not err
    assert set(chunk_requests(server).values()) == {1} and len(chunk_requests(server)) == 8
    asked = dict(server.requests)
    assert sorted(numbers(shuffle=True, offline=True)) == list(range(1000))
    assert server.requests == asked

    assert main(["fetch", f"{URL}/"]) == 0
    assert "0 fetched, 8 were there" in capsys.readouterr().out
    assert main(["fetch", URL, "-q"]) == 0 and not capsys.readouterr().out
    assert len(chunk_requests(server)) == 8 and set(chunk_requests(server).values()) == {1}


def test_what_the_screen_names_next_is_so(server, capsys):
    main(["fetch", URL])
    call = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("next")).split("   ")[-1]
    call = call.removesuffix(" reads them without a network").strip()
    with eval(call, {"DataLoader": DataLoader}) as loader:
        assert len(next(loader)["n"]) > 0


@pytest.mark.slow
def test_requests_that_fail_are_made_again_and_counted(server, capsys):
    server.add_fault("corpus/web/chunk-0000[0-2]*", method="GET", close_at=20)
    server.add_fault("corpus/web/chunk-00003*", method="GET", status=503)
    assert main(["fetch", URL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["num_chunks"], told["num_fetched"], told["num_retries"]) == (8, 8, 2)
    assert told["fetched_bytes"] == told["num_bytes"] > 0


def test_a_cache_that_cannot_hold_all_is_refused_before_anything_is_fetched(server, capsys):
    assert main(["fetch", URL, "--cache-bytes", "60000"]) == 2
    out, err = capsys.readouterr()
    assert not out and not chunk_requests(server)
    assert "may hold --cache-bytes=60,000, which is less than " in err and "8 chunks take " in err
    remedy = err.partition("Write ")[2].split()[0]
    assert main(["fetch", URL, remedy]) == 0
    assert sorted(numbers(offline=True)) == list(range(1000))


def test_a_disk_that_cannot_hold_all_is_refused_before_anything_is_fetched(server, monkeypatch):
    used = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: used._replace(free=10_000))
    with pytest.raises(CacheError, match=r"lies on a disk with room for .* 8 chunks take"):
        pyloader.fetch(URL, cache_bytes="1GB")
    assert not chunk_requests(server)


@pytest.mark.slow
def test_a_cache_that_holds_other_data_makes_room_and_keeps_all_of_this(server, web_chunks):
    server.put_directory(web_chunks, "corpus/code")
    needed = 13 * 16_000
    pyloader.fetch("s3://corpus/code", cache_bytes=needed)
    pyloader.fetch(URL)
    assert sorted(numbers(offline=True)) == list(range(1000))
    here = [entry.url for entry in cache_entries(cache_directory())]
    assert sum(url.startswith("s3://corpus/web/chunk") for url in here) == 8
    assert sum(url.startswith("s3://corpus/code/chunk") for url in here) < 8


@pytest.mark.slow
def test_a_fetch_that_was_stopped_goes_on(server, capsys, monkeypatch):
    interrupted, done = [], filling._Pass._done

    def done_and_interrupted(self, *args, **options):
        done(self, *args, **options)
        if not interrupted:  # when one chunk has come, in the thread that counts them
            interrupted.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr(filling._Pass, "_done", done_and_interrupted)
    assert main(["fetch", URL]) == 130
    _, err = capsys.readouterr()
    assert "of 8 chunks are here, and the same again goes on" in err
    before = len(cache_entries(cache_directory()))
    assert main(["fetch", URL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["num_fetched"] == 9 - before < 8
    assert sorted(numbers(offline=True)) == list(range(1000))


def test_a_chunk_that_may_not_be_read_is_named_and_others_stay(server, capsys):
    server.add_fault("corpus/web/chunk-00007*", method="GET", status=403, times=None)
    with pytest.raises(ChunkReadError, match=r"s3://corpus/web/chunk-00007\S+: .*403"):
        pyloader.fetch(URL)
    assert cache_entries(cache_directory())


def test_offline_goes_on_after_the_machine_was_started_again(server, monkeypatch):
    """Then each chunk is compared with its checksum when it is first used, and one that was damaged is named."""
    pyloader.fetch(URL)
    server.requests.clear()
    monkeypatch.setattr(fetching, "boot_of_machine", lambda: "the next boot")
    assert sorted(numbers(offline=True)) == list(range(1000))
    monkeypatch.setattr(fetching, "boot_of_machine", lambda: "another boot")
    (damaged,) = cache_directory().entries.glob("*/chunk-00003*")
    damaged.chmod(0o600)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    with pytest.raises(ChunkReadError, match=r"s3://corpus/web/chunk-00003\S+ is not in the cache"):
        numbers(offline=True)
    assert not server.requests


@pytest.mark.parametrize("place", ["chunks", "file:///nowhere"])
def test_a_path_is_no_address(web_chunks, place, capsys):
    given = str(web_chunks) if place == "chunks" else f"file://{web_chunks}"
    with pytest.raises(DataDirError, match="lies on a disk of this machine"):
        pyloader.fetch(given)
    assert main(["fetch", given]) == 2
    assert "s3://bucket/chunks" in capsys.readouterr().err
