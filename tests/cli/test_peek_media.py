"""What columns of images and sounds hold is told in one line; long bytes are never shown whole; a sheet shows some."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter, Ragged
from pyloader.cli.main import main
from pyloader.inspecting.contact_sheet import CELLS, contact_sheet
from pyloader.inspecting.contents import tally_columns
from pyloader.inspecting.media import MediaSummary, MediaTally, shown_bytes
from pyloader.write import split

Image = pytest.importorskip("PIL.Image")

WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(100)


def encoded(colour: str, size: tuple[int, int] = (30, 20), form: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form)
    return file.getvalue()


def summaries(*parts: Any) -> tuple[MediaSummary, ...]:
    tally = MediaTally()
    assert len(list(tally.watch(parts))) == len(parts)
    return tally.summaries()


def test_images_are_counted_by_format_and_measured_over_all_parts() -> None:
    images = [encoded("red"), encoded("red", (8, 9)), None]
    more = Ragged.from_rows([encoded("red", (300, 200), "PNG"), b"no image", encoded("red")])
    found = summaries({"image": images, "x": np.arange(3)}, {"image": more, "x": np.arange(3)})
    assert found == (
        MediaSummary(
            name="image", kind="images", formats={"JPEG": 3, "PNG": 1}, num_others=1,
            smallest=(8, 9), middle=(30, 20), largest=(300, 200),
        ),
    )  # fmt: skip


def test_sounds_are_counted_and_other_bytes_are_neither() -> None:
    found = summaries({"audio": [WAV, b"fLaC" + bytes(9), WAV], "blob": [b"1", b"2", WAV], "text": ["a", "b", "c"]})
    assert found == (MediaSummary(name="audio", kind="audio", formats={"WAV": 2, "FLAC": 1}, num_others=0),)


def test_bytes_are_shown_by_what_they_are_and_how_many() -> None:
    assert shown_bytes(b"short") == "b'short'"
    assert shown_bytes(bytes(3000)) == f"{bytes(24)!r}… 3,000 bytes"
    assert shown_bytes(encoded("red", (8, 9), "PNG")).startswith("PNG, 8 x 9 pixels, ")
    assert shown_bytes(WAV) == "WAV, 116 bytes"


def test_long_bytes_are_not_kept_to_tell_them_apart() -> None:
    (long,) = tally_columns([{"image": [bytes(5000), bytes(5000)]}])
    assert (long.num_different, long.largest) == (None, 5000)
    (short,) = tally_columns([{"hash": [bytes(16), bytes(16)]}])
    assert short.num_different == 1


@pytest.fixture
def chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Photos of two labels, in order."""
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for number in range(60):
        path = Path(f"photos/{'ab'[number // 30]}/{number:02}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded("red" if number < 30 else "blue"))
    split("photos", "chunks", chunk_samples=6)
    return "chunks"


def test_the_screen_tells_images_and_prints_no_bytes(chunks: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peek", chunks, "--all"]) == 0
    screen = capsys.readouterr().out
    assert "  image: 60 images (60 JPEG), all 30 x 20 pixels\n" in screen
    assert "  image   JPEG, 30 x 20 pixels, " in screen
    assert "xff" not in screen
    assert 'decode    add dataset=ImageDataset("image", size=224)' in screen
    assert main(["peek", chunks, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["media"][0]["formats"] == {"JPEG": 6}
    assert found["samples"][0]["image"]["num_bytes"] == len(encoded("red"))


@pytest.mark.slow
def test_a_sheet_shows_images_of_chunks_far_apart_with_their_labels(
    chunks: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    captions: list[str] = []

    def seen(images: list[tuple[bytes, str]]) -> bytes:
        captions.extend(text for _, text in images)
        return contact_sheet(images)

    monkeypatch.setattr("pyloader.cli.peek.contact_sheet", seen)
    assert main(["peek", chunks, "--sheet", "sheet.png", "-q"]) == 0
    assert "sheet     sheet.png: 40 images" in capsys.readouterr().out
    assert len(captions) == CELLS
    assert captions == sorted(captions)
    assert set(captions) == {"a", "b"}
    with Image.open("sheet.png") as sheet:
        assert sheet.format == "PNG"
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(10**6)}
    assert {(254, 0, 0), (0, 0, 254)} <= colours


def test_a_sheet_of_what_cannot_be_decoded_says_so_and_of_no_images_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = encoded("red", (30, 20), "PNG")
    bomb = bytearray(whole)
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    for data in (
        bytes(bomb),
        b"",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
        whole[:40] + bytes(20) + whole[-30:],
    ):
        with Image.open(io.BytesIO(contact_sheet([(data, "na\u00efve \u732b " * 9)]))) as sheet:
            assert (225, 228, 232) in {colour for _, colour in sheet.getcolors(10**6)}
    with ChunkWriter("numbers") as writer:
        writer.write({"number": 1})
    assert main(["peek", "numbers", "--sheet", "sheet.jpg"]) == 2
    assert "--sheet sheet.jpg: a sheet is a PNG file. Write --sheet sheet.png" in capsys.readouterr().err
    assert main(["peek", "numbers", "--sheet", "sheet.png"]) == 2
    assert "--sheet: there is no column of images. There are: number" in capsys.readouterr().err
