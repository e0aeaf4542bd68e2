"""docs/stores.md is run: its Python blocks and its screens, over a stub of S3, Google Cloud Storage and HTTP."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_server import ACCESS_KEY, SECRET_KEY, StoreServer

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.files.stores import open_store

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "stores.md").read_text(encoding="utf-8")
BLOCKS = [
    (TEXT[: found.start()].count("\n") + 2, found[1]) for found in re.finditer(r"```python\n(.*?)```", TEXT, re.S)
]
SCREENS = re.findall(r"```console\n\$ (pyloader .*)\n((?:.*\n)+?)```", TEXT)
HUB = "https://huggingface.co"
HUB_PATH = "datasets/me/corpus/resolve/main/web"


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[StoreServer]:
    """A store with the set of the page; the environment leads to it, and has a home for the cache."""
    monkeypatch.chdir(tmp_path)
    Path("dump.jsonl").write_text("".join(json.dumps({"n": n, "text": f"line {n}"}) + "\n" for n in range(1000)))
    assert main(shlex.split("split dump.jsonl web/ --chunk-samples 125 -q")) == 0
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_", "PYLOADER_"))]:
        monkeypatch.delenv(name)
    with StoreServer() as server:
        server.put_directory(Path("web"), "corpus/web")
        server.put("corpus/dump.jsonl", Path("dump.jsonl"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("COLUMNS", "300")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        monkeypatch.setenv("GOOGLE_BASE_URL", server.url)
        yield server


@pytest.mark.slow
def test_every_python_block_runs(server: StoreServer) -> None:
    """The hub answers as it does for large files: with the address of another server."""
    server.put_directory(Path("web"), "cdn")
    for path in Path("web").iterdir():
        where = {"Location": f"{server.url}/cdn/{path.name}"}
        server.add_fault(f"{HUB_PATH}/{path.name}", status=302, headers=where, times=None)
    assert main(shlex.split("fetch s3://corpus/web -q")) == 0
    assert main(shlex.split("index s3://corpus/dump.jsonl --chunk-bytes 10kB -q")) == 0
    names: dict[str, Any] = {}
    for line, block in BLOCKS:
        here = block.replace("http://minio.lan:9000", server.url).replace(HUB, server.url)
        exec(compile("\n" * (line - 1) + here, "docs/stores.md", "exec"), names)
    assert names["rows"][17]["text"] == f"line {names['rows'][17]['n']}"
    assert any(name.startswith("GET cdn/chunk-") for name in server.requests)
    sent = [headers.get("authorization") for line, headers in server.heard if HUB_PATH in line]
    assert set(sent) == {"Bearer hf_..."}


@pytest.mark.slow
def test_the_screens_are_as_shown(server: StoreServer, capsys: pytest.CaptureFixture[str]) -> None:
    shown_for = [
        "pyloader peek s3://corpus/web -q",
        "pyloader verify s3://corpus/web",
        "pyloader index s3://corpus/dump.jsonl --chunk-bytes 10kB",
        "pyloader split dump.jsonl s3://corpus/new/ --chunk-samples 125",
        "pyloader fetch s3://corpus/web",
    ]
    assert [command for command, _ in SCREENS] == shown_for
    for command, shown in SCREENS:
        assert main(shlex.split(command)[1:]) == 0
        said = capsys.readouterr().out.replace(os.path.realpath(os.environ["HOME"]), "/home/me")
        assert _without_numbers(said) == _without_numbers(shown)


def _without_numbers(text: str) -> list[str]:
    return re.sub(r"\d[\d.,]*( (B|kB|MB|GB)\b)?", "0", text).split()


@pytest.mark.slow
def test_requests_are_as_the_table_says(server: StoreServer) -> None:
    def asked(url: str, **options: Any) -> tuple[int, int, int, int]:
        server.requests.clear()
        with DataLoader(data_dir=url, batch_size=50, shuffle=True, **options) as loader:
            assert sum(len(batch["n"]) for batch in loader) == 1000
        kinds = [
            [name for name in server.requests if name.startswith(kind) and ("chunk-" in name) == of_chunk]
            for kind, of_chunk in (("LIST", False), ("GET", False), ("HEAD", True), ("GET", True))
        ]
        lists, manifests, heads, chunks = (sum(server.requests[name] for name in names) for names in kinds)
        assert lists + manifests + heads + chunks == sum(server.requests.values())
        return lists, manifests, heads, chunks

    assert asked("s3://corpus/web") == (1, 1, 0, 8)
    assert asked("s3://corpus/web") == (1, 1, 0, 0)
    assert asked("s3://corpus/web", offline=True) == (0, 0, 0, 0)
    assert asked(f"{server.url}/corpus/web") == (0, 1, 8, 8)
    server.page_size = 5
    assert asked("s3://corpus/web") == (2, 1, 0, 0)


@pytest.mark.slow
def test_a_copied_cache_serves_another_machine(server: StoreServer, tmp_path: Path) -> None:
    assert main(["fetch", "s3://corpus/web", "-q"]) == 0
    shutil.copytree(tmp_path / "home/.cache/pyloader/chunks", tmp_path / "other", copy_function=shutil.copy2)
    server.requests.clear()
    with DataLoader(data_dir="s3://corpus/web", offline=True, cache_dir=tmp_path / "other") as loader:
        assert sum(len(batch["n"]) for batch in loader) == 1000
    assert not server.requests


def test_the_variables_of_azure_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    names = re.search(r"^\| `az://.*\| ([^|]+) \|$", TEXT, re.M)
    assert names is not None
    for name in re.findall(r"`(\w+)`", names[1]):
        monkeypatch.setenv(name, "bWluZQ==" if name.endswith("KEY") else "mine")
    assert open_store("az://corpus/web").url == "az://corpus/web"
