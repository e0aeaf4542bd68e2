"""The order is a function of the seed and the place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pyloader.plan import chunk_order, deal_phase, encode_generator, order_digest, row_order, segment_order

GOLDEN = Path(__file__).parents[1] / "golden" / "order.json"


def test_the_order_is_the_one_that_was_pinned():
    """Changing this file is an ORDER CHANGE: every saved state of users goes on in another order."""
    found = {
        "chunk_order(10, seed=0, epoch=0)": chunk_order(10, seed=0, epoch=0).tolist(),
        "chunk_order(10, seed=7, epoch=3)": chunk_order(10, seed=7, epoch=3).tolist(),
        "row_order(10, seed=7, epoch=3, chunk=5)": row_order(10, seed=7, epoch=3, chunk=5).tolist(),
        "segment_order(10, seed=7, epoch=3, segment=5)": segment_order(10, seed=7, epoch=3, segment=5).tolist(),
        "deal_phase(1000, seed=7, epoch=3, chunk=5)": deal_phase(1000, seed=7, epoch=3, chunk=5),
        "encode_generator(seed=7, epoch=3, step=5)": encode_generator(seed=7, epoch=3, step=5)
        .integers(1000, size=4)
        .tolist(),
        "order_digest()": order_digest(),
    }
    assert found == json.loads(GOLDEN.read_text())


def test_two_seeds_differ():
    assert chunk_order(100, seed=1, epoch=0).tolist() != chunk_order(100, seed=2, epoch=0).tolist()


def test_two_epochs_differ():
    assert chunk_order(100, seed=1, epoch=0).tolist() != chunk_order(100, seed=1, epoch=1).tolist()


def test_seed_7_epoch_1_is_not_seed_8_epoch_0():
    assert chunk_order(100, seed=7, epoch=1).tolist() != chunk_order(100, seed=8, epoch=0).tolist()


def test_the_purposes_have_random_streams_of_their_own():
    permutations = {
        tuple(chunk_order(100, seed=1, epoch=2)),
        tuple(row_order(100, seed=1, epoch=2, chunk=0)),
        tuple(segment_order(100, seed=1, epoch=2, segment=0)),
    }
    assert len(permutations) == 3


def test_each_place_of_a_batch_has_a_generator_of_its_own():
    places = [{}, {"seed": 8}, {"epoch": 4}, {"step": 6}, {"stream": 1}]
    draws = [encode_generator(**{"seed": 7, "epoch": 3, "step": 5, **place}).integers(2**60) for place in places]
    assert len(set(draws)) == len(places)


def test_nothing_depends_on_the_global_random_state():
    np.random.seed(0)
    first = row_order(50, seed=3, epoch=0, chunk=1)
    np.random.random(1000)
    assert row_order(50, seed=3, epoch=0, chunk=1).tolist() == first.tolist()
