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
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_finish() -> None:
    """Leave what pytest has made out of all later collections: tests collect a thousand times."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a share of the laws' tests over some sources, drawn anew in each run, unless all are asked for."""

    def source_of(item: pytest.Item) -> object:
        callspec = getattr(item, "callspec", None)
        return None if callspec is None else callspec.params.get("source")

    left_out: set[int] = set()
    for source, one_in in (("parts", 10), ("ragged", 12), ("mixed", 12), ("stored", 4)):
        over_it = [item for item in items if source_of(item) == source]
        kept = drawn(over_it, -(-len(over_it) // one_in)) if len(over_it) > 4 else over_it
        left_out |= {id(item) for item in over_it} - {id(item) for item in kept}
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
