"""Downloads: whole and verified, or not there at all; a clear word when there is no connection."""

import hashlib
import socket

import numpy as np
import pytest
from small_datasets import mnist_directory, series_csv

pytest.importorskip("jax")

from pyloader.compat.cyreal_datasets import download
from pyloader.compat.cyreal_datasets.download import RemoteFile, cache_place, downloaded
from pyloader.errors import DatasetError
from pyloader.jax import MNISTDataset, SunspotsDataset

pytestmark = pytest.mark.frameworks


@pytest.fixture
def site(tmp_path):
    """A file that can be fetched, without a network."""
    path = tmp_path / "site" / "data.bin"
    path.parent.mkdir()
    path.write_bytes(b"0123456789" * 1000)
    return RemoteFile(path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_download_is_there_whole_and_not_fetched_again(site, tmp_path):
    path = downloaded(site, tmp_path / "cache")
    assert path.read_bytes() == b"0123456789" * 1000
    (tmp_path / "site" / "data.bin").unlink()
    assert downloaded(site, tmp_path / "cache") == path


def test_another_checksum_is_refused_and_nothing_is_kept(site, tmp_path):
    with pytest.raises(DatasetError, match=r"has the SHA-256 [0-9a-f]{64}, not 00\. It was changed, or damaged"):
        downloaded(RemoteFile(site.url, "00"), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interrupted_download_is_not_kept(site, tmp_path, monkeypatch):
    class Interrupted:
        def __init__(self):
            self.headers = {"Content-Length": "10000"}
            self._left = [b"0" * 100]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, _):
            return self._left.pop() if self._left else b""

    monkeypatch.setattr(download, "urlopen", lambda url, timeout: Interrupted())
    with pytest.raises(DatasetError, match=r"could not be downloaded .*ended after 100 of 10,000 bytes"):
        downloaded(site, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_connection_it_says_what_to_do(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/train.gz"
        with pytest.raises(DatasetError, match=r"could not be downloaded from http.*put train.gz into a directory"):
            downloaded(RemoteFile(url), tmp_path)


def test_a_silent_site_is_not_waited_for_longer_than_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/train.gz"
        with pytest.raises(DatasetError, match="timed out"):
            downloaded(RemoteFile(url), tmp_path, timeout_seconds=0.05)
    assert list(tmp_path.iterdir()) == []


def test_mnist_is_downloaded_once_and_verified(tmp_path, monkeypatch):
    mnist_directory(tmp_path / "site")
    files = {
        path.name: RemoteFile(path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in (tmp_path / "site").iterdir()
    }
    monkeypatch.setattr(MNISTDataset, "_remote", files)
    assert len(MNISTDataset("test", cache_dir=tmp_path / "cache")) == 20
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]


def test_a_series_of_another_length_is_not_kept(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    series_csv(tmp_path / "site" / "monthly-sunspots.csv", np.arange(2819))
    monkeypatch.setattr(SunspotsDataset, "_remote", RemoteFile((tmp_path / "site" / "monthly-sunspots.csv").as_uri()))
    with pytest.raises(DatasetError, match="has 2,819 values, not 2,820"):
        SunspotsDataset(cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    series_csv(tmp_path / "site" / "monthly-sunspots.csv", np.arange(2820))
    assert len(SunspotsDataset(cache_dir=tmp_path / "cache")) == 2256 - 24


def test_downloads_are_kept_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_place(None, "mnist") == tmp_path / "pyloader" / "mnist"
    assert cache_place(tmp_path / "mine", "mnist") == tmp_path / "mine"
