"""Images that are larger than they are needed become smaller JPEGs, once; others stay as they are, byte for byte."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from products import drawn

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.errors import MissingDependencyError, SplitError
from pyloader.write import split
from pyloader.write.scaling_down import scaled_down

Image = pytest.importorskip("PIL.Image")

TURNED = 0x0112  # the tag of EXIF that says which way is up


def smooth(width: int, height: int) -> Any:
    """Return an image whose colours change evenly: scaled in any way, it looks the same."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return Image.fromarray((np.stack([x, y, (x + y) / 2], axis=-1) * 255).astype(np.uint8))


def encoded(image: Any, form: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), np.int16)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WebP", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(400, 200), (200, 400), (101, 100)])
def test_a_large_image_becomes_a_jpeg_of_the_same_look_with_that_side(form: str, size: tuple[int, int]) -> None:
    data = scaled_down(encoded(smooth(*size), form), 100, 90)
    assert data.startswith(b"\xff\xd8\xff")
    found = pixels(data)
    scale = 100 / max(size)
    assert found.shape == (round(size[1] * scale), round(size[0] * scale), 3)
    assert np.abs(found - np.asarray(smooth(found.shape[1], found.shape[0]), np.int16)).mean() < 4


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_an_image_that_is_small_enough_stays_as_it_is(form: str) -> None:
    data = encoded(smooth(100, 60), form)
    assert scaled_down(data, 100, 50) == data


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16", "CMYK"])
def test_every_kind_of_pixels_keeps_its_look(mode: str) -> None:
    whole = smooth(300, 150).convert("L")
    image = whole.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(whole).astype(np.uint16) * 257)
    data = encoded(image, "TIFF")
    found = pixels(scaled_down(data, 60, 95))
    assert found.shape == (30, 60, 3)
    assert np.abs(found - np.asarray(whole.resize((60, 30)).convert("RGB"), np.int16)).mean() < (
        20 if mode == "1" else 4
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_that_exif_turns_is_upright_and_has_no_exif(orientation: int) -> None:
    exif = Image.Exif()
    exif[TURNED] = orientation
    data = encoded(smooth(200, 100), exif=exif)
    made = scaled_down(data, 50, 95)
    with Image.open(io.BytesIO(made)) as image:
        assert image.size == ((50, 25) if orientation < 5 else (25, 50))
        assert not image.getexif()
    from PIL import ImageOps

    with Image.open(io.BytesIO(data)) as image:
        shown = ImageOps.exif_transpose(image).resize((50, 25) if orientation < 5 else (25, 50))
    assert np.abs(pixels(made) - np.asarray(shown, np.int16)).mean() < 4


def test_what_cannot_be_decoded_is_said() -> None:
    whole = encoded(smooth(300, 300), "PNG")
    with pytest.raises(ValueError, match="cannot be decoded"):
        scaled_down(whole[:100] + bytes(len(whole) - 200) + whole[-100:], 100, 90)
    with pytest.raises(ValueError, match=r"cannot be decoded \(Pillow finds no GIF in it\)"):
        scaled_down(b"GIF8xa\xff\0\xff\0" + bytes(40), 100, 90)
    bomb = bytearray(encoded(smooth(8, 8), "PNG"))
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="has 30,000 x 30,000 pixels, and 178,956,970 are decoded at most"):
        scaled_down(bytes(bomb), 100, 90)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for number in range(12):
        path = Path(f"photos/{'ab'[number % 2]}/{number}.{('jpg', 'png')[number % 3 == 0]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        form = "PNG" if path.suffix == ".png" else "JPEG"
        path.write_bytes(encoded(smooth(40 + 10 * number, 50), form))


@pytest.mark.usefixtures("photos")
def test_images_are_scaled_down_while_they_are_split() -> None:
    pytest.importorskip("pyarrow")
    split("photos", "chunks", max_side=80, quality=80)
    with DataLoader(data_dir="chunks", batch_size=12, shuffle=False, num_epochs=1) as loader:
        (batch,) = loader
    for name, data in zip(batch["name"], batch["image"], strict=True):
        number = int(Path(name).stem)
        assert max(pixels(data).shape) == min(80, max(50, 40 + 10 * number))
        assert (data == Path("photos", name).read_bytes()) is (40 + 10 * number <= 80)


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    "engine", drawn([{"engine": "thread", "workers": 3}, {"engine": "process", "workers": 2}], 1), ids=str
)
def test_every_engine_writes_the_same_bytes(engine: Any, tmp_path: Path, tree: Any) -> None:
    pytest.importorskip("pyarrow")
    options = {"max_side": 64, "shuffle": True, "num_chunks": 3}
    split("photos", "chunks", engine="inline", **options)
    expected = tree(tmp_path / "chunks")
    split("photos", "chunks", overwrite=True, **options, **engine)
    assert tree(tmp_path / "chunks") == expected


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_a_damaged_large_image_is_a_bad_row() -> None:
    pytest.importorskip("pyarrow")
    whole = Path("photos/a/6.png").read_bytes()
    Path("photos/a/6.png").write_bytes(whole[:60] + bytes(len(whole) - 120) + whole[-60:])
    split("photos", "kept")  # its header is whole, and nothing is decoded
    with pytest.raises(SplitError, match=r"photos/a/6\.png:1: cannot be decoded \("):
        split("photos", "chunks", max_side=80)
    report = split("photos", "chunks", max_side=80, max_skipped=1)
    assert (report.num_skipped, report.outputs[0].num_samples) == (1, 11)


@pytest.mark.usefixtures("photos")
def test_sizes_that_make_no_sense_and_a_missing_library_are_said(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for options, complaint in (
        ({"max_side": 0}, "max_side must be at least 1 pixel, got 0"),
        ({"max_side": 9, "quality": 96}, "quality must be 1 to 95, got 96"),
        ({"quality": 50}, "quality is that of images that are scaled down"),
    ):
        with pytest.raises(ValueError, match=complaint):
            split("photos", "chunks", **options)
    assert main(["split", "photos", "chunks/", "--quality", "50"]) == 2
    assert "give max_side as well" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingDependencyError, match="--max-side needs 'pillow', which is not installed"):
        split("photos", "chunks", max_side=60, engine="inline")


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_what_is_held_out_and_what_is_unique_is_told_by_the_files_before_they_are_scaled() -> None:
    pytest.importorskip("pyarrow")
    Path("photos/b/again.png").write_bytes(Path("photos/a/0.png").read_bytes())
    names = []
    for place, options in (("as they are", {}), ("smaller", {"max_side": 45}), ("smallest", {"max_side": 20})):
        report = split("photos", place, holdout={"val": 0.4}, unique="image", **options)
        assert report.num_duplicates == 1
        with DataLoader(data_dir=f"{place}/val", batch_size=12, shuffle=False, num_epochs=1) as loader:
            names.append([name for batch in loader for name in batch["name"]])
    assert names[0] == names[1] == names[2]
    assert names[0]
