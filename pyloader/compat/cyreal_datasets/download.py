"""Download: a file from the web, whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.error import URLError
from urllib.request import urlopen

import tqdm

from pyloader.errors import DatasetError
from pyloader.files.atomic import written_whole

__all__ = ["Place", "RemoteFile", "cache_place", "downloaded", "file_in", "member_of", "mismatch"]

Place: TypeAlias = "str | Path | None"  # a directory or file of the user's; None where there is none

_BLOCK_BYTES = 2**20
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web."""

    url: str  # where it is
    # its SHA-256 in hexadecimal; "" where none is known: then what is in the file is checked when it is read
    sha256: str = ""

    @property
    def name(self) -> str:
        """The last part of the url."""
        return self.url.rpartition("/")[2]


def cache_place(cache_dir: Place, name: str) -> Path:
    """Return the directory for downloads: `cache_dir`, or ~/.cache/pyloader/NAME (XDG_CACHE_HOME moves it)."""
    if cache_dir is not None:
        return Path(cache_dir)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyloader" / name


def file_in(data_dir: Path, names: Sequence[str]) -> Path:
    """Return the first of `names` that is in `data_dir`.

    Raises:
      DatasetError: none of them is there.
    """
    for name in names:
        if (data_dir / name).is_file():
            return data_dir / name
    raise DatasetError(str(data_dir), f"has no file {names[0]}.", f"Looked for {', '.join(names)}")


def downloaded(file: RemoteFile, directory: Path, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> Path:
    """Return the file in `directory`, downloading it if it is not there yet.

    A progress bar is shown on a terminal.  What was interrupted, or has another checksum, is not kept.

    Args:
      file: What to download.
      directory: Where to; made if it is not there.
      timeout_seconds: How long the other side may be silent.

    Raises:
      DatasetError: it could not be downloaded, or is not the file that it should be.
    """
    path = directory / file.name
    if path.is_file():
        return path
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with written_whole(path) as beside:
            digest = _download(file.url, beside, timeout_seconds)
            if file.sha256 and digest != file.sha256:
                raise mismatch(path, file.url, f"has the SHA-256 {digest}, not {file.sha256}")
    except (URLError, TimeoutError, ConnectionError) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise DatasetError(
            str(path),
            f"could not be downloaded from {file.url}: {reason}.",
            f"Without a connection, put {file.name} into a directory yourself, and give data_dir=that directory",
        ) from exc
    return path


def member_of(archive: Path, member: str, path: Path) -> Path:
    """Return one regular file of a .zip or .tar.gz, copied to `path`: nothing else of it is written anywhere.

    Raises:
      DatasetError: the archive has no such file, or is damaged.
    """
    if path.is_file():
        return path
    try:
        content = _content_of(archive, member)
    except KeyError as exc:
        raise DatasetError(str(archive), f"has no file {member}.") from exc
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError) as exc:
        raise DatasetError(str(archive), f"is damaged ({exc}).", "Fetch it again") from exc
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as beside:
        beside.write_bytes(content)
    return path


def _content_of(archive: Path, member: str) -> bytes:
    if archive.suffix == ".zip":  # which has a checksum of each file
        with zipfile.ZipFile(archive) as zipped:
            return zipped.read(member)
    with tarfile.open(archive, "r:gz") as packed:
        file = packed.extractfile(packed.getmember(member))
        if file is None:
            raise KeyError(f"{member} is no file")
        return file.read()


def mismatch(path: Path, url: str, what: str) -> DatasetError:
    """Return the error for a file that is not the one that was asked for."""
    return DatasetError(str(path), f"what came from {url} {what}.", "It was changed, or damaged on the way: try again")


def _download(url: str, path: Path, timeout_seconds: float) -> str:
    digest = hashlib.sha256()
    with urlopen(url, timeout=timeout_seconds) as answer, path.open("wb") as file:
        size = int(answer.headers.get("Content-Length") or 0)
        with tqdm.tqdm(desc=url.rpartition("/")[2], total=size or None, unit="B", unit_scale=True, disable=None) as bar:
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
        if size and file.tell() != size:
            raise ConnectionError(f"it ended after {file.tell():,} of {size:,} bytes")
    return digest.hexdigest()
