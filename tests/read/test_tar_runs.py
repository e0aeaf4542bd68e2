"""Members of a tar archive found many at a time are those found one by one, whatever else the archive holds."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader.read import tar_runs
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

    def at(start, num_bytes):
        return bytes(data[start : start + num_bytes])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tar_runs, "_STRETCH_BYTES", stretch * 3 * 512)
        patched.setattr(tar_runs, "_PIECE_BYTES", stretch * 512)
        patched.setattr(tar_runs, "_FEW", 0)
        patched.setattr(tar_runs, "_LONG_RUN", 2)
        by_runs = found(members_and_runs(at, at, 0, len(data), {}, is_whole=True))
    assert by_runs == found(tar_members(at, 0, len(data), {}, is_whole=True))


def test_what_most_archives_hold_is_found_in_one_run():
    files = [(f"{number:05}.{suffix}", bytes(number), 1.5) for number in range(300) for suffix in ("cls", "png")]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = archive(files, form)

        def at(start, num_bytes, data=data):
            return data[start : start + num_bytes]

        run = next(members_and_runs(at, at, 0, len(data), {}, is_whole=True))
        assert isinstance(run, MemberRun)
        assert len(run.begins) == 600
