"""Headers of encoded sounds: which format it is, by the first bytes.  Nothing is decoded, and no library is needed."""

from __future__ import annotations

__all__ = ["SOUND_SUFFIXES", "SoundHeaderError", "sound_format"]

# Of the files that an input of sounds is made of.
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")


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
