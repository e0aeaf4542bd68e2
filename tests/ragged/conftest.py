"""Rows are gathered in four ways: by Arrow's views, by its `take`, by an index, by a loop; all give the same."""

from __future__ import annotations

from typing import Any

import pytest

from pyloader.ragged import gathering

WAYS: dict[str, dict[str, Any]] = {
    "views": {"_MANY": 0},
    "take or index": {"_views_work": lambda: False},
    "index": {"_arrow": lambda: None},
    "loop": {"_arrow": lambda: None, "_SHORT": 0, "_SHORT_OF_SEVERAL": 0},
}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(gathering, name, value)
    return request.param
