"""A state that contradicts itself is refused; one that is honoured goes on as the run did at that place."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numbered import NumberedReader, write_chunks
from ranks import write_counted

from pyloader import DataLoader, World, indexed
from pyloader.errors import StateError

COUNTS = [12, 0, 5, 1, 20, 7, 9, 3]
NUM_STEPS = 30

settings = hypothesis_settings(max_examples=int(os.environ.get("PYLOADER_CASES", "40")))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tampered")
    write_counted(directory / "counted", COUNTS)
    write_chunks(directory / "bare", COUNTS)
    return directory


def of_chunks(root, kind, **options):
    options = {"num_workers": 0, "num_epochs": None, "max_queue_size": 1000, "world": None, "batch_size": 6, **options}
    return DataLoader(NumberedReader(), data_dir=root / kind, **options)


def of_items(root, **options):
    return indexed.DataLoader({"id": np.arange(50)}, num_workers=0, batch_size=8, **options)


SHUFFLED = {"shuffle": True, "shuffle_window": 3}
KINDS = {
    "counted, keep": functools.partial(of_chunks, kind="counted", **SHUFFLED),
    "counted, drop": functools.partial(of_chunks, kind="counted", last_batch="drop", shuffle=True, shuffle_window=1),
    "counted, wrap, in order": functools.partial(of_chunks, kind="counted", last_batch="wrap"),
    "counted, full shuffle": functools.partial(of_chunks, kind="counted", shuffle=True, shuffle_window=20),
    "not counted, pad": functools.partial(of_chunks, kind="bare", last_batch="pad", **SHUFFLED),
    "not counted, in order": functools.partial(of_chunks, kind="bare", last_batch="drop"),
    "four streams": functools.partial(
        of_chunks, kind="counted", last_batch="pad", batch_size=8, world=World(0, 1, 4), **SHUFFLED
    ),
    "one of two ranks": functools.partial(
        of_chunks, kind="counted", last_batch="drop", batch_size=4, world=World(1, 2, 4), **SHUFFLED
    ),
    "items": functools.partial(of_items, last_batch="span"),
    "items in order": functools.partial(of_items, last_batch="drop", shuffle=False),
}


def ids(batches, number):
    return [batch["id"].tolist() for batch in itertools.islice(batches, number)]


@functools.cache
def run_of(kind, root):
    """Return the states and the batches of a run, the state before each batch having its place."""
    loader, states, batches = KINDS[kind](root), [], []
    for _ in range(NUM_STEPS):
        states.append(loader.state_dict())
        batches += ids(loader, 1)
    return states, batches


NUMBERS = st.sampled_from([-1, 0, 1, 2, 5, 7, 8, 9, 60, 10**9, 2**31, 2**62, 2**63 - 1, 2**63, 10**30])
VALUES = st.one_of(
    NUMBERS,
    st.sampled_from(
        [None, True, 1.0, math.nan, math.inf, "", "3", "all", "none", "drop", [], [0], [None], {}, {"a": 1}]
    ),
)


@st.composite
def tampered(draw, states):
    state = json.loads(json.dumps(draw(st.sampled_from(states))))
    names = st.sampled_from([*state, *("epoch", "step", "steps_done", "segment", "offset") * 2, "skipped_chunks"])
    for name in draw(st.lists(names, min_size=1, max_size=3)):
        how = draw(st.sampled_from(["add", "other", "value", "without"]))
        if how == "add" and type(state.get(name)) is int:
            state[name] += draw(st.sampled_from([-2, -1, 1, 2, 6, 8, 100]))
        elif how == "other":
            state[name] = draw(st.sampled_from(states)).get(name, 0)
        elif how == "without":
            state.pop(name, None)
        else:
            state[name] = draw(VALUES)
    return state


def wanted(kind, root, state, number):
    """Return the batches of a run that stands where `state` says, by its steps; None if nobody can know them."""
    steps = state["step"] if kind.startswith("items") else state["steps_done"]
    states, batches = run_of(kind, root)
    if kind.startswith("not counted"):
        places = [tuple(each[name] for name in ("epoch", "segment", "offset")) for each in states[:-number]]
        place = tuple(state[name] for name in ("epoch", "segment", "offset"))
        steps = places.index(place) if place in places else NUM_STEPS
        return batches[steps : steps + number] or None
    if steps + number <= NUM_STEPS:
        return batches[steps : steps + number]
    fresh = KINDS[kind](root)
    fresh.skip(steps)  # itself a function of the counts, and tested as such
    return ids(fresh, number)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_or_goes_on_as_the_run_did(kind, root):
    @settings
    @given(tampered(run_of(kind, root)[0]))
    def check(state):
        loader = KINDS[kind](root)
        try:
            loader.load_state_dict(state)
            found = ids(loader, 2)
        except StateError:
            return
        assert (expected := wanted(kind, root, state, 2)) is None or found == expected

    check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_state_of_a_run_is_honoured(kind, root):
    states, batches = run_of(kind, root)
    for step in range(NUM_STEPS - 2):
        loader = KINDS[kind](root)
        loader.load_state_dict(json.loads(json.dumps(states[step])))
        assert ids(loader, 2) == batches[step : step + 2]


@pytest.mark.parametrize("kind", ["counted, keep", "not counted, pad"])
@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 1, "segment": 10**9},
        {"segment": 0, "offset": 0},
        {"offset": 10**6},
        {"step": 2**63},
        {"steps_done": 2},
        {"epoch": 5},
    ],
)
def test_a_place_that_no_run_comes_to_is_refused(kind, change, root):
    state = run_of(kind, root)[0][3]
    with pytest.raises(StateError, match=r"contradicts itself|farther than any run comes"):
        KINDS[kind](root).load_state_dict({**state, **change})


def test_the_error_says_where_the_run_would_be(root):
    state = run_of("counted, keep", root)[0][3]
    message = (
        r"it has epoch=0, .*, step=2, steps_done=3, but after steps_done=3 it is epoch=0, .*, step=3, steps_done=3"
    )
    with pytest.raises(StateError, match=message):
        KINDS["counted, keep"](root).load_state_dict({**state, "step": 2})


def test_a_row_that_its_segment_does_not_have_is_refused_when_that_is_read(root):
    states, _ = run_of("not counted, in order", root)
    loader = KINDS["not counted, in order"](root)
    loader.load_state_dict({**states[7], "segment": 5, "offset": 40})
    with pytest.raises(StateError, match="the state stands at row 40 of segment 5, which has 7 rows"):
        next(loader)


@pytest.mark.parametrize("chunks", [[-1], [8], [1, 1], [2, 1]])
def test_chunks_that_are_not_there_cannot_be_left_out(chunks, root):
    state = run_of("counted, keep", root)[0][3]
    with pytest.raises(StateError, match=r"skipped_chunks=.*there are 8 chunks in 1 stream"):
        KINDS["counted, keep"](root, max_skipped=5).load_state_dict({**state, "skipped_chunks": chunks})


def test_chunks_that_may_not_be_skipped_here_are_told_before_reading(root):
    state = run_of("counted, keep", root)[0][3]
    with pytest.raises(StateError, match=r"leaves out 1 chunks; this loader has max_skipped=0.*max_skipped=1\)"):
        KINDS["counted, keep"](root).load_state_dict({**state, "skipped_chunks": [2]})


@pytest.mark.parametrize("step", [2**62, 2**63, 10**30])
def test_items_cannot_be_counted_beyond_what_numpy_can_number(step, root):
    loader = KINDS["items"](root)
    with pytest.raises(StateError, match="farther than any run comes"):
        loader.load_state_dict({**loader.state_dict(), "step": step})
    with pytest.raises(ValueError, match="step must be at most"):
        loader.seek(step)
