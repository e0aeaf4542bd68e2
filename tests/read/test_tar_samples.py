"""Samples of an archive whose members are read many at a time are those of members that are read one by one."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader import WebDatasetReader
from pyloader.errors import ChunkReadError
from pyloader.read import tar_runs

KEYS = st.sampled_from(["a", "b", "d/a", "d.x/a", "é", "k" * 110, "__meta__", ""])
EXTENSIONS = st.sampled_from([".txt", ".TXT", ".seg.png", ".", ".é", "", ".cls"])
CONTENTS = st.sampled_from([b"", b"1", bytes(600)])
FILES = st.lists(st.tuples(KEYS, EXTENSIONS, CONTENTS), max_size=12)
PAIRS = st.lists(st.integers(0, 30), unique=True).map(
    lambda numbers: [(f"k{number}", suffix, b"%d" % number) for number in numbers for suffix in (".txt", ".cls")]
)


def archive(files, form: int, said: str | None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form, pax_headers={"comment": said} if said else None) as tar:
        for key, extension, content in files:
            member = tarfile.TarInfo(key + extension)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def read(path, **options):
    """Return the columns as lists, or the error in words."""
    try:
        columns, num_samples = WebDatasetReader(**options).read_file(str(path))
    except ChunkReadError as exc:
        return str(exc)
    return {name: list(column) for name, column in columns.items()}, num_samples


@pytest.mark.slow
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(max_examples=examples(60))
@given(
    files=FILES | PAIRS | st.tuples(PAIRS, FILES, PAIRS).map(lambda lists: [*lists[0], *lists[1], *lists[2]]),
    said=st.none() | st.just("said"),
    options=st.sampled_from([{}, {"columns": ["txt", "cls"], "missing": "empty"}, {"columns": ["__key__", "txt"]}]),
    stretch=st.integers(2, 12),
)
def test_samples_read_many_at_a_time_are_those_read_one_by_one(tmp_path_factory, form, files, said, options, stretch):
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    path.write_bytes(archive(files, form, said if form == tarfile.PAX_FORMAT else None))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tar_runs, "_STRETCH_BYTES", stretch * 512)
        patched.setattr(tar_runs, "_LONG_RUN", 2)
        many_at_a_time = read(path, **options)
        patched.setattr(tar_runs, "run_at", lambda *given: None)
        assert many_at_a_time == read(path, **options)


def test_a_sample_whose_files_lie_in_two_runs_is_one_sample(tmp_path, monkeypatch):
    files = [(f"{number}", suffix, b"%d" % number) for number in range(9) for suffix in (".txt", ".CLS")]
    (tmp_path / "a.tar").write_bytes(archive(files, tarfile.USTAR_FORMAT, None))
    monkeypatch.setattr(tar_runs, "_STRETCH_BYTES", 6 * 512)  # three files
    monkeypatch.setattr(tar_runs, "_LONG_RUN", 2)
    columns, num_samples = WebDatasetReader().read_file(str(tmp_path / "a.tar"))
    assert columns["__key__"] == [str(number) for number in range(9)]
    assert list(columns["txt"]) == list(columns["cls"]) == [b"%d" % number for number in range(num_samples)]
