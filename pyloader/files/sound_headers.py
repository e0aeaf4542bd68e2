"""Headers of encoded sounds: which format it is, and whether its end is there.  Nothing is decoded."""

from __future__ import annotations

import itertools
from typing import Literal

__all__ = ["SOUND_SUFFIXES", "SoundHeaderError", "check_sound", "sound_format"]

# Of the files that an input of sounds is made of.
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")


_UNKNOWN_BYTES = 0x7FFF0000  # and more: what is written into a pipe has such a size, because its end is not yet known
_MOST_BLOCKS = 1000  # before the samples; of a sound there are about five


class SoundHeaderError(ValueError):
    """These bytes are no sound; the message says why, as the rest of a sentence."""


def sound_format(data: bytes) -> str:
    """Return "WAV", "FLAC", "OGG", "MP3" or "AIFF".

    Args:
      data: The file, or its first 12 bytes at least.

    Raises:
      SoundHeaderError: it is of no known format.
    """
    if data[:4] in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        return "WAV"
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    for magic, name in ((b"fLaC", "FLAC"), (b"OggS", "OGG"), (b"ID3", "MP3")):
        if data.startswith(magic):
            return name
    # A frame of MPEG audio: eleven bits of sync, a version, and layer 3.
    if len(data) > 2 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2 and data[1] & 0x18 != 0x08:
        return "MP3"
    raise SoundHeaderError("is empty" if not data else f"is no sound: it begins with {data[:8]!r}")


def check_sound(data: bytes) -> None:
    """Raise for a whole file that is no sound, or that ends early.

    Only of WAV and AIFF this is told by the header: libsndfile takes what is left of them for the whole sound.  The end
    of other formats is missed when they are decoded.

    Args:
      data: The file.

    Raises:
      SoundHeaderError: so it is.
    """
    form = sound_format(data)
    if form not in ("WAV", "AIFF"):
        return
    order: Literal["little", "big"] = "little" if data[:4] in (b"RIFF", b"RF64") else "big"
    samples, place = (b"data" if form == "WAV" else b"SSND"), 12
    for _ in itertools.repeat(None, _MOST_BLOCKS):
        size = int.from_bytes(data[place + 4 : place + 8], order)
        if data[place : place + 4] == samples:
            there = len(data) - place - 8
            if there < size < _UNKNOWN_BYTES:
                raise SoundHeaderError(f"ends early: {there:,} bytes of samples are there, of {size:,}")
            return
        place += 8 + size + size % 2
        if place >= len(data):
            break
    raise SoundHeaderError("ends early: its samples are missing")
