"""Audits of mixtures: receipts prove each source's epochs apart, over kills, other ranks, other weights and repeats."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mixed_cases import SIZES, Case, run_drawn
from mixed_sources import FAR, mixed_ranks, step_of_all, steps_of_all, write_sources
from products import ALL, seeds
from ranks import through_json

from pyloader.audit import Audit, SourceAudit, audit_sources, receipts
from pyloader.errors import DataDirError
from pyloader.files import list_chunks
from pyloader.run import making

CASES = int(os.environ.get("PYLOADER_CASES", "200" if ALL else "4"))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_sources(tmp_path_factory.mktemp("sources"), SIZES)


def audited(directory: Path, places: dict[str, Path], names: list[str]) -> Audit:
    return audit_sources(directory, {name: list_chunks(places[name]) for name in names})


def epochs(audit: Audit) -> list[tuple[str, int, SourceAudit]]:
    """Every epoch by itself."""
    return [(each.source, e, each) for each in audit.sources for e in range(each.first_epoch, each.last_epoch + 1)]


def came_of(case: Case, batches: list[dict[str, np.ndarray]]) -> dict[str, Counter[int]]:
    """How often each row of each source came, without what fills up; those of a source's epochs lie one after another
    in each stream."""
    rows: dict[str, list[list[int]]] = defaultdict(lambda: [[] for _ in range(case.num_streams)])
    for batch in batches:
        mask = batch.get("mask", np.ones(len(batch["x"]), bool))
        for stream, mine in enumerate(np.split(np.arange(len(mask)), case.num_streams)):
            for place, name in enumerate(case.names):
                rows[name][stream] += batch["x"][mine[mask[mine] & (batch["source"][mine] == place)]].tolist()
    return {name: Counter(x for stream in streams for x in stream) for name, streams in rows.items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(CASES))
def test_each_epoch_of_each_source_is_proven_apart_whatever_ranks_and_restarts(
    seed: int, places: dict[str, Path], tmp_path: Path
) -> None:
    try:
        case = Case.drawn(seed, places)
        case.options["audit_dir"] = tmp_path
        batches = run_drawn(case)
    except (ValueError, DataDirError) as exc:
        assert "never come" in str(exc) or "make no batch" in str(exc)
        return
    audit = audited(tmp_path, places, case.names)
    assert audit.findings == () and audit.is_good
    came = came_of(case, batches)
    if case.options["last_batch"] == "wrap" and case.options["on_exhausted"] == "drop":
        return  # rows that fill up look like others
    for name in case.names:
        mine = [(epoch, each) for source, epoch, each in epochs(audit) if source == name]
        assert [epoch for epoch, _ in mine] == [*range(len(mine))]
        assert sum(each.delivered for _, each in mine) == came[name].total()
        num_rows = SIZES[name][0]
        of_each = num_rows // case.num_streams * case.num_streams
        for _, each in mine:
            assert each.state == ("complete" if each.delivered == num_rows - each.dropped else "running")
            assert each.num_samples == num_rows and each.dropped in (0, num_rows - of_each)
        if case.options["on_exhausted"] != "repeat":
            assert len(mine) <= 1
        whole = sum(each.delivered == num_rows for _, each in mine)
        assert min((came[name][list(SIZES).index(name) * FAR + row] for row in range(num_rows)), default=0) >= whole


def options_of(places: dict[str, Path], directory: Path, **options: Any) -> dict[str, Any]:
    weights = {"web": 6, "code": 3, "tiny": 1}
    return {
        "data_dir": {name: places[name] for name in weights},
        "weights": weights,
        "on_exhausted": "repeat",
        "num_steps": 30,
        "shuffle": True,
        "audit_dir": directory,
        **options,
    }


@pytest.mark.slow
def test_changed_weights_added_sources_and_other_ranks_are_one_history(places, tmp_path):
    with mixed_ranks(2, 4, share=3, **options_of(places, tmp_path)) as loaders:
        for _ in range(12):
            step_of_all(loaders)
        state = through_json(loaders[0].state_dict())
        for _ in range(4):
            step_of_all(loaders)
    names = ["web", "code", "tiny", "math"]
    options = options_of(
        places,
        tmp_path,
        data_dir={name: places[name] for name in names},
        weights=dict(zip(names, (1, 5, 1, 2), strict=True)),
    )
    with mixed_ranks(4, 4, share=3, **options) as loaders:
        for loader in loaders:
            loader.load_state_dict(state)
        assert len(steps_of_all(loaders)) == 18
    audit = audited(tmp_path, places, names)
    assert audit.is_good and audit.num_replaced == 4
    found = {(source, epoch): each for source, epoch, each in epochs(audit)}
    assert found["code", 0].ranks == (2, 4)
    assert {source for source, _ in found} == set(names)
    assert sum(each.delivered for each in found.values()) == 30 * 12
    assert found["code", 0].state == "complete" and found["web", 0].state == "running"


@pytest.mark.slow
def test_a_mixture_gone_through_again_is_told_apart(places, tmp_path):
    options = options_of(places, tmp_path, on_exhausted="drop", num_steps=None, weights=None, last_batch="pad")
    with mixed_ranks(1, 2, share=7, **options) as [loader]:
        for _ in range(2):
            steps = len(list(loader))
    audit = audited(tmp_path, places, ["web", "code", "tiny"])
    assert audit.is_good
    assert [(each.source, each.run, each.state, each.delivered, each.dropped) for each in audit.sources] == [
        (name, run, "complete", num_rows // 2 * 2, num_rows % 2)
        for run in range(2)
        for name, num_rows in (("code", 90), ("tiny", 3), ("web", 151))
    ]
    assert sum(each.repeated for each in audit.sources) == 2 * (steps * 14 - 242)


@pytest.mark.slow
def test_what_a_rank_tells_nothing_of_is_missing_with_its_sources(places, tmp_path):
    with mixed_ranks(2, 2, share=10, **options_of(places, tmp_path)) as loaders:
        steps_of_all(loaders)
    next(tmp_path.glob("rank-1-of-2*")).unlink()
    audit = audited(tmp_path, places, ["web", "code", "tiny"])
    [finding] = audit.findings
    assert (finding.kind, finding.first_step, finding.last_step, finding.who) == ("missing", 0, 29, "rank 1 of 2")
    assert finding.what == "no receipt (90 rows of 'code', 30 rows of 'tiny', 180 rows of 'web')"
    states = {(source, epoch): each.state for source, epoch, each in epochs(audit)}
    assert states["web", 0] == states["code", 0] == "bad"


@pytest.mark.slow
def test_where_a_rank_of_the_latest_run_is_missing_what_was_delivered_before_with_other_weights_does_not_count(
    places, tmp_path
):
    state: dict[str, Any] = {}
    for size, weight in ((4, 1), (2, 9)):
        options = options_of(places, tmp_path, weights={"web": 6, "code": weight, "tiny": 1})
        with mixed_ranks(size, 4, share=5, **options) as loaders:
            for loader in loaders if state else []:
                loader.load_state_dict(state)
            for step in range(24):
                step_of_all(loaders)
                if step == 5 and size == 4:
                    state = through_json(loaders[0].state_dict())
    assert audited(tmp_path, places, ["web", "code", "tiny"]).is_good
    next(tmp_path.glob("rank-1-of-2*")).unlink()
    audit = audited(tmp_path, places, ["web", "code", "tiny"])
    # The run before came as far as step 23, but from step 6 on in other shares.
    [finding] = audit.findings
    assert (finding.kind, finding.first_step, finding.last_step, finding.who) == ("missing", 6, 29, "rank 1 of 2")


def test_a_rank_that_was_started_twice_is_told_with_the_sources(places, tmp_path, monkeypatch):
    seconds = itertools.count(1_000_000)
    clock = SimpleNamespace(time_ns=lambda: next(seconds) * 10**9, monotonic=lambda: float(next(seconds)))
    clock.strftime, clock.gmtime = time.strftime, time.gmtime
    monkeypatch.setattr(receipts, "time", clock)
    with (
        mixed_ranks(1, 1, share=10, **options_of(places, tmp_path)) as [one],
        mixed_ranks(1, 1, share=10, **options_of(places, tmp_path)) as [other],
    ):
        for _ in range(5):
            next(one)
            next(other)
    audit = audited(tmp_path, places, ["web", "code", "tiny"])
    [finding] = audit.findings
    assert (finding.kind, finding.first_step, finding.last_step) == ("twice", 0, 4)
    assert "(15 rows of 'code', 5 rows of 'tiny', 30 rows of 'web')" in finding.what


@pytest.mark.parametrize("step", [0, 7])
def test_a_row_that_came_twice_is_named_with_its_source_and_the_one_that_it_displaced(
    step, places, tmp_path, monkeypatch
):
    gather = making.gather_joined

    def spoiled(group, memory):
        columns = gather(group, memory)
        if group.step == step:
            for values in columns.values():
                values[0] = values[1]
        return columns

    monkeypatch.setattr(making, "gather_joined", spoiled)
    with mixed_ranks(1, 2, share=10, **options_of(places, tmp_path, shuffle=False)) as [loader]:
        steps_of_all([loader])
        (name, chunk, row), (_, twice, again) = loader.locate(step)[:2]
    audit = audited(tmp_path, places, ["web", "code", "tiny"])
    [finding] = audit.findings
    assert (finding.kind, finding.source, finding.first_step, finding.who) == ("differs", name, step, "rank 0 of 1")
    assert finding.what == f"{chunk} row {row} did not come, {twice} row {again} came twice"
    assert any(each.state == "bad" and source == name for source, _, each in epochs(audit))
