"""The first bytes of a sound say which format it is."""

from __future__ import annotations

import io
import struct

import pytest

from pyloader.files.sound_headers import SoundHeaderError, check_sound, sound_format


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "WAV"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "WAV"),
        (b"FORM\0\0\0\0AIFFCOMM", "AIFF"),
        (b"fLaC\0\0\0\x22", "FLAC"),
        (b"OggS\0\x02", "OGG"),
        (b"ID3\x04\0\0", "MP3"),
        (b"\xff\xfb\x90\x64", "MP3"),
        (b"\xff\xf3\x48\xc4", "MP3"),
    ],
)
def test_a_format_is_known_by_its_first_bytes(head: bytes, found: str) -> None:
    assert sound_format(head) == found


@pytest.mark.parametrize(
    "head", [b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff\xe0", b"<html>", b"\xff\xff\xff", b"\xff\xeb\x90"]
)
def test_what_is_no_sound_is_said(head: bytes) -> None:
    with pytest.raises(SoundHeaderError, match="is no sound: it begins with b"):
        sound_format(head)
    with pytest.raises(SoundHeaderError, match="is empty"):
        sound_format(b"")


@pytest.mark.parametrize("name", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_what_soundfile_writes_is_known(name: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, [0.0, 0.5] * 2000, 16000, format=name)
    assert sound_format(file.getvalue()) == name


def wav(num_said: int, num_there: int, *, before: bytes = b"") -> bytes:
    """A sound of so many bytes by its header, and of so many in fact; `before` is a block that stands before them."""
    blocks = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + before
    return b"RIFF\xff\xff\xff\xffWAVE" + blocks + b"data" + struct.pack("<I", num_said) + bytes(num_there)


def test_a_sound_whose_end_is_missing_is_told_from_a_whole_one() -> None:
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    aiff = b"FORM\0\0\0\x40AIFFSSND" + struct.pack(">I", 10)
    for whole in (
        wav(10, 10),
        wav(10, 12, before=odd),
        wav(0xFFFFFFFF, 5),
        wav(0x7FFFF000, 5),
        wav(0, 5),
        aiff + bytes(10),
    ):
        check_sound(whole)
    for cut in (wav(10, 9), wav(10, 9, before=odd), aiff + bytes(9)):
        with pytest.raises(SoundHeaderError, match="ends early: 9 bytes of samples are there, of 10"):
            check_sound(cut)
    for none in (wav(10, 10)[:20], wav(10, 10, before=b"junk" + struct.pack("<I", 99)), wav(1, 1, before=bytes(8000))):
        with pytest.raises(SoundHeaderError, match="ends early: its samples are missing"):
            check_sound(none)


@pytest.mark.parametrize("name", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "RF64", "WAVEX"])
def test_what_soundfile_writes_is_whole(name: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, [0.0, 0.5] * 2000, 16000, format=name)
    check_sound(file.getvalue())
