"""Stacking arrays: a view where they are neighbours, else a copy; never anything but what they hold."""

import numpy as np
import pytest

pytest.importorskip("jax")

from pyloader.jax.chunk_source import stacked

pytestmark = pytest.mark.frameworks

WHOLE = np.arange(48.0).reshape(12, 4)


@pytest.mark.parametrize(
    ("arrays", "is_view"),
    [
        ([WHOLE[0:3], WHOLE[3:6], WHOLE[6:9]], True),
        ([WHOLE[3:6]], True),
        ([WHOLE[0:3], WHOLE[6:9]], False),
        ([WHOLE[3:6], WHOLE[0:3]], False),
        ([WHOLE[0:3], WHOLE.copy()[3:6]], False),
        ([WHOLE[0:3], WHOLE[3:9:2]], False),
        ([WHOLE[0:6:2], WHOLE[6:12:2]], False),
        ([WHOLE[0:3].copy(), WHOLE[3:6].copy()], False),
        ([WHOLE[:, 0:2], WHOLE[:, 2:4]], False),
        ([WHOLE.T[0:2], WHOLE.T[2:4]], False),
    ],
)
def test_neighbours_are_seen_and_all_others_copied(arrays, is_view):
    found = stacked(arrays)
    np.testing.assert_array_equal(found, np.stack(arrays))
    assert np.shares_memory(found, WHOLE) == is_view
    assert found.flags.writeable != is_view
