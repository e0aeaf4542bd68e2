"""Packed files: read whole, or an error that says what is wrong."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import pickle
import subprocess
import sys
import textwrap

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pyloader.errors import ChunkReadError
from pyloader.files import unpacking, zstd_frames
from pyloader.files.compressors import COMPRESSORS, open_packed, packing_of

DATA = b"".join(b"line %d of a file that is packed\n" % number for number in range(300))

PACK = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
every_packing = pytest.mark.parametrize("packing", COMPRESSORS)


def read(path) -> bytes:
    with open_packed(path) as file:
        return file.read()


@every_packing
def test_what_is_written_is_read(tmp_path, packing):
    path = tmp_path / f"a.bin{packing}"
    with open_packed(path, "wb") as file:
        for start in range(0, len(DATA), 1000):
            file.write(DATA[start : start + 1000])
    assert path.read_bytes() != DATA
    assert read(path) == DATA


@every_packing
def test_what_others_have_written_is_read(tmp_path, packing):
    path = tmp_path / f"a.bin{packing}"
    path.write_bytes(PACK[packing](DATA))
    assert read(path) == DATA


@every_packing
def test_the_same_bytes_make_the_same_file(tmp_path, packing):
    paths = [tmp_path / f"{name}{packing}" for name in "ab"]
    for path in paths:
        with open_packed(path, "wb") as file:
            file.write(DATA)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@every_packing
def test_nothing_at_all_is_packed_and_read_too(tmp_path, packing):
    path = tmp_path / f"a{packing}"
    open_packed(path, "wb").close()
    assert path.stat().st_size > 0
    assert read(path) == b""


@every_packing
def test_all_members_are_read(tmp_path, packing):
    path = tmp_path / f"a{packing}"
    parts = [DATA, b"", b"second", DATA[:100]]
    path.write_bytes(b"".join(map(PACK[packing], parts)))
    assert read(path) == b"".join(parts)


@contextlib.contextmanager
def read_at_once(num_bytes: int):
    """Packed files are read so many bytes at a time, so that a small file has what a large one has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpacking, "_PACKED_BYTES", num_bytes)
        patch.setattr(zstd_frames, "_PACKED_BYTES", max(num_bytes, 18))
        yield


@pytest.mark.slow
@given(parts=st.lists(st.binary(max_size=300), max_size=4), at_once=st.integers(1, 100), size=st.integers(1, 400))
@every_packing
def test_how_much_is_read_at_once_changes_nothing(tmp_path_factory, packing, parts, at_once, size):
    path = tmp_path_factory.mktemp("steps") / f"a{packing}"
    path.write_bytes(b"".join(PACK[packing](part * 40) for part in parts or [b""]))
    with read_at_once(at_once), open_packed(path) as file:
        assert b"".join(iter(lambda: file.raw.read(size), b"")) == b"".join(part * 40 for part in parts)  # type: ignore[attr-defined]


SKIPPED = b"\x57\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"index"


@st.composite
def frames(draw) -> tuple[bytes, bytes]:
    """A frame as anyone may write one, and what it holds."""
    blocks = draw(st.lists(st.tuples(st.binary(max_size=60), st.integers(1, 50)), max_size=5))
    content = [part * times for part, times in blocks]
    checksum, sized = draw(st.booleans()), draw(st.booleans())
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized)
    packer = compressor.compressobj(size=sum(map(len, content)) if sized else -1)
    packed = b"".join(packer.compress(part) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for part in content)
    return draw(st.sampled_from([b"", SKIPPED])) + packed + packer.flush(), b"".join(content)


@pytest.mark.slow
@given(written=st.lists(frames(), min_size=1, max_size=3), at_once=st.integers(18, 60), data=st.data())
def test_zstd_files_of_all_kinds_are_read_whole_and_never_cut(tmp_path_factory, written, at_once, data):
    path, whole = tmp_path_factory.mktemp("frames") / "a.zst", b"".join(packed for packed, _ in written)
    path.write_bytes(whole)
    with read_at_once(at_once):
        assert read(path) == b"".join(content for _, content in written)
        borders = {sum(len(packed) for packed, _ in written[:number]) for number in range(1, len(written))}
        borders |= {border + len(SKIPPED) for border in {0, *borders}}  # perhaps the end of a skippable frame
        cut = data.draw(st.sampled_from([length for length in range(len(whole)) if length not in borders]))
        path.write_bytes(whole[:cut])
        with pytest.raises(ChunkReadError, match=r"ends early\."):
            read(path)


def test_skippable_frames_of_zstd_are_passed_over(tmp_path):
    path = tmp_path / "a.zst"
    skipped = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"index"
    path.write_bytes(skipped + PACK[".zst"](DATA) + skipped + PACK[".zst"](b"more") + skipped)
    assert read(path) == DATA + b"more"


@every_packing
def test_a_file_cut_anywhere_is_an_error(tmp_path, packing):
    path, whole = tmp_path / f"a{packing}", PACK[packing](DATA[:2000])
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ChunkReadError, match=r"ends early. Fetch it again, or max_skipped=1 to go on without it"):
            read(path)


@every_packing
def test_a_second_member_cut_anywhere_is_an_error(tmp_path, packing):
    path, first, second = tmp_path / f"a{packing}", PACK[packing](DATA), PACK[packing](b"and a second one")
    for length in range(1, len(second)):
        path.write_bytes(first + second[:length])
        with pytest.raises(ChunkReadError, match=r"ends early\."):
            read(path)


