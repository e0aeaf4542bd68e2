"""Text: one sample per line, and no line lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.errors import ChunkReadError
from pyloader.files.compressors import COMPRESSORS, open_packed
from pyloader.read.text import TextReader
from pyloader.testing import check_reader

DATA = Path(__file__).resolve().parents[1] / "data"

lines_of_text = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\ufeff"), max_size=20))


@pytest.mark.slow
@given(lines=lines_of_text, end=st.sampled_from(["\n", "\r\n"]))
def test_every_line_is_a_sample(tmp_path_factory, lines, end):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes("".join(line + end for line in lines).encode())
    assert TextReader().read_file(str(path)) == ({"text": lines}, len(lines))


@pytest.mark.parametrize("packing", ["", *COMPRESSORS])
def test_the_contract_holds_for_every_packing(tmp_path, packing):
    with open_packed(tmp_path / f"a.txt{packing}", "wb") as file:
        file.write("one\n\ntwo\u2028 half\nthree".encode())
    columns = check_reader(TextReader(), tmp_path / f"a.txt{packing}")
    assert columns == {"text": ["one", "", "two\u2028 half", "three"]}


def test_an_empty_file_has_no_samples(tmp_path):
    (tmp_path / "a.txt").touch()
    assert TextReader().read_file(str(tmp_path / "a.txt")) == ({"text": []}, 0)


def test_a_real_text_is_read_whole():
    path = DATA / "tinyshakespeare.txt"
    columns, num_samples = TextReader().read_file(str(path))
    assert num_samples == 2_000
    assert "\n".join([*columns["text"], ""]) == path.read_text(encoding="utf-8")


def test_text_that_is_not_utf8_names_the_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good\ncaf\xe9\n")
    with pytest.raises(ChunkReadError, match=r"a\.txt:2: is not UTF-8: byte 0xe9 at place 4"):
        TextReader().read_file(str(tmp_path / "a.txt"))
