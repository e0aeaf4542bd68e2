"""ImageDataset makes one array a batch, and says which rows are no images."""

from __future__ import annotations

import io
import pickle
import sys

import numpy as np
import pytest
from pictures import encoded, noise_jpegs, picture
from PIL import Image

from pyloader import ImageDataset, Ragged, uniform_numbers
from pyloader.encode.images import opening
from pyloader.encode.images.opening import OpenedImage
from pyloader.errors import BadRowsError, BatchEncodeError, MissingDependencyError
from pyloader.machine.memory import counts_tell

JPEGS = noise_jpegs(6)
KEYS = np.random.default_rng(3).integers(0, 2**63, 6).astype(np.uint64)


@pytest.fixture(params=["turbo", "pillow"])
def images(request):
    """Return a function that encodes a batch of images with an ImageDataset."""
    if request.param == "turbo":
        pytest.importorskip("simplejpeg")
        pytest.importorskip("cykooz_resizer")

    def encode(column=JPEGS, keys=KEYS, **options):
        return ImageDataset(decoder=request.param, **options).batch_encode({"image": column, "label": LABELS}, keys)

    return encode


LABELS = np.arange(6)


@pytest.mark.parametrize(
    ("options", "shape", "dtype"),
    [
        ({"size": 32}, (6, 32, 32, 3), "uint8"),
        ({"size": (20, 24), "crop": None}, (6, 20, 24, 3), "uint8"),
        ({"size": (20, 24), "crop": "center", "layout": "NCHW"}, (6, 3, 20, 24), "uint8"),
        ({"size": 16, "dtype": "float32"}, (6, 16, 16, 3), "float32"),
    ],
)
def test_a_batch_is_one_array_and_other_columns_stay(images, options, shape, dtype):
    batch = images(**options)
    assert (batch["image"].shape, batch["image"].dtype) == (shape, np.dtype(dtype))
    assert batch["image"].flags.c_contiguous
    assert batch["label"] is LABELS


@pytest.mark.parametrize(
    "column", [Ragged.from_rows(JPEGS), Ragged.from_rows([np.frombuffer(it, np.uint8) for it in JPEGS])]
)
def test_bytes_may_be_ragged_or_a_ragged_column_of_uint8(images, column):
    assert np.array_equal(images(column, size=16)["image"], images(size=16)["image"])


def test_layouts_and_dtypes_show_the_same_pixels(images):
    pixels = images(size=(20, 30))["image"]
    assert np.array_equal(images(size=(20, 30), layout="NCHW")["image"].transpose(0, 2, 3, 1), pixels)
    assert np.array_equal(images(size=(20, 30), dtype="float32")["image"], pixels * np.float32(1 / 255))


def test_a_row_shows_what_its_key_says_whatever_the_batch(images):
    whole = images(size=24)["image"]
    turned = images(JPEGS[::-1], KEYS[::-1], size=24)["image"]
    assert np.array_equal(whole, turned[::-1])
    assert not np.array_equal(whole, images(keys=KEYS ^ np.uint64(1), size=24)["image"])


def test_half_of_the_rows_are_mirrored_and_with_flip_off_none(images):
    keys = np.random.default_rng(0).integers(0, 2**63, 200).astype(np.uint64)
    column = [JPEGS[0]] * 200
    options = {"size": 12, "scale": (1, 1), "ratio": (4 / 3, 4 / 3)}
    as_it_is = images(column[:1], keys[:1], flip=False, **options)["image"][0]
    pixels = images(column, keys, **options)["image"]
    mirrored = (pixels == as_it_is[:, ::-1]).all(axis=(1, 2, 3))
    assert 70 < mirrored.sum() < 130
    assert (mirrored | (pixels == as_it_is).all(axis=(1, 2, 3))).all()
    assert (images(column, keys, flip=False, **options)["image"] == as_it_is).all()


def test_the_middle_and_the_whole_are_never_mirrored_and_need_no_keys(images):
    for crop in ("center", None):
        assert np.array_equal(images(keys=None, size=16, crop=crop)["image"], images(size=16, crop=crop)["image"])
    with pytest.raises(BatchEncodeError, match=r"draws from the rows' keys, and there are none\. Use crop='center'"):
        images(keys=None)


