"""Files that begin and end as images of 8 x 8 pixels do, with any bytes between: enough to be split."""

from __future__ import annotations

__all__ = ["tiny_jpeg", "tiny_png"]


def tiny_jpeg(content: bytes = b"pixels") -> bytes:
    """Return what passes for a JPEG as long as nobody decodes it."""
    return bytes.fromhex("ffd8ffc0000b080008000801011100ffda0002") + content + b"\xff\xd9"


def tiny_png(content: bytes = b"pixels") -> bytes:
    """Return what passes for a PNG as long as nobody decodes it."""
    chunks = ((b"IHDR", b"\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0"), (b"nois", content), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + b"sum." for kind, data in chunks
    )
