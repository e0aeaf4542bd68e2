"""Commands at addresses of real servers, of parts of large files: what they say is what they say of a disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from large_files import FORMS, write_large
from many_stores import REAL, places, stores_of
from products import drawn
from ranks import rank_loaders
from real_servers import Opened, put_below, variables_of
from small_stores import same_batches

from pyloader import DataLoader, NumpyReader
from pyloader.cli.main import main
from pyloader.files import MANIFEST_NAME, Manifest, read_manifest
from pyloader.files.manifest import parse_manifest
from pyloader.files.stores import Store

pytestmark = pytest.mark.frameworks

PLACES = places()
SIZES = ["--chunk-samples", "30", "--checksums"]
TOKENS = ["--reader", "tokens", "--option", "window=16", "--option", "dtype=uint16"]
SHUFFLED = {"batch_size": 7, "shuffle": True, "shuffle_window": 3, "num_epochs": 2}


@pytest.fixture(scope="module", params=REAL)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Give what opens stores of a real server, which is started once for all tests."""
    with stores_of(request.param, tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


@pytest.fixture
def put(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Store]:
    """Put a directory to a place of its own in the store, to which the environment leads."""

    def put(directory: Path) -> Store:
        store = put_below(opened(next(PLACES).replace(" ", "-")), directory)
        monkeypatch.setenv("PYLOADER_CACHE", str(tmp_path / "cache"))
        for name, value in variables_of(store._options).items():  # type: ignore[attr-defined]
            monkeypatch.setenv(name, value)
        return store

    return put


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command, and return what it says."""

    def typed(*words: object, code: int = 0) -> str:
        assert main(list(map(str, words))) == code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return err if code == 2 else out

    return typed


def same(one: Manifest, other: Manifest) -> bool:
    """Tell whether two manifests say the same, but for the commands that made them."""
    return msgspec.structs.replace(one, made_by={}) == msgspec.structs.replace(other, made_by={})


@pytest.mark.parametrize("form", drawn(FORMS, 4))
def test_each_form_is_indexed_and_read_by_parts_as_on_a_disk(
    put: Callable[[Path], Store], typed: Callable[..., str], tmp_path: Path, form: str
) -> None:
    path = write_large(tmp_path / "data", form)
    store = put(path.parent)
    url, words = f"{store.url}/{form}", [*SIZES, *(TOKENS if form.endswith(".bin") else [])]
    said = typed("index", path, *words)
    assert typed("index", url, *words).replace(url, str(path)) == said
    index = f"{form}.{MANIFEST_NAME}"
    assert same(parse_manifest(store.read(index), index), read_manifest(path.with_name(index)))
    assert " chunks, 200 samples: all checksums agree." in typed("verify", url)
    with DataLoader(data_dir=path, **SHUFFLED) as on_disk:
        wanted = list(on_disk)
    with DataLoader(data_dir=url, verify="first", **SHUFFLED) as loader:
        batches = [next(loader) for _ in range(11)]
        state = json.loads(json.dumps(loader.state_dict()))
    with DataLoader(data_dir=url, **SHUFFLED) as loader:
        loader.load_state_dict(state)
        assert same_batches(batches + list(loader), wanted)
    with DataLoader(data_dir=url, offline=True, **SHUFFLED) as offline:
        assert same_batches(list(offline), wanted)


def test_every_command_takes_the_address_of_a_large_file(
    put: Callable[[Path], Store], typed: Callable[..., str], tmp_path: Path
) -> None:
    path = write_large(tmp_path / "data", "x.jsonl")
    store = put(path.parent)
    url = f"{store.url}/x.jsonl"
    typed("index", path, *SIZES)
    typed("index", url, *SIZES)
    with DataLoader(data_dir=path, audit_dir=tmp_path / "receipts", **SHUFFLED) as loader:
        next(loader)
        (tmp_path / "state.json").write_text(json.dumps(loader.state_dict()))
        list(loader)
    for words in (["locate", tmp_path / "state.json"], ["audit", tmp_path / "receipts"]):
        assert typed(*words, url, "--json") == typed(*words, path, "--json")
    assert f"{url}\nholds " in typed("peek", url) and " in the store, about " in typed("peek", url)
    told = json.loads(typed("plan", url, "--batch-size", 7, "--seconds", 0.05, "--json"))
    assert [plan["steps_per_epoch"] for plan in told["predictions"]] == [29]
    assert "chunks were in the cache" in typed("bench", url, "--seconds", 0.05, "-q", "--alone")
    assert "7 chunks, " in typed("fetch", url)
    assert store.url in typed("cache", "ls")
    store.replace(
        "x.jsonl", path.read_bytes().replace(b"row 00100", b"row 00777"), version=store.head("x.jsonl").version
    )
    assert typed("verify", url, code=1).startswith("x.jsonl[90:120]   changed   the checksum differs\n6 of 7 chunks")


def test_ranks_read_a_directory_of_large_files_that_others_wrote(
    put: Callable[[Path], Store], typed: Callable[..., str], tmp_path: Path
) -> None:
    for number in range(3):
        write_large(tmp_path / "data", "x.npy").rename(tmp_path / "data" / f"{number}.npy")
    store = put(tmp_path / "data")
    typed("index", tmp_path / "data", *SIZES)
    typed("index", store.url, *SIZES)
    assert same(parse_manifest(store.read(MANIFEST_NAME), ""), read_manifest(tmp_path / "data" / MANIFEST_NAME))
    assert "is there already" in typed("index", store.url, *SIZES, code=2)
    typed("index", store.url, *SIZES, "--overwrite")

    def ranks(place: object) -> list[DataLoader]:
        return rank_loaders(place, 2, reader=NumpyReader(), last_batch="drop", **SHUFFLED)  # type: ignore[arg-type]

    loaders, on_disk = ranks(store.url), ranks(tmp_path / "data")
    assert all(same_batches(list(met[:2]), list(met[2:])) for met in zip(*loaders, *on_disk, strict=True))
    assert sum(loader.stats().cache_misses for loader in loaders) == 21 - 12  # four of each file showed its columns
    for loader in (*loaders, *on_disk):
        loader.close()
    assert "21 chunks, 600 samples: all checksums agree." in typed("verify", store.url)
