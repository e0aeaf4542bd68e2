"""Members of a tar archive found many at a time are those found one by one, whatever else the archive holds."""

from __future__ import annotations

import io
import tarfile
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader.read import WebDatasetReader, tar_ahead, tar_runs
from pyloader.read.tar_ahead import RunsAhead
from pyloader.read.tar_members import TarError, tar_members
from pyloader.read.tar_runs import MemberRun, members_and_runs

INNER = io.BytesIO()
with tarfile.open(fileobj=INNER, mode="w") as inner:
    inner.addfile(tarfile.TarInfo("inner.txt"), io.BytesIO())

# Name, what is in it, and its time: of one with a fraction an extension header tells.
FILES = st.lists(
    st.tuples(
        st.sampled_from(["a.txt", "d/b.seg.png", "x" * 110 + ".txt", "y" * 100, "__meta__", "ä.txt", "dir/"]),
        st.sampled_from([b"", b"text", bytes(511), bytes(1500), INNER.getvalue()]),
        st.sampled_from([0, 1.5]),
    ),
    max_size=40,
)


def archive(files, form: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, content, time in files:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.mtime, member.size = time, 0 if name.endswith("/") else len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def found(members):
    """Return the members, one by one, and what ends them: None, or the error in words."""
    got = []
    try:
        for each in members:
            got += each.members() if isinstance(each, MemberRun) else [each]
    except TarError as exc:
        return got, str(exc)
    return got, None


@contextmanager
def in_pieces_of(num_blocks):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tar_runs, "_STRETCH_BYTES", num_blocks * 3 * 512)
        patched.setattr(tar_runs, "_PIECE_BYTES", num_blocks * 512)
        patched.setattr(tar_runs, "_FEW", 0)
        patched.setattr(tar_runs, "_LONG_RUN", 2)
        patched.setattr(tar_ahead, "_PLACE_BYTES", num_blocks * 2 * 512)
        patched.setattr(tar_ahead, "_FEW", 0)
        yield


def assert_are_found(data, stop, *, is_whole):
    def at(start, num_bytes):
        return data[start : start + num_bytes]

    one_by_one = found(tar_members(at, 0, stop, {}, is_whole=is_whole))
    assert found(members_and_runs(at, at, 0, stop, {}, is_whole=is_whole)) == one_by_one
    ahead = RunsAhead(at, stop, map)
    assert found(members_and_runs(at, at, 0, stop, {}, is_whole=is_whole, ahead=ahead.run_at)) == one_by_one


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(max_examples=examples(40))
@given(
    files=FILES, stretch=st.integers(2, 12), damage=st.none() | st.tuples(st.integers(0, 20_000), st.integers(0, 255))
)
def test_members_found_many_at_a_time_are_those_found_one_by_one(form, files, stretch, damage):
    if form == tarfile.USTAR_FORMAT:
        files = [each for each in files if len(each[0]) < 100]
    data = bytearray(archive(files, form))
    if damage is not None:
        data[damage[0] % len(data)] = damage[1]

    with in_pieces_of(stretch):
        assert_are_found(bytes(data), len(data), is_whole=True)


def test_what_most_archives_hold_is_found_in_one_run():
    files = [(f"{number:05}.{suffix}", bytes(number), 1.5) for number in range(300) for suffix in ("cls", "png")]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = archive(files, form)

        def at(start, num_bytes, data=data):
            return data[start : start + num_bytes]

        run = next(members_and_runs(at, at, 0, len(data), {}, is_whole=True))
        assert isinstance(run, MemberRun)
        assert len(run.begins) == 600


def member(
    name=b"odd.txt", content=b"odd", *, size=None, kind=b"0", magic=b"ustar\x0000", prefix=b"", said_sum=b"%06o\0 "
):
    """Return a member with the header's fields as they are given, and the sum that they have."""
    header = bytearray(512)
    fields = {0: name, 100: b"0000644\0", 124: size or b"%011o\0" % len(content), 156: kind, 257: magic, 345: prefix}
    for place, field in {**fields, 148: b" " * 8}.items():
        header[place : place + len(field)] = field
    said = said_sum % sum(header) if isinstance(said_sum, bytes) else said_sum(b"%06o\0 " % sum(header))
    header[148 : 148 + len(said)] = said
    return bytes(header) + content + bytes(-len(content) % 512)


def with_a_digit_of_8(said):
    """Return the same number, which is octal no more: of one digit 1 less, of the next 8 more."""
    place = next(place for place in range(5) if said[place] > 0x30)
    return said[:place] + bytes([said[place] - 1, said[place + 1] + 8]) + said[place + 2 :]


