"""What a batch is: usual items become arrays, in the form that the items have; errors say which part is not alike."""

from __future__ import annotations

from collections import UserDict, namedtuple

import numpy as np
import pytest

from pyloader import DataCollator, NumpyDataCollator, PaddingDataCollator
from pyloader.errors import CollateError
from pyloader.indexed import DataLoader, Dataset, InMemoryDataset, RangeDataset

Pair = namedtuple("Pair", "x y")


class Made(Dataset):
    """Item i is make(i)."""

    def __init__(self, make, length=3):
        self.make, self.length = make, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.make(index)


def batch_of(make, length=3, **options):
    with DataLoader(Made(make, length), batch_size=length, shuffle=False, num_workers=0, **options) as loader:
        return next(loader)


def assert_same(found, expected):
    """Compare values, dtypes and kinds, all the way down."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            assert_same(mine, theirs)
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    else:
        assert found == expected


IMAGES = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
LABELS = np.arange(3)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda i: {"image": IMAGES[i], "label": i}, {"image": IMAGES, "label": LABELS}),
        (lambda i: UserDict(image=IMAGES[i]), {"image": IMAGES}),
        (lambda i: (IMAGES[i], i), (IMAGES, LABELS)),
        (lambda i: Pair(i, i / 2), Pair(LABELS, LABELS / 2)),
        (lambda i: (IMAGES[i, 0], IMAGES[i, 1].astype(int)), (IMAGES[:, 0], IMAGES[:, 1].astype(int))),
        (lambda i: (i, i == 1, i / 2, 1j * i), (LABELS, LABELS == 1, LABELS / 2, LABELS * 1j)),
        (lambda i: (np.int8(i), np.float16(i)), (LABELS.astype(np.int8), LABELS.astype(np.float16))),
        (lambda i: {"d": np.datetime64(i, "D")}, {"d": LABELS.astype("datetime64[D]")}),
        (lambda i: {"name": "abc"[i], "raw": b"abc"[: i + 1]}, {"name": ["a", "b", "c"], "raw": [b"a", b"ab", b"abc"]}),
        (lambda i: {"none": None, "kind": [None, "a", None][i]}, {"none": [None] * 3, "kind": [None, "a", None]}),
        (
            lambda i: {"box": {"at": (i, 0.5)}, "ids": [i, i]},
            {"box": {"at": (LABELS, np.full(3, 0.5))}, "ids": np.stack([LABELS] * 2, 1)},
        ),
        (lambda i: ({"x": i}, Pair("a", i)), ({"x": LABELS}, Pair(["a"] * 3, LABELS))),
        (lambda i: [{"x": 1}] * i, [[], [{"x": 1}], [{"x": 1}] * 2]),
        (lambda i: IMAGES[i], IMAGES),
        (lambda i: i, LABELS),
        (lambda i: {}, {}),
        (lambda i: (), LABELS.reshape(3, 1)[:, :0]),
    ],
)
def test_usual_items_become_arrays_in_the_form_that_the_items_have(make, expected):
    assert_same(batch_of(make), expected)


def test_a_list_that_holds_arrays_goes_by_part_and_merges_nothing():
    image, label = batch_of(lambda i: [IMAGES[i, 0], np.array([i, i])])
    assert (image.dtype, label.dtype) == (np.float32, np.int64)


def test_items_come_the_same_way_through_map_zip_and_streams():
    expected = {"x": LABELS, "pair": (LABELS, ["a"] * 3)}
    items = RangeDataset(3).map(lambda i: {"x": i, "pair": (i, "a")})
    for dataset in (items, list(items), items.cache(), items.concatenate(items)):
        with DataLoader(dataset, batch_size=3, shuffle=False) as loader:
            assert_same(next(loader), expected)
    with DataLoader(RangeDataset(3).zip(["a"] * 3), items, batch_size=3, shuffle=False) as loader:
        assert_same(next(loader), {"data": (LABELS, ["a"] * 3), "label": expected})


def test_columns_stay_what_the_dataset_says():
    columns = {"x": IMAGES, "n": [1, 2, 3], "meta": [{"a": 1}, None, {"b": 2}], "text": ["a", "b", "c"]}
    with DataLoader(InMemoryDataset(columns), batch_size=3, shuffle=False) as loader:
        assert_same(next(loader), {**columns, "n": LABELS + 1})


def test_arrays_are_the_objects_that_the_dataset_gave():
    given = []

    class Keeping(InMemoryDataset):
        def take(self, indices):
            given.append(super().take(indices))
            return given[-1]

    with DataLoader(Keeping(IMAGES), batch_size=3, num_workers=0) as loader:
        assert next(loader) is given[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda i: {"image": np.zeros((i + 1, 2))},
            r"'image' has rows of shape \[1, 2\] to \[3, 2\]\. Write datacollator=",
        ),
        (
            lambda i: (np.zeros((i + 1, i)), i),
            r"'item\[0\]' has rows of shape .*\. Make them alike in the dataset, or write ",
        ),
        (
            lambda i: {"a": {"ids": [0] * i}},
            r"'a\.ids' has rows of 0 to 2 numbers\. Write datacollator=pyloader\.Padding",
        ),
        (
            lambda i: {"age": [1, None, 3][i]},
            r"'age' has None among numbers, in row 1\. Mend it in the dataset, or write tr",
        ),
        (lambda i: 2**70, r"'item' has 1180591620717411303424 in row 0, beyond int64\. Mend it in the dataset"),
        (lambda i: {"a": 1} if i else {}, r"'item' has the keys 'a' in row 1, and none before it\. Make them alike"),
        (lambda i: {"m": {"a": 1} if i else 5}, r"'m' has a value of type dict among numbers, in row 1"),
        (
            lambda i: {"m": 5 if i else {"a": 1}},
            r"'m' has an item of type int in row 1, where others are dicts\. Make them",
        ),
        (lambda i: (1, 2) if i else None, r"'item' has None in row 0, where others are tuples"),
        (lambda i: (1,) * (i + 1), r"'item' has a tuple of 2 in row 1, and of 1 before it"),
        (
            lambda i: IMAGES[0].astype("f4" if i else "f8"),
            r"'item' has rows of float32 and of float64\. Mend it in the data",
        ),
    ],
)
def test_an_error_names_the_part_and_advises_what_there_is(make, message):
    with pytest.raises(CollateError, match=message) as caught:
        batch_of(make)
    assert "batch_encode" not in str(caught.value)
    # The way out that every one of them names:
    assert len(batch_of(make, transform=lambda rows: rows)) == 3


def test_the_padding_that_an_error_advises_helps():
    collator = PaddingDataCollator(pad_value=0)
    assert batch_of(lambda i: {"image": np.zeros((i + 1, 2))}, datacollator=collator)["image"].shape == (3, 3, 2)
    ids, labels = batch_of(lambda i: ([1] * i, i), datacollator=collator)
    assert ids.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert labels.tolist() == [0, 1, 2]
    assert batch_of(lambda i: Pair([1] * i, i), datacollator=collator).x.shape == (3, 2)


def test_a_padding_that_cannot_help_does_not_advise_itself():
    for options in ({}, {"datacollator": PaddingDataCollator(pad_value=0)}):
        with pytest.raises(CollateError, match=r"'x' has rows of shape .*\. Make them alike in the dataset"):
            batch_of(lambda i: {"x": np.zeros((i + 1, i + 1))}, **options)
    with pytest.raises(CollateError, match="truncate=True cuts them"):
        batch_of(lambda i: {"x": [0] * i}, datacollator=PaddingDataCollator(length=1))


def test_a_datacollator_gets_the_values_of_dicts_by_key_and_of_tuples_by_place():
    class Keeping(DataCollator):
        def collate_batch(self, columns):
            return columns

    assert batch_of(lambda i: {"x": i, "y": "a"}, datacollator=Keeping()) == {"x": [0, 1, 2], "y": ["a"] * 3}
    assert batch_of(lambda i: (i, "a"), datacollator=Keeping()) == ([0, 1, 2], ["a"] * 3)
    assert batch_of(lambda i: i, datacollator=Keeping()) == {"data": [0, 1, 2]}
    masked = batch_of(lambda i: ([i] * i, "a"), datacollator=PaddingDataCollator(mask=True))
    assert list(masked) == ["0", "0_mask", "1"]
    dtypes = NumpyDataCollator(dtypes={"x": "float32"})
    assert batch_of(lambda i: {"x": i}, datacollator=dtypes)["x"].dtype == np.float32


def test_dict_items_can_be_padded_with_a_mask_and_skipped():
    batches = list(DataLoader(Made(lambda i: {"x": i}, 5), batch_size=3, shuffle=False, num_epochs=1, last_batch="pad"))
    assert batches[1]["x"].tolist() == [3, 4, 4]
    assert batches[1]["mask"].tolist() == [True, True, False]


class Tensor:
    """As much of another library's array as there is to see."""

    def __init__(self, array, error=None):
        self.array, self.error, self.shape, self.dtype = array, error, array.shape, array.dtype

    def __array__(self, dtype=None, copy=None):
        if self.error:
            raise self.error
        return self.array


def test_tensors_of_other_libraries_become_arrays():
    assert_same(batch_of(lambda i: (Tensor(IMAGES[i]), i)), (IMAGES, LABELS))
    padded, _ = batch_of(lambda i: (Tensor(LABELS[:i]), i), datacollator=PaddingDataCollator())
    assert padded.shape == (3, 2)
    with pytest.raises(
        CollateError, match=r"'x' has a Tensor that is no NumPy array \(on a GPU\)\. Give arrays, or tensors"
    ) as caught:
        batch_of(lambda i: {"x": Tensor(IMAGES[i], TypeError("on a GPU"))})
    assert str(caught.value).count("transform=") == 1