@pytest.mark.parametrize("shorter_side", [None, 40])
def test_the_middle_is_that_of_a_resized_image(images, shorter_side):
    pixels = picture(120, 90)
    (shown,) = images([encoded(pixels, "PNG")], size=32, crop="center", shorter_side=shorter_side)["image"]
    side = shorter_side or 32
    resized = Image.fromarray(pixels).resize((side * 120 // 90, side), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 32) / 2), round((side - 32) / 2)
    expected = np.asarray(resized.crop((left, top, left + 32, top + 32)))
    assert np.abs(shown.astype(int) - expected).max() <= 2  # 160 x 120 of 120 x 90 is not exactly 4 / 3 everywhere


@pytest.mark.slow
def test_a_large_jpeg_that_is_decoded_smaller_looks_as_if_it_was_not(images):
    data = encoded(picture(800, 600))
    (shown,) = images([data], size=(75, 100), crop=None)["image"]
    (as_png,) = images([encoded(Image.open(io.BytesIO(data)), "PNG")], size=(75, 100), crop=None)["image"]
    apart = np.abs(shown.astype(int) - as_png)
    assert apart.mean() < 1.5
    assert np.quantile(apart, 0.99) < 16


@pytest.mark.parametrize("size", [(300, 30), (30, 300), (100, 101)])
def test_a_jpeg_of_which_all_pixels_are_wanted_one_way_is_decoded_whole(images, size):
    data = encoded(picture(200, 200))
    as_png = encoded(Image.open(io.BytesIO(data)), "PNG")
    shown = [images([it], size=size, crop=None)["image"].astype(int) for it in (data, as_png)]
    assert np.abs(shown[0] - shown[1]).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(800, 160), (160, 800)])
def test_the_middle_of_a_jpeg_that_is_decoded_smaller_is_the_middle(images, width, height):
    data = encoded(picture(width, height))
    as_png = encoded(Image.open(io.BytesIO(data)), "PNG")
    shown = [images([it], size=40, crop="center")["image"].astype(int) for it in (data, as_png)]
    assert np.abs(shown[0] - shown[1]).mean() < 3


def test_rows_that_are_left_out_change_no_pixel(monkeypatch):
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    column = [encoded(picture(*shape)) for shape in ((160, 120), (41, 30), (60, 200))]
    for crop in ("random", "center"):
        dataset = ImageDataset(size=(16, 30), crop=crop, decoder="turbo")
        with_few = [dataset.batch_encode({"image": column}, keys)["image"] for keys in (KEYS[:3], KEYS[3:])]
        with monkeypatch.context() as patch:
            patch.setattr(opening, "with_fewer_rows", lambda *given: None)
            with_all = [dataset.batch_encode({"image": column}, keys)["image"] for keys in (KEYS[:3], KEYS[3:])]
        assert np.array_equal(with_few, with_all)


def test_without_a_size_each_image_keeps_its_own(images):
    batch = images(size=None, keys=None)
    for data, pixels, shape in zip(JPEGS, batch["image"], batch["image_shape"], strict=True):
        assert np.array_equal(pixels.reshape(shape), np.asarray(Image.open(io.BytesIO(data))))


def test_an_own_augmentation_gets_pixels_and_keys_and_replaces_the_pixels(images):
    def darker(pixels, keys):
        return (pixels * uniform_numbers(keys, 1)[:, :, None, None]).astype(np.float32)

    pixels = images(size=8)["image"]
    assert np.array_equal(images(size=8, augment=darker)["image"], darker(pixels, KEYS))


def test_several_threads_call_it_unless_the_augmentation_does_not_say_that_they_may():
    class Augments:
        is_thread_safe = False

        def __call__(self, pixels, keys):
            return pixels

    augment = Augments()
    assert ImageDataset().is_thread_safe and not ImageDataset(augment=augment).is_thread_safe
    augment.is_thread_safe = True
    assert ImageDataset(augment=augment).is_thread_safe


def test_as_many_pixels_as_may_be_are_taken_and_not_one_more(images):
    column = [encoded(picture(5, 4))] * 6
    assert len(images(column, size=2, max_pixels=20)["image"]) == 6
    with pytest.raises(BadRowsError, match="has 5 x 4 pixels, more than max_pixels=19"):
        images(column, size=2, max_pixels=19)


