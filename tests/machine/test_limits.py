"""Limits: the memory that there is, and shares of it."""

from __future__ import annotations

import os

import pytest

import pyloader.machine.limits
from pyloader.machine.limits import available_bytes, num_processors
from pyloader.options import parse_memory

MACHINE_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """Stand in for the system's control groups; returns what writes a file of theirs."""
    monkeypatch.setattr(pyloader.machine.limits, "_CGROUPS", tmp_path / "sys")
    monkeypatch.setattr(pyloader.machine.limits, "_OWN_CGROUPS", tmp_path / "own")

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def test_without_control_groups_the_machine_is_the_limit(cgroups):
    assert available_bytes() == MACHINE_BYTES
    cgroups("own", "0::/job\n")
    cgroups("sys/job/memory.max", "max\n")
    assert available_bytes() == MACHINE_BYTES


def test_the_smallest_limit_of_nested_control_groups_counts(cgroups):
    cgroups("own", "0::/jobs/mine\n")
    cgroups("sys/jobs/mine/memory.max", "300000000\n")
    cgroups("sys/jobs/memory.max", "200000000\n")
    assert available_bytes() == 200_000_000
    assert parse_memory("max_bytes", "25%") == 50_000_000


def test_control_groups_of_the_first_version_count_too(cgroups):
    cgroups("own", "5:cpu:/\n4:memory:/docker/abc\n")
    cgroups("sys/memory/memory.limit_in_bytes", "400000000\n")
    assert parse_memory("max_bytes", " 12.5 % ") == 50_000_000


@pytest.mark.parametrize(
    ("value", "num_bytes"),
    [(None, None), (4096, 4096), ("2GB", 2 * 10**9), ("1.5GiB", 3 * 2**29), ("100%", MACHINE_BYTES)],
)
def test_an_amount_of_memory_is_a_number_a_size_or_a_share(cgroups, value, num_bytes):
    assert parse_memory("max_bytes", value) == num_bytes


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            2.5,
            TypeError,
            "max_bytes must be a number of bytes, a size such as '2GB', or a share .*, got 2.5",
        ),
        (True, TypeError, "got True"),
        (0, ValueError, "max_bytes must be at least 1 byte, got 0"),
        (-5, ValueError, "at least 1 byte"),
        ("0%", ValueError, "above 0% and up to 100%, got '0%'"),
        ("101%", ValueError, "up to 100%"),
        ("2 gigs", ValueError, "'2 gigs' is not a size"),
    ],
)
def test_what_is_no_amount_of_memory_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        parse_memory("max_bytes", value)


@pytest.mark.parametrize(
    ("limit", "number"), [("max 100000", 8), ("100000 100000", 1), ("150000 100000", 2), ("9900000 100000", 8)]
)
def test_a_control_group_may_allow_fewer_processors(cgroups, monkeypatch, limit, number):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    cgroups("own", "0::/jobs/mine\n")
    cgroups("sys/jobs/cpu.max", limit)
    assert num_processors() == number


def test_so_may_one_of_the_first_version(cgroups, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    cgroups("own", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n")
    for name, text in {"quota": "300000", "period": "100000"}.items():
        cgroups(f"sys/cpu,cpuacct/docker/abc/cpu.cfs_{name}_us", f"{text}\n")
    assert num_processors() == 3
