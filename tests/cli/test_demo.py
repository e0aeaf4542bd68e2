"""`pyloader demo` on real text: the standard library's own sources."""

import itertools
import json
import re

import pytest

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.demo.text_dump import library_texts, texts_of, write_text_dump


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    """About 1 MB of Python."""
    path = tmp_path_factory.mktemp("text") / "library.txt"
    path.write_text("".join(itertools.islice(library_texts(), 100))[:1_000_000], encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_model_learns_more_than_byte_counts_and_the_resumed_batches_are_the_same(text_file, tmp_path, capsys):
    kept = tmp_path / "kept"
    assert main(["demo", str(text_file), "--keep", str(kept)]) == 0
    screen = capsys.readouterr().out
    loss = float(re.search(r"loss ([\d.]+) nats a byte on", screen)[1])
    from_counts = float(re.search(r"byte counts alone gives ([\d.]+)", screen)[1])
    assert loss < from_counts - 0.5
    assert "batches equal those of the unbroken run: yes" in screen
    assert "each arrived exactly once an epoch: yes" in screen
    peak = float(re.search(r"at most ([\d.]+) of 64 chunks were resident", screen)[1])
    assert 0 < peak <= 6
    assert f"pyloader peek {kept}/chunks/train" in screen
    with DataLoader(data_dir=kept / "chunks" / "train", batch_size=4) as loader:
        assert sorted(next(loader)) == ["id", "text"]


@pytest.mark.slow
def test_a_loader_that_resumes_elsewhere_is_caught(text_file, capsys, monkeypatch):
    monkeypatch.setattr(DataLoader, "load_state_dict", lambda self, state: None)
    assert main(["demo", str(text_file)]) == 1
    screen = capsys.readouterr().out
    assert "batches equal those of the unbroken run: NO" in screen
    assert "each arrived exactly once an epoch: NO" in screen


def test_jsonl_gives_its_first_column_of_text(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"id": 1, "question": "How many?", "answer": "Two."}\n{"question": "Why?", "answer": ""}\n')
    assert list(texts_of(path)) == ["How many?", "Why?"]


def test_pieces_are_cut_between_characters_and_lose_nothing(tmp_path):
    text = "naïve café – 数据加载器 🐳 " * 40
    dump = write_text_dump(tmp_path / "dump.jsonl", [text, "end"], max_bytes=10**6)
    rows = [json.loads(line) for line in (tmp_path / "dump.jsonl").read_text(encoding="utf-8").splitlines()]
    assert "".join(row["text"] for row in rows) == text + "end"
    assert [row["id"] for row in rows] == list(range(dump.num_samples))
    assert max(len(row["text"].encode()) for row in rows) <= 128
    assert dump.num_bytes == len((text + "end").encode()) == dump.byte_counts.sum()


def test_only_the_beginning_of_a_large_file_is_taken(tmp_path):
    dump = write_text_dump(tmp_path / "dump.jsonl", iter(lambda: "x" * 1000, None), max_bytes=5_000)
    assert dump.num_bytes == 5_000


def test_too_little_text_is_refused_in_one_line(tmp_path, capsys):
    path = tmp_path / "little.txt"
    path.write_text("too little\n")
    assert main(["demo", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"pyloader demo: error: {path}: has 11 B of text. The demo needs at least 100 kB\n"
    )


def test_a_missing_file_is_named(tmp_path, capsys):
    assert main(["demo", str(tmp_path / "nowhere.txt")]) == 2
    assert "nowhere.txt" in capsys.readouterr().err


def test_a_directory_to_keep_things_in_must_be_empty(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["demo", "--keep", str(tmp_path)]) == 2
    assert "is not empty. Give --keep a directory of its own" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
