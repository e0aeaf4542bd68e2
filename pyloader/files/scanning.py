"""What a directory holds, found in one walk: chunks, and what lies beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from pyloader.errors import DataDirError
from pyloader.files.chunk_directories import chunk_bytes, is_chunk_directory
from pyloader.files.coming import INPUTS_NAME, VERSIONS_NAME
from pyloader.files.locking import LOCK_NAME
from pyloader.files.manifest import MANIFEST_NAME, is_manifest_name

__all__ = ["PACKED_PREFIX", "Scan", "is_chunk_name", "scan_directory"]

PACKED_PREFIX = ".packed-"  # of the files in which loaders keep how many packed rows the chunks give

_PAPERS = {"readme", "license", "licence", "copying", "notice", "authors", "citation", "changelog", "notes"}
_PAPER_SUFFIXES = {"", "md", "txt", "rst", "html", "pdf", "cff"}
_LEFT_BY_TOOLS = {
    "checksums.txt",
    "dataset_dict.json",
    "dataset_info.json",
    "dataset_infos.json",
    "desktop.ini",
    "features.json",  # of TFDS
    "index.json",  # of MosaicML and litdata
    "lost+found",
    "thumbs.db",
}
_LEFT_BY_TOOLS |= {f"{algorithm}sums{suffix}" for algorithm in ("md5", "sha1", "sha256") for suffix in ("", ".txt")}
_BESIDE = ("~", ".bak", ".orig", ".tmp", ".swp", ".lock", ".log", ".crc", ".md5", ".sha1", ".sha256", ".sha512", ".idx")
_UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".incomplete", ".filepart", ".aria2")


@dataclass(frozen=True, slots=True)
class Scan:
    """What one walk through a directory found; all names are relative to it, with forward slashes, sorted."""

    # name -> bytes on disk, of everything that is a chunk by its name
    chunks: dict[str, int] = field(default_factory=dict)
    # files and directories (with a "/" behind) that are no chunks by their names
    ignored: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)  # downloads under way, or broken off
    unreadable: dict[str, str] = field(default_factory=dict)  # name -> what keeps it from being read
    # the directories that hold a manifest.json; "" is the directory itself
    manifests: list[str] = field(default_factory=list)


def is_chunk_name(name: str) -> bool:
    """Tell whether a file of this name can be a chunk, by its name alone.

    Hidden files, names that begin with "_", READMEs, licences, checksum files and editors' backups cannot.
    """
    if name.startswith((".", "_")) or is_manifest_name(name):
        return False
    lower = name.lower()
    stem, _, suffix = lower.partition(".")
    return (
        not lower.endswith(_BESIDE)
        and lower not in _LEFT_BY_TOOLS
        and (stem not in _PAPERS or suffix not in _PAPER_SUFFIXES)
    )


def scan_directory(root: str | os.PathLike[str]) -> Scan:
    """Walk through `root` and its subdirectories once.

    Links are followed, except to a directory that they are in.  What `is_chunk_directory` is one chunk.

    Raises:
      DataDirError: `root` cannot be read.
    """
    scan = Scan()
    try:
        _walk(os.fspath(root), "", scan)
    except OSError as exc:
        raise DataDirError(os.fspath(root), f"cannot be read ({exc.strerror}).") from exc
    chunks = sorted(scan.chunks.items())
    scan.chunks.clear()
    scan.chunks.update(chunks)
    for names in (scan.ignored, scan.unfinished, scan.manifests):
        names.sort()
    return scan


def _walk(directory: str, prefix: str, scan: Scan) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            name = prefix + entry.name
            try:
                if entry.is_dir() and not is_chunk_directory(entry.name):
                    if not is_chunk_name(entry.name) or _is_link_upwards(entry):
                        scan.ignored.append(f"{name}/")
                    else:
                        _walk(entry.path, f"{name}/", scan)
                elif entry.name in (LOCK_NAME, VERSIONS_NAME, INPUTS_NAME):
                    continue  # a writer's
                elif entry.name.startswith(PACKED_PREFIX):
                    continue  # a loader's
                elif entry.name == MANIFEST_NAME:
                    scan.manifests.append(prefix.rstrip("/"))
                elif entry.name.lower().endswith(_UNFINISHED):
                    scan.unfinished.append(name)
                elif not is_chunk_name(entry.name):
                    scan.ignored.append(name)
                elif entry.is_file():
                    scan.chunks[name] = entry.stat().st_size
                elif entry.is_dir():
                    scan.chunks[name] = chunk_bytes(entry.path)
                elif entry.is_symlink():
                    scan.unreadable[name] = f"is a link to {os.readlink(entry.path)}, which does not exist"
                else:  # a pipe, a socket, a device
                    scan.ignored.append(name)
            except OSError as exc:
                scan.unreadable[name] = f"cannot be read ({exc.strerror})"


def _is_link_upwards(entry: os.DirEntry[str]) -> bool:
    if not entry.is_symlink():
        return False
    here, there = os.path.realpath(os.path.dirname(entry.path)), os.path.realpath(entry.path)
    return os.path.commonpath([here, there]) == there
