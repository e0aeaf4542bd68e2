"""What a Dataset misses in a batch is said in one way."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.encode.needed import needed_column, needed_keys, refuse_rows
from pyloader.errors import BadRowsError, BatchEncodeError


def test_a_column_that_is_missing_is_named_with_those_that_are_there():
    columns = {"jpg": [b"1"], "cls": [1]}
    assert needed_column(columns, "jpg", what_for="of images", hint="") is columns["jpg"]
    with pytest.raises(BatchEncodeError, match=r"^there is no column 'image' of images, but 'jpg', 'cls'\. Name it$"):
        needed_column(columns, "image", what_for="of images", hint="Name it")


def test_without_keys_the_crop_that_needs_none_is_named():
    keys = np.zeros(1, np.uint64)
    assert needed_keys(keys, instead="center") is keys
    with pytest.raises(BatchEncodeError, match=r"and there are none\. Use crop='center'$"):
        needed_keys(None, instead="center")


def test_bad_rows_are_refused_together_each_with_the_column():
    refuse_rows({}, "jpg")
    with pytest.raises(BadRowsError, match=r"Mend them$") as raised:
        refuse_rows({4: "is empty", 1: "is cut"}, "jpg", "Mend them")
    assert raised.value.bad_rows == {1: "'jpg' is cut", 4: "'jpg' is empty"}
