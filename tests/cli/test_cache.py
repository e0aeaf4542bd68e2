"""`pyloader cache`: what is in the cache, whether it is undamaged, and how to make room."""

from __future__ import annotations

import json
import os

import pytest
from cache_users import Store, chunk, read

from pyloader.cli.main import main
from pyloader.files.cache import cache_directory, register


@pytest.fixture(autouse=True)
def a_wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with chunks of two places, of which the first was used yesterday."""
    monkeypatch.setenv("PYLOADER_CACHE", str(tmp_path / "cache"))
    directory = cache_directory()
    user = register(directory, fetches=1, readers=1, largest=100_000, bound=2_000_000)
    for place in ("s3://corpus/web", "https://me:SECRET@host/code"):
        for index in range(4):
            read(user, chunk(index, place=place))
    user.close()
    for index in range(4):
        entry = directory.entries / chunk(index, place="s3://corpus/web").name
        then = entry.stat().st_mtime - 90_000
        os.utime(entry, (then, then))
    return directory


def cache_command(capsys, *words):
    code = main(["cache", *map(str, words)])
    out, err = capsys.readouterr()
    assert not err
    assert "SECRET" not in out
    return code, out.splitlines()


def test_ls_shows_a_line_for_each_place_and_the_limit(capsys, cache):
    code, (web, code_line, where, limit) = cache_command(capsys, "ls")
    assert code == 0
    assert (web, code_line) == (
        "https://host/code   4 chunks   188 kB   used just now",
        "s3://corpus/web     4 chunks   188 kB   used 1 day ago",
    )
    assert where == f"cache   {cache.root}"
    assert limit.startswith("limit   2.0 MB; 385 kB are used, ")
    assert limit.endswith(" are free on its disk")
    assert cache_command(capsys, "ls", cache.root)[1][:2] == [web, code_line]


def test_verify_finds_damage_and_says_what_comes_of_it(capsys, cache):
    assert cache_command(capsys, "verify") == (0, ["8 chunks: all checksums agree."])
    assert cache_command(capsys, "verify", "-q") == (0, [])
    path = next((cache.entries / chunk(3, place="s3://corpus/web").name).glob("*.bin"))
    path.chmod(0o600)
    path.write_bytes(bytes(100_000))
    assert cache_command(capsys, "verify") == (
        1,
        [
            "s3://corpus/web/chunk-00003.bin   damaged, and removed",
            "1 of 8 chunks: a loader fetches them again when it wants them.",
        ],
    )
    assert cache_command(capsys, "verify") == (0, ["7 chunks: all checksums agree."])


def test_prune_makes_room_down_to_a_size(capsys, cache):
    assert cache_command(capsys, "prune") == (0, ["removed 0 chunks, 0 leftovers: 0 B; 385 kB are left."])
    code, lines = cache_command(capsys, "prune", "--keep", "200kB")
    assert (code, lines) == (0, ["removed 4 chunks, 0 leftovers: 188 kB; 197 kB are left."])
    assert cache_command(capsys, "ls")[1][0].startswith("https://host/code   4 chunks")
    assert cache_command(capsys, "prune", "--keep", "0", "-q") == (0, [])
    assert cache_command(capsys, "ls")[1][0].startswith("cache ")


def test_what_loaders_use_stays_and_the_way_out_is_shown(capsys, cache):
    user = register(cache, fetches=1, readers=1, largest=100_000)
    with Store().get(user, chunk(0, place="s3://corpus/web")):
        code, lines = cache_command(capsys, "prune", "--keep", "0")
    user.close()
    assert (code, lines[1:]) == (0, ["next   the rest is used by loaders: close them, and prune again"])


def test_each_answers_as_json(capsys, cache):
    code, lines = cache_command(capsys, "ls", "--json")
    shown = json.loads("\n".join(lines))
    assert (code, shown["bound"], len(shown["entries"])) == (0, 2_000_000, 8)
    code, lines = cache_command(capsys, "verify", "--json")
    assert json.loads("\n".join(lines)) == {"num_entries": 8, "damaged": []}
    code, lines = cache_command(capsys, "prune", "--json", "--keep", "0")
    shown = json.loads("\n".join(lines))
    assert (shown["num_entries"], shown["num_leftovers"], shown["left_bytes"]) == (8, 0, 8192)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the following arguments are required: ls|verify|prune"),
        (["ls", "nowhere"], "nowhere is not there. The first loader that reads from a store makes it"),
        (["prune", "--keep", "much"], "'much' is not a size; write 64MiB"),
    ],
)
def test_wrong_use_is_one_line(capsys, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(["cache", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
