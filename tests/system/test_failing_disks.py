"""Law 7: a disk that fails once, or several times, is tried again by every reader, and all rows come."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from chunk_forms import write_form

from pyloader import DataLoader
from pyloader.errors import ChunkReadError
from pyloader.files import compressors
from pyloader.files.compressors import COMPRESSORS
from pyloader.run import transient

NUM_ROWS = 2000
TEXTS = {".jsonl": b'{"a":%d}\n', ".txt": b"%d\n", ".csv": b"%d\n"}
NAMES = [
    *(f"c{suffix}{packing}" for suffix in (*TEXTS, ".npy") for packing in ("", *COMPRESSORS)),
    "c.npz", "c.columns", "c.bin", "c.parquet", "c.arrow", "c.arrayrecord",
]  # fmt: skip

# The first $FAULTY_TIMES reads of each file whose path holds $FAULTY_NAME fail with EIO.
FAULTY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct { ino_t file; int num_failed; } seen[256];

static int fails(int fd) {
    const char *name = getenv("FAULTY_NAME"), *times = getenv("FAULTY_TIMES");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = name && times ? readlink(link, path, sizeof path - 1) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    struct stat about;
    if (!strstr(path, name) || fstat(fd, &about)) return 0;
    for (int i = 0; i < 256; i++) {
        if (seen[i].file && seen[i].file != about.st_ino) continue;
        seen[i].file = about.st_ino;
        if (seen[i].num_failed++ >= atoi(times)) return 0;
        errno = EIO;
        return 1;
    }
    return 0;
}
ssize_t read(int fd, void *to, size_t n) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "read");
    return fails(fd) ? -1 : real(fd, to, n);
}
ssize_t pread(int fd, void *to, size_t n, off_t at) {
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread");
    return fails(fd) ? -1 : real(fd, to, n, at);
}
ssize_t pread64(int fd, void *to, size_t n, off64_t at) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread64");
    return fails(fd) ? -1 : real(fd, to, n, at);
}
"""

SCRIPT = """
    import logging, sys
    from pyloader import DataLoader
    from pyloader.read import TokenReader
    from pyloader.run import transient
    transient._FIRST_WAIT_SECONDS = 0.0
    logging.disable()
    for path in sys.argv[1:]:
        reader = TokenReader(window=1, dtype="uint16") if path.endswith(".bin") else None
        with DataLoader(reader, data_dir=path, batch_size=500, read_retries=5, num_workers=0) as loader:
            rows = [int(next(iter(row if hasattr(row, "__iter__") and not isinstance(row, str | bytes) else [row])))
                    for batch in loader for row in next(iter(batch.values()))]
            print(path.rpartition("/")[2], rows == list(range(2000)), loader.stats().num_retries)
"""


def write(path: Path) -> Path:
    """Write a chunk of 2,000 numbered rows."""
    suffix, numbers = path.suffixes[0], np.arange(NUM_ROWS)
    return write_form(
        path,
        lines=[b"a\n" * (suffix == ".csv"), *(TEXTS[suffix] % n for n in range(NUM_ROWS))] if suffix in TEXTS else (),
        array=numbers,
        arrays={"a": numbers},
        records=(b"%d" % number for number in range(NUM_ROWS)),
        group=100,
        table={"a": numbers},
    )


@pytest.fixture(scope="module")
def faulty_library(tmp_path_factory) -> str:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or another system than Linux")
    directory = tmp_path_factory.mktemp("faulty")
    (directory / "faulty.c").write_text(FAULTY)
    command = [compiler, "-shared", "-fPIC", "-o", str(directory / "faulty.so"), str(directory / "faulty.c"), "-ldl"]
    subprocess.run(command, check=True)
    return str(directory / "faulty.so")


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 4])
def test_faults_below_the_interpreter_pass_with_every_reader(tmp_path, faulty_library, times):
    paths = [str(write(tmp_path / name)) for name in NAMES]
    faults = {"LD_PRELOAD": faulty_library, "FAULTY_NAME": str(tmp_path), "FAULTY_TIMES": str(times)}
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), *paths],
        env={**os.environ, **faults}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name, line in zip(NAMES, out.stdout.splitlines(), strict=True):
        found, rows_are_right, num_retries = line.split()
        assert (found, rows_are_right) == (name, "True")
        # array_record tells no fault of the disk: one that has passed when Python looks is not counted.
        assert int(num_retries) == times or (name == "c.arrayrecord" and int(num_retries) <= times), name


@pytest.fixture
def failing(monkeypatch):
    """Have the next `failing[0]` reads fail, in Python."""
    left = [0]

    def read_or_fail(file: io.FileIO, buffer) -> int:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return io.FileIO.readinto(file, buffer)

    class Failing(compressors._NamedFile):
        def readinto(self, buffer, /):
            try:
                return read_or_fail(self, buffer)
            except OSError as exc:
                raise compressors.unreadable(self.name, exc) from exc

    monkeypatch.setattr(compressors, "_NamedFile", Failing)
    monkeypatch.setattr(transient, "_FIRST_WAIT_SECONDS", 0.0)
    return left


OPENED_BY_PYTHON = [name for name in NAMES if name.split(".")[1] in ("jsonl", "txt", "csv", "npy", "npz", "columns")]


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("name", OPENED_BY_PYTHON)
def test_faults_of_reads_pass_with_every_reader(tmp_path, failing, name, times):
    path = write(tmp_path / name)
    with DataLoader(data_dir=[str(path)], batch_size=500, read_retries=5, num_workers=0) as loader:
        failing[0] = times
        assert sum(len(next(iter(batch.values()))) for batch in loader) == NUM_ROWS
        assert loader.stats().num_retries == times


@pytest.mark.parametrize("name", ["c.jsonl", "c.txt.zst", "c.csv.gz"])
def test_a_disk_that_goes_on_failing_is_the_error_with_its_cause(tmp_path, failing, name):
    path = write(tmp_path / name)
    with DataLoader(data_dir=[str(path)], batch_size=500, read_retries=3, num_workers=0) as loader:
        failing[0] = 100
        with pytest.raises(
            ChunkReadError, match=r"cannot be read \(Input/output error\)\. See whether its disk"
        ) as caught:
            next(loader)
        assert loader.stats().num_retries == 3
    assert isinstance(caught.value.__cause__, OSError)
    failing[0] = 0


def test_what_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = write(tmp_path / "c.jsonl")

    def forbidden(self, buffer, /):
        raise compressors.unreadable(self.name, OSError(errno.EACCES, "Permission denied"))

    monkeypatch.setattr(compressors._NamedFile, "readinto", forbidden)
    match = r"\(Permission denied\)\. Give this user the right to read it: chmod"
    with DataLoader(data_dir=[str(path)], num_workers=0) as loader, pytest.raises(ChunkReadError, match=match):
        next(loader)
