"""Drivers and workers of splits that are killed, by the draw.

PYLOADER_ALL=1 PYLOADER_KILLS=200 asks for 200, those on Ray counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawn_kills import Case, KillsAWorker, drawn_cases, killing_driver, make_dump, moments, outcome
from killing import in_a_child

from pyloader.deliver.engines import opened_engine
from pyloader.write import split, units


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", drawn_cases(on_ray=False), ids=str)
def test_whoever_is_killed_the_same_command_ends_with_the_same_bytes(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)
    dump, output = make_dump(case.format, tmp_path), tmp_path / "chunks"
    options: dict[str, Any] = {**case.options, "workers": 2}
    if case.target == "driver":
        in_a_child(lambda: killing_driver(case, dump, str(output), engine=case.engine), kill_at=10**9)
    else:
        once, (task, change) = tmp_path / "once", moments(case)
        with opened_engine(case.engine, 2) as engine:
            split(dump, output, engine=KillsAWorker(engine, task=task, change=change, once=once), **options)
        assert once.exists()
    split(dump, output, engine=case.engine, **options)
    split(dump, tmp_path / "whole", engine="inline", **case.options)
    assert outcome(output) == outcome(tmp_path / "whole")
