"""Rows are gathered in three ways: by Arrow's views, by its `take`, by a loop; all give the same."""

from __future__ import annotations

import pytest

from pyloader.ragged import gathering

WAYS = {"views": {"_MANY": 0}, "take or loop": {"_views_work": lambda: False}, "loop": {"_arrow": lambda: None}}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(gathering, name, value)
    return request.param
