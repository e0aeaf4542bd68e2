"""Wrapping: batches handed on ahead of the loop, and a position that is the loop's."""

from __future__ import annotations

import gc
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from numbered import ids_of, loader_of, write_chunks
from ranks import write_counted

from pyloader.errors import ClosedError, StateError
from pyloader.run.adapters import LoaderAdapter


class Ids(LoaderAdapter[list[int]]):
    """A wrapper whose batches are lists of sample numbers."""

    def __init__(self, loader: Any, *, size: int = 3) -> None:
        super().__init__(loader, lambda batch: batch["id"].tolist(), size=size)


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    return write_chunks(tmp_path / "chunks", [10, 7, 12, 9])


def shuffled(chunks: Path, **options: Any) -> Any:
    return loader_of(chunks, shuffle=True, batch_size=4, num_workers=0, **options)


def test_a_wrapper_hands_on_every_batch_as_it_was_converted(chunks: Path) -> None:
    assert list(Ids(shuffled(chunks))) == ids_of(shuffled(chunks))


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_its_state_is_that_of_the_batch_last_handed_to_the_loop(chunks: Path, size: int) -> None:
    everything = ids_of(shuffled(chunks, num_epochs=2))
    wrapper = Ids(shuffled(chunks, num_epochs=2), size=size)
    states = [wrapper.state_dict()]
    for number, _ in enumerate(wrapper, start=1):
        states.append(wrapper.state_dict())
        assert wrapper.steps_done == number
    assert wrapper.epochs_done == 2
    for number, state in enumerate(states):
        resumed = Ids(shuffled(chunks, num_epochs=2), size=2)
        resumed.load_state_dict(state)
        assert list(resumed) == everything[number:]


def test_a_wrapped_loader_says_to_ask_the_outermost(chunks: Path) -> None:
    loader = shuffled(chunks)
    inner = Ids(loader)
    outer = LoaderAdapter(inner, lambda batch: batch)
    next(outer)
    for wrapped in (loader, inner):
        with pytest.raises(StateError, match=r"Ask the outermost: the (Ids|LoaderAdapter)'s state_dict\(\)"):
            wrapped.state_dict()
        with pytest.raises(StateError, match="Ask the outermost"):
            wrapped.load_state_dict({})
    assert outer.state_dict()["steps_done"] == 1


def test_a_wrapper_made_anew_in_every_epoch_goes_on_where_the_loop_is(chunks: Path) -> None:
    loader, everything = shuffled(chunks, num_epochs=None), []
    for _ in range(5):
        everything += list(islice(Ids(loader), 3))
    assert everything == ids_of(islice(shuffled(chunks, num_epochs=None), 15))


