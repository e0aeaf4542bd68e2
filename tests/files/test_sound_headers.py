"""The first bytes of a sound say which format it is."""

from __future__ import annotations

import io

import pytest

from pyloader.files.sound_headers import SoundHeaderError, sound_format


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
