"""DataLoaderBuilder: immutable, typed, and what it builds begins anew with every `for`."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pyloader.indexed import Batcher, DataLoaderBuilder, InMemoryDataset, RangeDataset

BUILDER = DataLoaderBuilder(Batcher(list))


def test_each_method_returns_another_builder_and_changes_none():
    small = BUILDER.batch_size(2)
    large = small.batch_size(5).workers(0)
    assert [len(next(iter(builder.build(RangeDataset(0, 10))))) for builder in (BUILDER, small, large)] == [1, 2, 5]


def test_len_counts_the_short_last_batch_too():
    """loadax left it out of the count, and delivered it."""
    loader = BUILDER.batch_size(4).build(RangeDataset(0, 10))
    assert len(loader) == len(list(loader)) == 3


@pytest.mark.parametrize("length", [1, 7, 8, 9])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_dataset_that_does_not_divide_ends_and_leaves_nothing_for_the_next_iterator(length, workers):
    """loadax never stopped, or began the next iterator with the rest of the last."""
    loader = BUILDER.batch_size(4).workers(workers).build(RangeDataset(0, length))
    wanted = [list(range(at, min(at + 4, length))) for at in range(0, length, 4)]
    assert list(loader) == wanted
    assert list(loader) == wanted


def test_iterators_over_one_definition_are_independent():
    loader = BUILDER.batch_size(2).prefetch(3).build(RangeDataset(0, 10))
    fast = iter(loader)
    assert [next(fast), next(fast)] == [[0, 1], [2, 3]]
    slow = iter(loader)
    assert next(slow) == [0, 1]
    assert next(fast) == [4, 5]
    assert fast.progress() == (6, 10)
    assert slow.progress() == (2, 10)
    loader.close()


def test_items_that_are_none_are_items():
    """loadax took None for the end."""
    loader = BUILDER.batch_size(2).build(InMemoryDataset([1, None, None, 4]))
    assert list(loader) == [[1, None], [None, 4]]


def test_an_items_error_arrives_and_no_item_is_dropped():
    """loadax printed it, and left the item out."""

    def fails_at_5(item):
        if item == 5:
            raise KeyError("five")
        return item

    loader = BUILDER.batch_size(2).workers(2).prefetch(8).build(RangeDataset(0, 10).map(fails_at_5))
    found = []
    with pytest.raises(KeyError, match="five"):
        for batch in loader:
            found.append(batch)
    assert found == [[0, 1], [2, 3]]


def test_workers_work():
    """loadax's HEAD switched on one prefetching thread, whatever their number."""
    together = threading.Barrier(3)

    def meet(item):
        together.wait(timeout=10)
        return item

    with BUILDER.batch_size(1).workers(3).prefetch(3).build(RangeDataset(0, 3).map(meet)) as loader:
        assert list(loader) == [[0], [1], [2]]


def test_a_batcher_gets_pythons_numbers_rows_of_arrays_and_dicts():
    numbers = DataLoaderBuilder(Batcher(lambda items: items)).batch_size(2)
    assert [type(item) for item in next(iter(numbers.build(RangeDataset(0, 4))))] == [int, int]
    rows = next(iter(numbers.build(InMemoryDataset(np.zeros((4, 3))))))
    assert [row.shape for row in rows] == [(3,), (3,)]
    named = next(iter(numbers.build(InMemoryDataset({"x": [1, 2], "y": ["a", "b"]}))))
    assert named == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]


@pytest.mark.parametrize(
    "spelled", [lambda rank: {"world": (rank, 3)}, lambda rank: {"shard_id": rank, "num_shards": 3}]
)
def test_shards_share_out_each_batch_and_shard_0_is_shard_0(spelled):
    """In loadax shard_id=0 was replaced by the process index."""
    loaders = [BUILDER.batch_size(2).shard(**spelled(rank)).build(RangeDataset(0, 20)) for rank in range(3)]
    assert [next(iter(loader)) for loader in loaders] == [[0, 1], [2, 3], [4, 5]]
    assert {len(loader) for loader in loaders} == {4}


@pytest.mark.parametrize(("num_shards", "rest"), [(1, [90, 91, 92, 93, 94]), (2, [80, 81, 82, 83, 84])])
def test_no_item_is_left_out_of_shards_unless_told_so(num_shards, rest):
    builder = BUILDER.batch_size(10)
    shards = [builder.shard((rank, num_shards)) for rank in range(num_shards)]
    batches = [list(shard.build(RangeDataset(0, 95))) for shard in shards]
    assert len({len(each) for each in batches}) == 1  # equally many steps
    assert {item for each in batches for batch in each for item in batch} == set(range(95))
    assert len(batches[0][-1]) == (5 if num_shards == 1 else 10)
    dropped = [list(shard.last_batch("drop").build(RangeDataset(0, 95))) for shard in shards]
    assert {item for each in dropped for batch in each for item in batch}.isdisjoint(rest)


def test_a_dataset_smaller_than_a_batch_is_one_batch():
    assert list(BUILDER.batch_size(10).shard((0, 1)).build(RangeDataset(0, 5))) == [[0, 1, 2, 3, 4]]
    (batch,) = BUILDER.batch_size(4).shard((1, 2)).build(RangeDataset(0, 5))
    assert batch[0] == 4


def test_another_rule_for_the_last_batch_is_refused_where_it_is_said():
    assert list(BUILDER.batch_size(2).last_batch("wrap").build(RangeDataset(0, 3))) == [[0, 1], [2, 1]]
    for rule in ("pad", "span", "kept"):
        with pytest.raises(ValueError, match=f'last_batch must be "keep", "drop" or "wrap", not \'{rule}\''):
            BUILDER.last_batch(rule)


@pytest.mark.parametrize(
    "options",
    [{}, {"shard_id": 0}, {"num_shards": 2}, {"world": (0, 2), "shard_id": 0, "num_shards": 2}],
    ids=lambda options: ", ".join(options) or "nothing",
)
def test_half_a_shard_is_refused(options):
    with pytest.raises(
        TypeError, match=r"shard takes a World, \(rank, size\) or a mesh; or both shard_id= and num_shards="
    ):
        BUILDER.shard(**options)


def test_numbers_out_of_range_are_refused_where_they_are_said():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        BUILDER.batch_size(0)
    with pytest.raises(TypeError, match="num_workers must be an integer"):
        BUILDER.workers(1.5)


TYPED = """
from pyloader.indexed import Batcher, DataLoaderBuilder, InMemoryDataset, RangeDataset

def total(items: list[int]) -> float:
    return float(sum(items))

builder = DataLoaderBuilder(Batcher(total)).batch_size(2).workers(2).prefetch(3).shard((0, 2))
for batch in builder.build(RangeDataset(0, 10)):
    reveal_type(batch)
reveal_type(next(iter(builder.build(RangeDataset(0, 10).map(lambda number: number + 1)))))
builder.build(InMemoryDataset(["text"]))
"""


@pytest.mark.slow
def test_a_type_checker_infers_the_batch_and_refuses_other_items(tmp_path):
    pytest.importorskip("mypy")
    script = tmp_path / "typed.py"
    script.write_text(TYPED)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary"]
    command += ["--config-file", str(root / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache"), str(script)]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=110).stdout
    notes = [line.partition(": ")[2] for line in found.splitlines()]
    assert [note for note in notes if "Revealed" in note] == ['note: Revealed type is "float"'] * 2
    (error,) = [note for note in notes if note.startswith("error")]
    assert 'expected "Dataset[int]"' in error or 'expected "int"' in error
