"""Laws 2, 3 and 4 together, on everything drawn at once: chunks, ranks, streams, rules, engines, and where runs stop.

500 cases, 1,000 with PYLOADER_ALL; PYLOADER_CASES=20000 asks for as many.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numbered import NumberedReader, ids_of, loader_of, write_chunks
from products import ALL
from ranks import global_batches, rank_loaders, real_ids, through_json, write_counted

from pyloader.plan import Dealing, Streams, rows_of_step

CASES = int(os.environ.get("PYLOADER_CASES", "1000" if ALL else "500"))


def cases_of(share: float) -> Any:
    """Return the settings for this share of all cases."""
    return settings(max_examples=max(1, round(CASES * share)), suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Drawn:
    """A dataset, and how it is read."""

    counts: list[int]
    num_streams: int
    sizes: tuple[int, int]  # two numbers of ranks that share the streams
    share: int
    last_batch: str
    window: int
    shuffle: bool
    seed: int
    num_epochs: int
    text: bool

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def whole(self) -> int:
        return self.share * self.num_streams

    @property
    def steps(self) -> int:
        return self.total // self.whole if self.last_batch == "drop" else -(-self.total // self.whole)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "last_batch": self.last_batch,
            "shuffle": self.shuffle,
            "shuffle_window": self.window if self.shuffle else None,
            "seed": self.seed,
            "num_epochs": self.num_epochs,
        }

    def plan(self) -> Streams:
        seed = self.seed if self.shuffle else None
        return Streams(
            counts=np.array(self.counts, np.int64),
            num_streams=self.num_streams,
            share=self.share,
            served=range(self.num_streams),
            dealing=Dealing(len(self.counts), self.window if self.shuffle else 1),
            last_batch=self.last_batch,
            chunk_seed=seed,
            row_seed=seed,
        )


@st.composite
def drawn(draw: Any, *, most_rows: int = 25, max_chunks: int = 8) -> Drawn:
    num_streams = draw(st.sampled_from([1, 1, 2, 3, 4, 6]))
    sizes = st.sampled_from([size for size in range(1, num_streams + 1) if num_streams % size == 0])
    last_batch = draw(st.sampled_from(["drop", "pad", "wrap", *(["keep"] if num_streams == 1 else [])]))
    share = draw(st.integers(1, 6))
    needed = share * num_streams if last_batch == "drop" else num_streams
    rows = st.sampled_from([0, 1]) | st.integers(0, most_rows)
    counts = draw(st.lists(rows, max_size=max_chunks - 1))
    # One chunk more, wherever it comes, so that there are rows for every stream.
    missing = max(needed - sum(counts), 0)
    counts.insert(draw(st.integers(0, len(counts))), missing + draw(st.integers(0 if missing else 1, most_rows)))
    return Drawn(
        counts,
        num_streams,
        (draw(sizes), draw(sizes)),
        share,
        last_batch,
        draw(st.integers(1, 9)),
        draw(st.sampled_from([True, True, False])),
        draw(st.integers(0, 2**40)),
        draw(st.integers(1, 2)),
        draw(st.booleans()),
    )


def assert_exactly_once(rows: list[Any], case: Drawn, *, filled: bool) -> None:
    """Assert that an epoch's `rows` are all of them once, less or more what the rule says."""
    times = Counter(rows)
    if case.last_batch in ("keep", "drop"):
        assert max(times.values(), default=0) <= 1
    if case.last_batch == "drop":
        assert len(times) == case.steps * case.whole
    else:
        assert len(times) == case.total
        extra = -case.total % case.whole if filled and case.last_batch in ("pad", "wrap") else 0
        assert sum(times.values()) == case.total + extra


@pytest.mark.slow
@cases_of(0.7)
@given(case=drawn(most_rows=60), epoch=st.integers(0, 3))
def test_in_the_plan_every_row_comes_once_and_each_rank_has_its_part_of_every_step(case, epoch):
    plan = case.plan()
    assert plan.steps_per_epoch == case.steps
    steps = [rows_of_step(plan, epoch, step) for step in range(case.steps)]
    if case.last_batch != "keep":
        assert all(rows.shape == (case.whole, 2) for rows in steps)
    assert_exactly_once([tuple(row) for rows in steps for row in rows.tolist()], case, filled=True)
    assert all(0 <= row < case.counts[chunk] for rows in steps for chunk, row in rows.tolist())
    again = [rows_of_step(case.plan(), epoch, step) for step in range(case.steps)]
    assert all((one == other).all() for one, other in zip(steps, again, strict=True))