@every_packing
@pytest.mark.parametrize("garbage", [b"\0" * 511 + b"x", b"<html>502 Bad Gateway</html>", b"xyzw"])
def test_something_else_after_the_end_is_an_error(tmp_path, packing, garbage):
    path = tmp_path / f"a{packing}"
    path.write_bytes(PACK[packing](DATA) + garbage)
    with pytest.raises(ChunkReadError, match=r"goes on after its end with something else|ends early"):
        read(path)


@every_packing
def test_a_file_that_is_packed_otherwise_is_an_error(tmp_path, packing):
    path = tmp_path / f"a{packing}"
    path.write_bytes(DATA)
    with pytest.raises(ChunkReadError, match=rf"is plain text, not packed\. Rename it: mv \S+/a{packing} \S+/a$"):
        read(path)


@every_packing
def test_flipped_bits_are_an_error_and_never_other_bytes(tmp_path, packing):
    path, whole = tmp_path / f"a{packing}", PACK[packing](DATA[:2000])
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with contextlib.suppress(ChunkReadError):
            assert read(path) == DATA[:2000], place  # a bit without meaning, as gzip's time is


@every_packing
def test_damage_near_the_start_is_damage_and_not_another_packing(tmp_path, packing):
    path, whole = tmp_path / f"a{packing}", PACK[packing](DATA)
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 0xFF]) + whole[41:])
    with pytest.raises(ChunkReadError, match=r"is damaged \(.+\)\."):
        read(path)


@every_packing
def test_what_lies_before_damage_is_read(tmp_path, packing):
    path = tmp_path / f"a{packing}"
    path.write_bytes(PACK[packing](DATA) + b"<html>")
    with open_packed(path) as file:
        assert file.read(len(DATA)) == DATA
        with pytest.raises(ChunkReadError, match="goes on after its end"):
            file.read()


@pytest.mark.slow
@given(parts=st.lists(st.binary(max_size=3000), max_size=4), size=st.integers(1, 5000))
@every_packing
def test_reading_in_pieces_gives_the_same(tmp_path_factory, packing, parts, size):
    path = tmp_path_factory.mktemp("pieces") / f"a{packing}"
    path.write_bytes(b"".join(map(PACK[packing], parts or [b""])))
    with open_packed(path) as file:
        assert b"".join(iter(lambda: file.read(size), b"")) == b"".join(parts)


# The worst there is: a block of 4 bytes becomes 128 KiB, and 64 KiB of them 2 GiB.
ZSTD_BOMB = b"\x28\xb5\x2f\xfd\0\x58" + (2**17 << 3 | 1 << 1).to_bytes(3, "little").join([b"", *[b"\0"] * 2**15])
ZSTD_BOMB += (1).to_bytes(3, "little")


@pytest.mark.slow
@every_packing
def test_what_unpacks_to_gigabytes_takes_little_memory(tmp_path, packing):
    path = tmp_path / f"bomb{packing}"
    path.write_bytes(ZSTD_BOMB if packing in (".zst", ".zstd") else PACK[packing](bytes(2**24)) * 256)
    script = f"""
        from pyloader.files import open_packed
        from pyloader.inspecting.measuring import peak_bytes
        with open_packed({str(path)!r}) as file:
            file.read(1)
            before = peak_bytes()
            buffer = bytearray(2**20)
            assert sum(file.readinto(buffer) for _ in range(64)) == 2**26
        print(peak_bytes() - before)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert int(out.stdout) < 16e6


def test_the_place_on_disk_is_known_for_progress(tmp_path):
    path = tmp_path / "a.zst"
    path.write_bytes(PACK[".zst"](DATA))
    with open_packed(path) as file:
        assert file.raw.packed_position() == 0  # type: ignore[attr-defined]
        file.read()
        assert file.raw.packed_position() == path.stat().st_size  # type: ignore[attr-defined]


def test_a_packing_can_be_named_where_the_suffix_says_nothing(tmp_path):
    path = tmp_path / ".a.jsonl.zst.writing"
    with open_packed(path, "wb", packing=".zst") as file:
        file.write(DATA)
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read() == DATA
    with open_packed(path, packing=".zst") as file:
        assert file.read() == DATA


def test_packings_are_told_by_the_last_suffix_in_any_case():
    assert [packing_of(path) for path in ("a.GZ", "b.tar.xz", "c.zst.txt", "d.gz/e")] == [".gz", ".xz", "", ""]


def test_a_read_error_of_the_disk_names_the_file():
    with pytest.raises(ChunkReadError, match=r"/proc/self/mem: cannot be read \(Input/output error\)"):
        read("/proc/self/mem")


def test_a_missing_file_is_the_error_of_open(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.zst"):
        open_packed(tmp_path / "none.zst")


def test_another_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match='mode must be "rb" or "wb", got \'ab\''):
        open_packed(tmp_path / "a", "ab")


def test_errors_survive_the_trip_between_processes(tmp_path):
    (tmp_path / "a.zst").write_bytes(b"")
    with pytest.raises(ChunkReadError) as caught:
        read(tmp_path / "a.zst")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value) == f"{tmp_path}/a.zst: ends early. {caught.value.hint}"
