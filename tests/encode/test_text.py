"""TextDataset: words to ids, cut and padded; vocabulary files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.encode import PAD_, PAD_IDX, TextDataset, build_vocabulary, read_vocabulary
from pyloader.errors import BatchEncodeError, FileError


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("<pad>\nthe\t120\ncat\t7\tx\nзвук\n", encoding="utf-8")
    return path


def test_the_line_number_of_a_word_is_its_id(vocab_file):
    assert read_vocabulary(vocab_file) == [PAD_, "the", "cat", "звук"]
    dataset = TextDataset(vocab_file)
    assert dataset.stoi == {PAD_: PAD_IDX, "the": 1, "cat": 2, "звук": 3}
    assert dataset.itos[2] == "cat"


def test_words_become_ids_unknown_ones_padding_and_rows_have_one_length(vocab_file):
    dataset = TextDataset(vocab_file, max_seq_len=4)
    ids = dataset.batch_encode({"text": ["the cat", "the dog\tthe\n звук cat cat", ""]})["text"]
    assert ids.dtype == np.int64
    assert ids.tolist() == [[1, 2, 0, 0], [1, 0, 1, 3], [0, 0, 0, 0]]


def test_without_a_vocabulary_text_is_ids():
    ids = TextDataset(max_seq_len=3).batch_encode({"text": ["17 4", "-1 2 3 4", "9223372036854775807"]})["text"]
    assert ids.tolist() == [[17, 4, 0], [-1, 2, 3], [2**63 - 1, 0, 0]]


@pytest.mark.parametrize("token", ["cat", "1.5", "9223372036854775808"])
def test_a_token_that_is_no_id_is_named_with_its_row(token):
    with pytest.raises(
        BatchEncodeError, match=rf"TextDataset got 'text' with the token '{token}' in row 1, .*vocab_file"
    ):
        TextDataset().batch_encode({"text": ["1 2", f"3 {token} 4"]})


def test_a_text_that_is_missing_is_named_with_its_row(vocab_file):
    with pytest.raises(BatchEncodeError, match=r"TextDataset got 'text' with None in row 1, which is no text"):
        TextDataset(vocab_file).batch_encode({"text": ["the", None]})


def test_the_label_and_all_that_is_no_text_are_left_as_they_are(vocab_file):
    columns = {
        "label": ["the", "cat"],
        "x": np.zeros((2, 3)),
        "n": [1, 2],
        "words": [["the"], ["cat"]],
        "none": [None] * 2,
    }
    encoded = TextDataset(vocab_file).batch_encode(columns)
    assert all(encoded[name] is values for name, values in columns.items())


@pytest.mark.parametrize("name", ["l", "a", "be", "lab", "labels", "text"])
def test_only_a_column_called_exactly_label_is_the_label(vocab_file, name):
    assert TextDataset(vocab_file, max_seq_len=2).batch_encode({name: ["the"]})[name].tolist() == [[1, 0]]


@pytest.mark.slow
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "zz"]), max_size=9), min_size=1, max_size=5), st.integers(1, 6)
)
def test_encoding_agrees_with_its_definition(rows, max_seq_len):
    dataset = TextDataset(max_seq_len=max_seq_len)
    dataset.itos = [PAD_, "a", "b", "c"]
    dataset.stoi = {word: index for index, word in enumerate(dataset.itos)}
    expected = [[dataset.stoi.get(word, 0) for word in row][:max_seq_len] for row in rows]
    padded = [row + [PAD_IDX] * (max_seq_len - len(row)) for row in expected]
    assert dataset.batch_encode({"t": [" ".join(row) for row in rows]})["t"].tolist() == padded


def test_a_word_that_is_there_twice_names_both_lines(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("<pad>\nthe\ncat\nthe\t3\n")
    with pytest.raises(FileError, match=r"vocab.txt:4: has the word 'the' of line 2 again. A word has one id"):
        TextDataset(path)


def test_no_more_words_than_max_vocab_size_are_used(vocab_file):
    assert TextDataset(vocab_file, max_vocab_size=2).itos == [PAD_, "the"]


@pytest.mark.parametrize(("content", "message"), [(b"", "has no words"), (b"the\n\xff\n", "is not UTF-8 text")])
def test_a_vocabulary_file_that_is_none_is_refused(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=f"vocab.txt: {message}"):
        TextDataset(path)


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbf<pad>\nthe\n")
    assert read_vocabulary(path) == [PAD_, "the"]


@pytest.mark.parametrize("options", [{"max_seq_len": 0}, {"max_vocab_size": 0}])
def test_bounds_of_none_are_refused(vocab_file, options):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        TextDataset(vocab_file, **options)


def test_the_documented_defaults_are_the_real_ones():
    dataset = TextDataset()
    assert (dataset.max_seq_len, dataset.max_vocab_size, dataset.itos) == (100, 30000, [])


def test_the_most_frequent_words_make_the_vocabulary():
    texts = ["b a c a", "a b <pad> d"]
    assert build_vocabulary(texts) == [PAD_, "a", "b", "c", "d"]
    assert build_vocabulary(texts, max_size=3) == [PAD_, "a", "b"]


def test_a_vocabulary_that_was_built_and_written_is_read_back(tmp_path):
    words = build_vocabulary(["the cat the dog"])
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    assert read_vocabulary(tmp_path / "vocab.txt") == words


def test_a_text_dataset_travels_to_another_process(vocab_file):
    arrived = pickle.loads(pickle.dumps(TextDataset(vocab_file, max_seq_len=2)))
    assert arrived.batch_encode({"text": ["cat"]})["text"].tolist() == [[2, 0]]