def test_all_bad_rows_are_told_in_one_call(images):
    column = [JPEGS[0], b"", JPEGS[1][:200], JPEGS[2], None]
    for size in (8, None):
        with pytest.raises(
            BadRowsError, match=r"^row 1 of the batch: 'image' is empty.*; 2 more of the batch cannot"
        ) as got:
            images(column, KEYS[:5], size=size)
        assert list(got.value.bad_rows) == [1, 2, 4]


def test_a_row_whose_pixels_are_cut_is_told_as_one_whose_header_is(images):
    cut = encoded(picture(40, 30), "PNG")[:-400]
    for size in (16, None):
        with pytest.raises(BadRowsError) as got:
            images([*JPEGS[:3], cut, *JPEGS[4:]], size=size)
        assert list(got.value.bad_rows) == [3]


@pytest.mark.parametrize(("size", "divisor"), [(17, 1), (16, 2), (9, 2), (8, 4), (5, 4), (4, 8), (2, 8)])
def test_a_jpeg_is_decoded_smaller_as_far_as_it_has_the_pixels(images, monkeypatch, size, divisor):
    divisors, pixels = [], OpenedImage.pixels

    def noting(image, divisor, *given, **options):
        divisors.append(divisor)
        return pixels(image, divisor, *given, **options)

    monkeypatch.setattr(OpenedImage, "pixels", noting)
    images([encoded(picture(32, 48))] * 6, size=size, crop=None)
    assert divisors == [divisor] * 6


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(BatchEncodeError, match=r"there is no column 'image' of images, but 'jpg', 'cls'\. Name it"):
        ImageDataset(decoder="pillow").batch_encode({"jpg": JPEGS, "cls": LABELS}, KEYS)


def test_the_memory_of_a_batch_is_used_again():
    if not counts_tell():
        pytest.skip("reference counts do not tell here")
    dataset = ImageDataset(decoder="pillow", size=128)
    first = dataset.batch_encode({"image": JPEGS}, KEYS)["image"]
    address = first.ctypes.data
    second = dataset.batch_encode({"image": JPEGS}, KEYS)["image"]
    assert second.ctypes.data != address
    size = first.nbytes
    del first
    others = [np.ones(size, np.uint8) for _ in range(3)]  # what is freed would be taken by these
    assert not any(other.ctypes.data == address for other in others)
    assert dataset.batch_encode({"image": JPEGS}, KEYS)["image"].ctypes.data == address


def test_a_dataset_can_be_sent_to_another_process():
    dataset = ImageDataset(size=16, crop="center")
    sent = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(sent.batch_encode({"image": JPEGS})["image"], dataset.batch_encode({"image": JPEGS})["image"])


def test_both_decoders_show_the_same_within_one_level():
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    large = [encoded(picture(400, 300, seed=seed)) for seed in range(6)]
    for column in (JPEGS, large):
        turbo, pillow = (
            ImageDataset(size=64, decoder=name).batch_encode({"image": column}, KEYS)["image"].astype(int)
            for name in ("turbo", "pillow")
        )
        assert np.abs(turbo - pillow).max() <= 1


def test_auto_is_pillow_where_the_others_are_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert ImageDataset().decoder == "pillow"
    with pytest.raises(MissingDependencyError, match=r"decoder='turbo'\) needs 'simplejpeg'.*: pip install simplejpeg"):
        ImageDataset(decoder="turbo")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"size must be at least 1, or \(height, width\), got 0"),
        ({"crop": "middle"}, "crop must be 'random', 'center' or None, got 'middle'"),
        ({"scale": (0, 1)}, "scale must be two parts of the area"),
        ({"scale": (0.5, 0.2)}, "scale must be two parts of the area"),
        ({"ratio": (2, 1)}, "ratio must be two ratios"),
        ({"layout": "HWC"}, "layout must be 'NHWC' or 'NCHW'"),
        ({"dtype": "float16"}, "dtype must be 'uint8' or 'float32'"),
        ({"size": None, "layout": "NCHW"}, "size=None gives rows of unequal length"),
        ({"decoder": "opencv"}, "decoder must be 'auto', 'turbo' or 'pillow'"),
        ({"max_pixels": 0}, "max_pixels must be at least 1"),
        ({"shorter_side": 256}, "shorter_side=256 wants crop='center'"),
        (
            {"shorter_side": 100, "crop": "center"},
            "shorter_side=100 wants crop='center', and a size that is not larger",
        ),
    ],
)
def test_an_option_that_is_none_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImageDataset(**options)