@pytest.mark.parametrize("peeks", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_a_for_after_break_has_the_rest_of_its_run_and_no_more(tmp_path: Path, size: int, peeks: bool) -> None:
    counted = write_counted(tmp_path / "chunks", [10, 7, 12, 9])  # the loader knows when it has delivered its run
    first, second = ids_of(shuffled(counted)), ids_of(shuffled(counted, num_epochs=2))[10:]
    for number in range(1, len(first) + 1):
        wrapper = Ids(shuffled(counted), size=size)
        if peeks:
            assert wrapper.peek() == first[0]
        assert list(islice(wrapper, number)) == first[:number]
        if peeks:
            wrapper.peek()
        assert list(wrapper) == (first[number:] or second)
        assert list(wrapper) == (second if number < len(first) else ids_of(shuffled(counted, num_epochs=3))[20:])


def test_the_wrapper_before_says_that_another_has_taken_over(chunks: Path) -> None:
    loader = shuffled(chunks)
    before = Ids(loader)
    next(before)
    now = Ids(loader)
    with pytest.raises(StateError, match="wrapped anew"):
        next(before)
    assert next(now) == ids_of(shuffled(chunks))[1]


def test_a_loader_whose_wrapper_is_gone_goes_on_where_the_loop_was(chunks: Path) -> None:
    everything, loader = ids_of(shuffled(chunks)), shuffled(chunks)
    for _ in zip(range(2), Ids(loader), strict=False):
        pass
    gc.collect()
    assert loader.state_dict()["steps_done"] == 2
    assert ids_of(loader) == everything[2:]


def test_a_loader_is_reset_by_its_wrapper_or_after_it(chunks: Path) -> None:
    loader = shuffled(chunks)
    wrapper = Ids(loader)
    everything = list(wrapper)
    with pytest.raises(StateError, match=r"Ask the outermost: the Ids's reset\(\)"):
        loader.reset()
    wrapper.reset()
    assert list(wrapper) == everything
    del wrapper
    loader.reset()
    assert list(Ids(loader)) == everything


def test_peek_shows_the_next_batch_and_leaves_it(chunks: Path) -> None:
    everything, wrapper = ids_of(shuffled(chunks, num_epochs=2)), Ids(shuffled(chunks))
    for batch in everything[:10]:
        assert wrapper.peek() == batch
        assert next(wrapper) == batch
    assert wrapper.peek() == everything[10]
    assert wrapper.steps_done == 10


def test_a_for_after_the_end_begins_the_next_run(chunks: Path) -> None:
    wrapper = Ids(shuffled(chunks))
    assert [*wrapper, *wrapper] == ids_of(shuffled(chunks, num_epochs=2))
    with pytest.raises(StopIteration):
        next(wrapper)
    wrapper.reset()
    assert list(wrapper) == ids_of(shuffled(chunks))


def test_a_stop_iteration_while_converting_is_an_error_and_no_end(chunks: Path) -> None:
    converted = iter(["first"])
    wrapper = LoaderAdapter(shuffled(chunks), lambda batch: next(converted))
    assert next(wrapper) == "first"
    for _ in range(2):
        with pytest.raises(RuntimeError, match="StopIteration"):
            next(wrapper)
    assert wrapper.steps_done == 1


def test_an_error_of_the_loader_comes_after_the_good_batches_and_is_repeated(chunks: Path) -> None:
    (chunks / "chunk-0003.numbered").write_text("no numbers")
    plain, wrapper = loader_of(chunks, batch_size=4), Ids(loader_of(chunks, batch_size=4))
    for iterator in (plain, wrapper):
        good = []
        with pytest.raises(ValueError, match="invalid literal"):
            good.extend(iter(lambda it=iterator: next(it), None))
        with pytest.raises(ValueError, match="invalid literal"):
            next(iterator)
    assert wrapper.steps_done == plain.steps_done > 0
    assert wrapper.state_dict() == plain.state_dict()


def test_an_error_of_convert_leaves_the_state_after_the_last_good_batch(chunks: Path) -> None:
    def convert(batch: Any) -> Any:
        if 20 in batch["id"]:
            raise RuntimeError("no room on the device")
        return batch["id"].tolist()

    everything = ids_of(shuffled(chunks))
    good = next(number for number, ids in enumerate(everything) if 20 in ids)
    wrapper = LoaderAdapter(shuffled(chunks), convert, size=4)
    assert list(islice(wrapper, good)) == everything[:good]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no room on the device"):
            next(wrapper)
    assert wrapper.state_dict()["steps_done"] == good


def test_ctrl_c_while_converting_loses_no_batch(chunks: Path) -> None:
    interrupted = []

    def convert(batch: Any) -> Any:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return batch["id"].tolist()

    wrapper = LoaderAdapter(shuffled(chunks), convert, size=2)
    with pytest.raises(KeyboardInterrupt):
        next(wrapper)
    assert list(wrapper) == ids_of(shuffled(chunks))


def test_a_loader_whose_wrapper_is_gone_can_start_over_or_skip(chunks: Path) -> None:
    everything = ids_of(loader_of(chunks, batch_size=4, num_workers=0))
    loader = loader_of(write_counted(chunks.parent / "counted", [10, 7, 12, 9]), batch_size=4, num_workers=0)
    for _ in zip(range(2), Ids(loader), strict=False):
        pass
    loader.skip(3)
    assert next(Ids(loader)) == everything[5]
    gc.collect()
    loader.reset()
    assert list(Ids(loader)) == everything


def test_a_wrapped_loader_is_reset_and_skips_through_its_wrapper(chunks: Path) -> None:
    everything = ids_of(loader_of(chunks, batch_size=4, num_workers=0))
    loader = loader_of(write_counted(chunks.parent / "counted", [10, 7, 12, 9]), batch_size=4, num_workers=0)
    wrapper = Ids(LoaderAdapter(loader, lambda batch: batch, size=2))
    assert next(wrapper) == everything[0]
    for act, call in ((loader.reset, "reset"), (lambda: loader.skip(1), "skip")):
        with pytest.raises(StateError, match=rf"Ask the outermost: the LoaderAdapter's {call}\("):
            act()
    wrapper.skip(2)
    assert wrapper.steps_done == 3
    assert next(wrapper) == everything[3]
    wrapper.reset()
    assert wrapper.steps_done == 0
    assert list(wrapper) == everything


def test_its_stats_count_what_the_loop_has_had(chunks: Path) -> None:
    wrapper = Ids(shuffled(chunks))
    next(wrapper)
    assert (wrapper.stats().num_steps, wrapper.stats().num_samples) == (1, 4)


def test_closing_a_wrapper_closes_the_loader(chunks: Path) -> None:
    with Ids(shuffled(chunks)) as wrapper:
        next(wrapper)
    with pytest.raises(ClosedError):
        next(wrapper)
    assert wrapper.state_dict()["steps_done"] == 1


def test_only_a_loader_can_be_wrapped() -> None:
    with pytest.raises(TypeError, match="Ids wraps a pyloader DataLoader or another wrapper, not a list"):
        Ids([1, 2])
