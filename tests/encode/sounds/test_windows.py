"""A window of a sound has what the whole sound has there at that rate; what is no sound is a fault, within a bound."""

from __future__ import annotations

import random
import struct
from typing import Any

import numpy as np
import pytest

from pyloader.encode.sounds.windows import SoundFault, read_window

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

from tones import encoded_tone, tone

FORMS = ["WAV", "FLAC", "OGG", "MP3", "AIFF"]
RATES = [8000, 22050, 44100, 48000]


def read(data: Any, num_samples: int | None = None, place: float = 0.0, **options: Any) -> np.ndarray:
    whole = {"sample_rate": 16000, "num_samples": num_samples, "place": place, "channels": 1, "max_seconds": 60.0}
    return read_window(data, **{**whole, **options})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_whole_sound_is_what_was_written_at_another_rate(form: str, rate: int) -> None:
    found = read(encoded_tone(1.0, rate, form))
    assert (found.dtype, len(found)) == (np.float32, 16000)
    lossy = form in ("OGG", "MP3")
    assert np.abs(found - tone(1.0, 16000))[500:-500].max() < (0.1 if lossy else 1e-3)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("rate", RATES)
def test_a_window_is_that_part_of_the_whole(form: str, rate: int) -> None:
    data = encoded_tone(3.0, rate, form)
    whole = read(data)
    last = 1.0 if form != "OGG" else 0.4  # libsndfile is up to 10 ms off in the last page of an Ogg
    for place in (0.0, 0.2 * last, 0.7 * last, 0.999999 * last):
        window = read(data, 4000, place)
        first = int(place * (len(whole) - 4000 + 1))
        assert np.abs(window - whole[first : first + 4000]).max() < 1e-4


def test_a_window_of_a_long_mp3_is_that_part_of_the_whole_too() -> None:
    data = encoded_tone(40.0, 8000, "MP3", rise=20)
    whole = read(data)
    for place in (0.8, 0.9, 0.999999):
        first = int(place * (len(whole) - 4000 + 1))
        assert np.abs(read(data, 4000, place) - whole[first : first + 4000]).max() < 1e-4


def test_a_whole_mp3_is_decoded_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded_tone(3.0, 16000, "MP3")
    for place in range(20):
        read(data, 4000, place / 20)
    assert capfd.readouterr().err == ""


def test_every_place_is_reached_and_the_last_window_ends_with_the_sound() -> None:
    data = encoded_tone(0.01, 16000)
    firsts = {read(data, 157, place / 100).tobytes() for place in range(100)}
    assert len(firsts) == 4
    assert np.array_equal(read(data, 157, 0.9999999), read(data)[-157:])
    assert len(read(data, 1000, 0.5)) == 160


def test_channels_are_averaged_or_two() -> None:
    three = encoded_tone(0.1, 16000, channels=3)
    one, two = encoded_tone(0.1, 16000), encoded_tone(0.1, 16000, channels=2)
    assert np.allclose(read(three), tone(0.1, 16000) * (1 + 1 / 2 + 1 / 3) / 3, atol=1e-4)
    assert np.allclose(read(two, channels=2), np.stack([tone(0.1, 16000), tone(0.1, 16000) / 2], axis=1), atol=1e-4)
    assert np.allclose(read(one, channels=2), np.stack([tone(0.1, 16000)] * 2, axis=1), atol=1e-4)
    with pytest.raises(SoundFault, match="has 3 channels, and mono=False takes one or two"):
        read(three, channels=2)
    assert read(two, channels=2, sample_rate=8000).shape == (800, 2)


def test_what_is_no_sound_is_said() -> None:
    whole = encoded_tone(1.0, 16000, "FLAC")
    for data, complaint in (
        (b"", "is empty"),
        (b"<html>", "is no sound: it begins with b'<html>'"),
        (None, "is NoneType, not the bytes of a sound"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "ends early: its samples are missing"),
        (encoded_tone(1.0, 16000)[:9044], "ends early: 9,000 bytes of samples are there, of 32,000"),
        (whole[:5000], "ends early|cannot be decoded"),
        (encoded_tone(0.0, 16000), "has 0 frames at 16,000 Hz"),
    ):
        with pytest.raises(SoundFault, match=complaint):
            read(data)


def test_values_that_are_no_numbers_are_a_fault() -> None:
    values = struct.pack("<4f", 0.0, float("nan"), 0.0, 0.0)
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64000, 4, 32) + b"data" + struct.pack("<I", 16)
    with pytest.raises(SoundFault, match="holds values that are no numbers"):
        read(b"RIFF" + struct.pack("<I", 4 + len(head) + 16) + head + values)


def test_a_long_sound_is_refused_as_a_whole_and_read_by_windows() -> None:
    data = encoded_tone(3.0, 8000)
    with pytest.raises(SoundFault, match="has 3 seconds, more than max_seconds=2"):
        read(data, max_seconds=2.0)
    assert len(read(data, 16000, 0.5, max_seconds=2.0)) == 16000


def test_a_header_that_promises_more_than_memory_holds_is_refused_before_it_is_taken() -> None:
    flac = bytearray(encoded_tone(0.1, 16000, "FLAC"))
    frames = int.from_bytes(flac[18:26], "big") | (1 << 36) - 1  # the lowest 36 bits are how many frames there are
    flac[18:26] = frames.to_bytes(8, "big")
    with pytest.raises(SoundFault, match="seconds, more than max_seconds"):
        read(bytes(flac))
    with pytest.raises(SoundFault, match="more than 1 GiB"):
        read(bytes(flac), 2**29)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_of_damaged_sounds_comes_a_window_or_a_fault(form: str) -> None:
    noise = random.Random(form)
    data = encoded_tone(0.5, 16000, form)
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(noise.choice((1, 10, 100))):
            damaged[noise.randrange(len(damaged) if noise.random() < 0.5 else 100)] = noise.randrange(256)
        if noise.random() < 0.3:
            del damaged[noise.randrange(len(damaged)) :]
        try:
            found = read(bytes(damaged), noise.choice((None, 2000)), noise.random())
        except SoundFault:
            continue
        assert np.isfinite(found).all()
        assert 0 < len(found) <= 60 * 16000
