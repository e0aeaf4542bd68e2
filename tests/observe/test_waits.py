"""Waits: quantiles of the batches' waits, from a histogram."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.observe import Counters
from pyloader.observe.waits import Waits


@pytest.mark.slow
@given(st.lists(st.floats(1e-5, 4000), max_size=50), st.integers(0, 50), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_that_of_all_batches_and_at_most_19_percent_too_large(seconds, num_there_already, share):
    waits = Waits()
    waits.recent += seconds
    everything = sorted([*seconds, *[0.0] * num_there_already])
    found = waits.quantile(share, len(everything))
    if not everything:
        assert found == 0
        return
    # The smallest wait that no more than the rest of the batches exceed.
    exact = next(
        wait for wait in everything if sum(other > wait for other in everything) <= (1 - share) * len(everything)
    )
    assert exact <= found <= exact * 2**0.25 * (1 + 1e-9)


def test_waits_beyond_the_last_bucket_are_in_it():
    waits = Waits()
    waits.recent.append(1e9)
    assert np.isclose(waits.quantile(0.5, 1), 4096)


def test_many_waits_are_kept_as_a_histogram():
    counters = Counters()
    for _ in range(10_000):
        counters.waited(0.001)
    assert len(counters.waits.recent) < 4096
    assert 0.001 <= counters.waits.quantile(0.5, 10_000) < 0.0012