TIME, PATH = b"13 mtime=1.5\n", b"18 path=other.txt\n"
EXTENSION = {"name": b"PaxHeader", "kind": b"x"}
ODD = {
    "size ends with a space": member(size=b"00000000003 "),
    "size has a digit more": member(size=b"000000000003"),
    "size has digits after its end": member(size=b"0000003\0\0\0\0\0"),
    "size begins with spaces": member(size=b"          3\0"),
    "size is not octal": member(content=b"twelve bytes", size=b"0000000000<\0"),
    "size has a digit of 8": member(content=bytes(9), size=b"00000000009\0"),
    "size is binary": member(size=b"\x80" + bytes(10) + b"\3"),
    "size is a terabyte": member(size=b"20000000003\0"),
    "sum ends with a space": member(said_sum=b"%06o \0"),
    "sum has seven digits": member(said_sum=b"%07o\0"),
    "sum begins with spaces": member(said_sum=b"%6o\0 "),
    "sum has a digit of 8": member(said_sum=with_a_digit_of_8),
    "sum has eight digits": member(said_sum=b"%08o"),
    "sum differs": member(said_sum=lambda said: b"000001\0 "),
    "old magic": member(magic=bytes(8)),
    "GNU's magic": member(magic=b"ustar  \0"),
    "GNU's magic, and more": member(magic=b"ustar  \0", prefix=b"1234"),
    "prefix": member(prefix=b"directory"),
    "no name": member(name=b""),
    "name after its end": member(name=b"\0odd.txt"),
    "two names": member(name=b"odd.txt\0b.txt"),
    "a name of 100 bytes": member(name=b"n" * 100),
    "a name that is no text": member(name=b"\xff\xfe.txt"),
    "old file": member(kind=b"\0"),
    "contiguous": member(kind=b"7"),
    "sparse": member(kind=b"S"),
    "directory": member(content=b"", kind=b"5"),
    "link with a size": member(content=b"", size=b"00000000100\0", kind=b"2"),
    "GNU's long name": member(content=b"long.txt\0", kind=b"L") + member(),
    "time": member(content=TIME, **EXTENSION) + member(),
    "time and time": member(content=TIME, **EXTENSION) * 2 + member(),
    "time of nobody": member(content=TIME, **EXTENSION),
    "path": member(content=PATH, **EXTENSION) + member(),
    "path after time": member(content=TIME + PATH, **EXTENSION) + member(),
    "path in a second block": member(content=b"512 comment=" + b"c" * 499 + b"\n" + PATH, **EXTENSION) + member(),
    "path and time": member(content=PATH, **EXTENSION) + member(content=TIME, **EXTENSION) + member(),
    "time and path": member(content=TIME, **EXTENSION) + member(content=PATH, **EXTENSION) + member(),
    "size elsewhere": member(content=b"9 size=0\n", **EXTENSION) + member(content=b""),
    "path of all": member(content=PATH, name=b"PaxHeader", kind=b"g"),
    "a damaged extension": member(content=b"99 path=other.txt\n", **EXTENSION) + member(),
    "an extension of nothing": member(content=b"", **EXTENSION) + member(),
    "an archive": member(content=INNER.getvalue()),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_member_that_is_unusual_is_what_it_is_one_by_one_and_so_are_those_around_it(odd):
    usual = [member(b"%02d.txt" % number, b"%02d" % number) for number in range(8)]
    for before in range(4):
        data = b"".join([*usual[:before], ODD[odd], *usual[before:], bytes(1024)])
        for num_blocks in (2, 3, 40):
            with in_pieces_of(num_blocks):
                assert_are_found(data, len(data), is_whole=True)


def test_a_part_ends_where_it_does_also_inside_of_a_member():
    names = [f"{number}.txt" for number in range(4)]
    data = archive([(name, bytes(700), 1.5) for name in names], tarfile.PAX_FORMAT)
    with in_pieces_of(40):
        for stop in (stop + beside for stop in range(512, 21 * 512, 512) for beside in (-1, 0, 1)):
            assert_are_found(data, stop, is_whole=False)
            assert_are_found(data[:stop], stop, is_whole=True)


def test_an_archive_inside_of_a_file_is_none_of_its_members():
    inner = archive([(f"{number}.inner", b"x" * 700, 0) for number in range(100)], tarfile.USTAR_FORMAT)
    outer = [(f"{number}.a", inner if number % 7 == 3 else b"y", 0) for number in range(40)]
    data = archive(outer, tarfile.USTAR_FORMAT)

    def at(start: int, num_bytes: int) -> bytes:
        return data[start : start + num_bytes]

    with in_pieces_of(16):
        ahead = RunsAhead(at, len(data), map)
        members, error = found(members_and_runs(at, at, 0, len(data), {}, is_whole=True, ahead=ahead.run_at))
    assert error is None
    assert [member.name for member in members] == [name for name, _, _ in outer]


def test_most_members_are_found_ahead():
    data = archive([(f"{number:05}.a", b"z" * (number % 900), 0) for number in range(500)], tarfile.USTAR_FORMAT)
    looked = []

    def at(start: int, num_bytes: int) -> bytes:
        looked.append(start)
        return data[start : start + num_bytes]

    with in_pieces_of(64):
        ahead = RunsAhead(at, len(data), map)
        list(members_and_runs(at, at, 0, len(data), {}, is_whole=True, ahead=ahead.run_at))
    # A place of two pieces is looked at once, after its first header was looked for; then the zero blocks at the end.
    assert len(looked) <= 3 * -(-len(data) // 2**16) + 4


def test_parts_are_the_same_whoever_looks(tmp_path, monkeypatch):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(300):
            for suffix, size in (("bin", number * 7 % 5000), ("cls", 3)):
                member = tarfile.TarInfo(f"{number:05}.{suffix}")
                member.size = size
                tar.addfile(member, io.BytesIO(bytes(size)))
    closed = []
    monkeypatch.setattr(RunsAhead, "close", lambda ahead: closed.append(ahead))
    reader, chunk_bytes = WebDatasetReader(), 50_000
    alone = reader.find_parts(str(path), chunk_bytes=chunk_bytes)
    assert not closed
    with in_pieces_of(64):
        side_by_side = reader.find_parts(str(path), chunk_bytes=chunk_bytes, in_order=lambda look, its: map(look, its))
    assert side_by_side == alone
    assert len(closed) == 1
