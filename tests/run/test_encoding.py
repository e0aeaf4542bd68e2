"""Encoding: what each batch of several gets, what stands in, and how a failure names its place."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from pyloader.errors import BadRowsError
from pyloader.run.encoding import RawBatch, encoded_batch, encoded_batches

NUMBERS = np.array(
    [(3 << 32) + 10 + row for row in range(10)], np.uint64
)  # of the samples: rows 10, 11, ... of chunk 3
RAW = RawBatch({"x": np.arange(10)}, np.arange(10) < 9, np.arange(10, dtype=np.uint64) + 100, epoch=2, step=5)


def options(*, max_skipped_rows=0):
    chunks = SimpleNamespace(path=lambda chunk: f"chunk-{chunk}")
    return SimpleNamespace(rule=SimpleNamespace(batch_size=4), chunks=chunks, max_skipped_rows=max_skipped_rows)


def shown(raw):
    return {"x": raw.columns["x"].tolist(), "keys": raw.keys.tolist(), "mask": raw.mask.tolist(), "step": raw.step}


def test_each_of_several_batches_has_its_own_rows_keys_mask_and_step_and_their_seconds_are_added():
    batches, seconds, error = encoded_batches(
        RAW, lambda raws: ([(shown(raw), (1.0, 0.5)) for raw in raws], None), NUMBERS, options()
    )
    assert batches == [
        {
            "x": list(range(start, stop)),
            "keys": list(range(100 + start, 100 + stop)),
            "mask": [row < 9 for row in range(start, stop)],
            "step": step,
        }
        for start, stop, step in [(0, 4, 5), (4, 8, 6), (8, 10, 7)]
    ]
    assert (seconds, error) == ((3.0, 1.5), None)


def test_a_batch_that_fails_after_others_is_named_and_is_no_end_of_the_loop():
    bad = BadRowsError({2: "is odd", 1: "is empty"})
    failed = encoded_batches(RAW, lambda raws: ([(shown(raws[0]), (1.0, 0.5))], bad), NUMBERS, options())
    assert (len(failed[0]), failed[1]) == (1, (1.0, 0.5))
    for error in (failed[2], pickle.loads(pickle.dumps(bad))):
        assert str(error).startswith(
            "chunk-3, row 15: is empty; 1 more of the batch cannot be encoded (epoch 2, step 6)."
        )
    stopped = encoded_batches(RAW, lambda raws: ([(shown(raws[0]), (1.0, 0.5))], StopIteration()), NUMBERS, options())
    assert isinstance(stopped[2], RuntimeError)
    with pytest.raises(BadRowsError, match="step 5"):
        encoded_batches(RAW, lambda raws: ([], BadRowsError({1: "is empty"})), NUMBERS, options())


def test_a_row_that_the_batch_does_not_have_is_not_looked_for():
    def encode(raw):
        raise BadRowsError({1: "is empty", 10: "is not there"})

    with pytest.raises(BadRowsError, match=r"row 1 of the batch: is empty; 1 more .* \(epoch 2, step 5\)"):
        encoded_batch(RAW, encode, NUMBERS, None, options())


def test_what_stands_in_from_another_source_is_of_that_source_and_no_sample():
    sources = np.array([0, 0, 1, *[0] * 7])

    def encode(raw):
        if 2 in raw.columns["x"]:
            raise BadRowsError({raw.columns["x"].tolist().index(2): "is empty"})
        return {**shown(raw), "sources": raw.sources.tolist()}, (1.0, 0.5)

    raw = RAW._replace(sources=sources)
    batch, _, bad = encoded_batch(raw, encode, NUMBERS, sources, options(max_skipped_rows=1))
    assert batch["x"] == [0, 1, 3, 3, 4, 5, 6, 7, 8, 9] and batch["sources"] == [0] * 10
    assert batch["keys"] == RAW.keys.tolist()  # of the places
    assert batch["mask"] == [True, True, False, *[True] * 6, False]
    assert list(bad) == [2]
