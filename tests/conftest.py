"""What holds for every test: nothing is left behind, and generated cases come without a deadline."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings
from products import drawn
from tqdm import tqdm

from pyloader.testing.open_resources import belongings, left_since

tqdm.monitor_interval = 0  # otherwise the first bar starts a thread that stays
# One in so many of the laws' tests over them.
SOURCES: dict[object, int] = {"parts": 10, "ragged": 12, "mixed": 12, "stored": 4, "stored parts": 12}

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_finish() -> None:
    """Leave what pytest has made out of all later collections: tests collect a thousand times."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a share of what takes long, drawn anew in each run, unless all is asked for.

    That is a quarter of each slow test's cases, and of the laws' tests over some sources.
    """
    shared: dict[tuple[object, ...], list[pytest.Item]] = {}
    for item in items:
        if not isinstance(item, pytest.Function) or (callspec := getattr(item, "callspec", None)) is None:
            continue
        source = callspec.params.get("source")
        if source in SOURCES:
            shared.setdefault((source,), []).append(item)
        elif item.get_closest_marker("slow") is not None:
            shared.setdefault((item.path, item.parent, item.originalname), []).append(item)
    left_out: set[int] = set()
    for (source, *_), cases in shared.items():
        one_in = SOURCES.get(source, 4)
        kept = drawn(cases, -(-len(cases) // one_in)) if source not in SOURCES or len(cases) > 4 else cases
        left_out |= {id(item) for item in cases} - {id(item) for item in kept}
    config.hook.pytest_deselected(items=[item for item in items if id(item) in left_out])
    items[:] = [item for item in items if id(item) not in left_out]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their number: pytest-xdist's processes must name tests alike, and gzip writes down the time."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Return a report that pytest-xdist can send: names of files that are not UTF-8 are printed, but not sent."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves threads, child processes or open files."""
    before = belongings()
    yield
    left = {what for what in left_since(before, seconds=2) if not what.startswith("thread store-server")}
    assert not left, f"left behind: {sorted(left)}"