@pytest.mark.slow
@cases_of(0.21)
@given(case=drawn(most_rows=12, max_chunks=6), data=st.data())
def test_ranks_deliver_the_plan_and_go_on_with_it_on_other_ranks_after_every_step(tmp_path_factory, case, data):
    directory = write_counted(tmp_path_factory.mktemp("chunks"), case.counts)
    before, after = case.sizes
    reader = NumberedReader(text=case.text)
    loaders = rank_loaders(
        directory,
        before,
        num_streams=case.num_streams,
        batch_size=case.whole // before,
        reader=reader,
        **case.options,
    )
    states, batches, real = [through_json(loaders[0].state_dict())], [], []
    for _ in range(case.steps * case.num_epochs):
        met = [next(loader) for loader in loaders]
        batches.append([number for batch in met for number in batch["id"].tolist()])
        real.append([number for batch in met for number in real_ids(batch)])
        states.append(through_json(loaders[-1].state_dict()))
    assert [next(loader, None) for loader in loaders] == [None] * before
    for epoch in range(case.num_epochs):
        rows = [number for ids in real[epoch * case.steps : (epoch + 1) * case.steps] for number in ids]
        assert_exactly_once(rows, case, filled=case.last_batch == "wrap")

    if case.num_streams > 1:
        firsts, plan = np.cumsum([0, *case.counts]), case.plan()
        located = [rows_of_step(plan, *divmod(step, case.steps)) for step in range(len(batches))]
        assert [(firsts[rows[:, 0]] + rows[:, 1]).tolist() for rows in located] == batches

    whole_rest = data.draw(st.integers(0, len(batches)), label="resumed to the end after step")
    for k, state in enumerate(states):
        resumed = rank_loaders(
            directory,
            after,
            batch_size=case.whole // after,
            reader=reader,
            **case.options,
        )
        for loader in resumed:
            loader.load_state_dict(state)
        num_steps = None if k == whole_rest else min(2, len(batches) - k)
        assert global_batches(resumed, num_steps) == (batches[k:] if num_steps is None else batches[k : k + 2])


def engine_options(draw: Any, *, kind: str) -> dict[str, Any]:
    return {
        "worker_kind": kind,
        "num_workers": draw(st.integers(1, 2) if kind == "process" else st.integers(0, 4), label="num_workers"),
        "num_readers": draw(st.integers(1, 2 if kind == "process" else 4), label="num_readers"),
    }


def assert_engines_agree(directory: Any, case: Drawn, data: Any, *, kind: str) -> None:
    """Assert that other threads or processes deliver what the loop's own does, from any step on."""
    streams_held = case.num_streams // case.sizes[0]
    needed = streams_held * min(case.window, len(case.counts)) + 1
    options = {**case.options, "num_streams": case.num_streams, "batch_size": case.whole // case.sizes[0]}
    reader = NumberedReader(text=case.text)
    rank = data.draw(st.integers(0, case.sizes[0] - 1), label="rank")
    inline = rank_loaders(directory, case.sizes[0], reader=reader, **options)[rank]
    stop = data.draw(st.integers(0, case.steps * case.num_epochs), label="stop")
    received = [next(inline)["id"].tolist() for _ in range(stop)]
    state = through_json(inline.state_dict())
    rest = [batch["id"].tolist() for batch in inline]
    queue = needed + data.draw(st.integers(0, 3), label="extra queue")
    options |= engine_options(data.draw, kind=kind) | {"max_queue_size": queue}
    with rank_loaders(directory, case.sizes[0], reader=reader, **options)[rank] as loader:
        assert [next(loader)["id"].tolist() for _ in range(stop)] == received
        assert through_json(loader.state_dict()) == state
    with rank_loaders(directory, case.sizes[0], reader=reader, **options)[rank] as resumed:
        resumed.load_state_dict(state)
        assert [batch["id"].tolist() for batch in resumed] == rest
        assert resumed.stats().resident_peak <= queue + 1e-6


@pytest.mark.slow
@cases_of(0.087)
@given(case=drawn(), data=st.data())
def test_threads_change_nothing(tmp_path_factory, case, data):
    directory = write_counted(tmp_path_factory.mktemp("chunks"), case.counts)
    assert_engines_agree(directory, case, data, kind="thread")


@pytest.mark.slow
@pytest.mark.timeout(120 + CASES // 10)
@cases_of(0.003)
@given(case=drawn(max_chunks=4), data=st.data())
def test_processes_change_nothing(tmp_path_factory, case, data):
    directory = write_counted(tmp_path_factory.mktemp("chunks"), case.counts)
    assert_engines_agree(directory, case, data, kind="process")


def test_the_pure_cases_could_fail(tmp_path):
    """A plan that deals one row to two segments is noticed."""
    case = Drawn([3, 2], 1, (1, 1), 2, "keep", 1, False, 0, 1, False)
    with pytest.raises(AssertionError):
        assert_exactly_once([0, 1, 2, 3, 3], case, filled=True)
    with pytest.raises(AssertionError):
        assert_exactly_once([0, 1, 2, 3], case, filled=True)
    assert_exactly_once([0, 1, 2, 3, 4], case, filled=True)
    with loader_of(write_chunks(tmp_path, case.counts), batch_size=2, num_workers=0) as loader:
        assert_exactly_once([number for ids in ids_of(loader) for number in ids], case, filled=True)
