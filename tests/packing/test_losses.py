"""Losses by source, for arrays of every library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyloader.packing import per_source_loss

LOSSES = np.array([[1.0, 3.0], [5.0, np.nan], [7.0, 9.0]], np.float32)
SOURCE = np.array([0, 2, 0])
MASK = np.array([[True, True], [True, False], [True, True]])


def array_of(library: str) -> Any:
    if library == "numpy":
        return np.asarray
    if library == "torch":
        return pytest.importorskip("torch").asarray
    return pytest.importorskip("jax.numpy").asarray


@pytest.mark.parametrize(
    "library",
    ["numpy", pytest.param("torch", marks=pytest.mark.frameworks), pytest.param("jax", marks=pytest.mark.frameworks)],
)
def test_each_source_has_the_sum_of_its_losses_and_how_many_they_are(library):
    array = array_of(library)
    sums, counts = per_source_loss(array(LOSSES), SOURCE, num_sources=4, mask=MASK)
    assert np.asarray(sums).tolist() == [20.0, 0.0, 5.0, 0.0] and np.asarray(counts).tolist() == [4, 0, 1, 0]
    sums, counts = per_source_loss(array(LOSSES[:, 0]), array(SOURCE), num_sources=3)
    assert np.asarray(sums).tolist() == [8.0, 0.0, 5.0] and np.asarray(counts).tolist() == [2, 0, 1]


@pytest.mark.frameworks
def test_it_goes_inside_jit():
    jax = pytest.importorskip("jax")
    sums, _ = jax.jit(lambda losses: per_source_loss(losses, SOURCE, num_sources=3))(LOSSES[:, 0])
    assert np.asarray(sums).tolist() == [8.0, 0.0, 5.0]
