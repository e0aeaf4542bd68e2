"""State: small, pinned, and refused where it cannot be honoured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pyloader.errors import StateError
from pyloader.plan import Order, Position, position_from_state, state_of

GOLDEN = Path(__file__).parents[1] / "golden" / "state.json"
ORDER = Order(
    seed=7,
    shuffle="all",
    shuffle_window=4,
    batch_size=256,
    last_batch="drop",
    num_streams=1,
    fingerprint="0123456789abcdef",
)
POSITION = Position(epoch=2, segment=17, offset=512, step=41, steps_done=141)


def test_the_state_is_the_one_that_was_pinned():
    assert state_of(POSITION, ORDER) == json.loads(GOLDEN.read_text())


def test_a_state_comes_back_through_json():
    assert position_from_state(json.loads(json.dumps(state_of(POSITION, ORDER))), ORDER) == POSITION


def test_a_state_is_smaller_than_2_kb():
    far = Position(epoch=10**9, segment=10**9, offset=10**12, step=10**12, steps_done=10**15)
    assert len(json.dumps(state_of(far, ORDER))) < 2000


def test_a_state_holds_nothing_that_the_order_does_not_depend_on():
    assert not {"num_workers", "num_readers", "max_queue_size", "num_epochs"} & set(state_of(POSITION, ORDER))


def test_with_several_streams_the_step_says_where_each_stands():
    order = replace(ORDER, num_streams=4)
    state = state_of(POSITION, order)
    assert not {"segment", "offset"} & set(state)
    assert position_from_state(state, order) == Position(epoch=2, step=41, steps_done=141)


def test_other_settings_are_refused_with_what_to_write():
    state = state_of(POSITION, ORDER)
    message = (
        r"saved with seed=7, shuffle_window=4; this loader has seed=1, shuffle_window=8.*seed=7, shuffle_window=4\)"
    )
    with pytest.raises(StateError, match=message):
        position_from_state(state, replace(ORDER, seed=1, shuffle_window=8))


def test_a_state_saved_unshuffled_says_how_to_get_that_order():
    state = state_of(POSITION, replace(ORDER, shuffle="none"))
    with pytest.raises(StateError, match=r"Make it DataLoader\(..., shuffle=False\)"):
        position_from_state(state, ORDER)


def test_other_chunks_are_refused():
    with pytest.raises(StateError, match="saved on other chunks"):
        position_from_state(state_of(POSITION, ORDER), replace(ORDER, fingerprint="another"))


def test_other_random_streams_are_refused():
    state = {**state_of(POSITION, ORDER), "order_digest": "another"}
    with pytest.raises(StateError, match="NumPy whose random numbers differ"):
        position_from_state(state, ORDER)


@pytest.mark.parametrize("damaged", [{}, {"version": 2}, [], None, "state"])
def test_what_is_no_state_is_refused(damaged):
    with pytest.raises(StateError, match="no state of version 1"):
        position_from_state(damaged, ORDER)


@pytest.mark.parametrize("name", ["epoch", "segment", "seed", "order_digest"])
def test_a_state_that_lacks_something_is_refused(name):
    state = state_of(POSITION, ORDER)
    del state[name]
    with pytest.raises(StateError, match=f"lacks '{name}'"):
        position_from_state(state, ORDER)


@pytest.mark.parametrize("value", [-1, 1.5, "3", None, True])
def test_a_state_with_a_number_that_is_none_is_refused(value):
    with pytest.raises(StateError, match="the state has offset="):
        position_from_state({**state_of(POSITION, ORDER), "offset": value}, ORDER)
