"""What holds for every test: nothing is left behind, and generated cases come without a deadline."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from belongings import belongings, left_since
from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves threads, child processes, open temporary files or shared memory."""
    before = belongings()
    yield
    left = left_since(before)
    assert not left, f"left behind: {sorted(left)}"
