"""Packed columns: documents to rows, and rows to the arrays of a batch."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader import Packing, Ragged
from pyloader.packing import PackedColumnsError, block_mask, cu_seqlens, pack_columns, packed_lengths, unpacked_batch


def documents_of(lengths):
    """Documents whose tokens say which they are, and which place they have."""
    return Ragged.from_rows([1000 * number + np.arange(length) for number, length in enumerate(lengths)], dtype="int64")


@pytest.mark.slow
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 20), st.booleans(), st.booleans())
def test_every_token_is_in_one_row_with_its_segment_its_place_and_whether_it_counts(lengths, length, shifted, sliced):
    packing = Packing(length=length, shifted=shifted)
    documents = documents_of([7, *lengths, 5])[1:-1] if sliced else documents_of(lengths)
    packed = pack_columns({"tokens": documents}, packing, np.random.default_rng(0))
    batch = unpacked_batch(packed, packing)
    tokens, segments, positions, counts = (
        batch[name] for name in ("tokens", "segment_ids", "position_ids", "loss_mask")
    )
    assert {values.shape for values in batch.values()} == {(len(packed["tokens"]), length)}
    assert (tokens.dtype, segments.dtype, positions.dtype, counts.dtype) == ("int64", "int32", "int32", "bool")
    is_there = segments > 0
    assert sorted(tokens[is_there].tolist()) == sorted(documents.spanned.tolist())
    assert (tokens[~is_there] == 0).all() and (positions[~is_there] == 0).all() and not counts[~is_there].any()
    assert (tokens[is_there] % 1000 == positions[is_there]).all()
    for row, segment in zip(tokens // 1000, segments, strict=True):
        ids = segment[segment > 0]
        assert (np.diff(ids) >= 0).all() and set(ids.tolist()) == set(range(1, int(ids.max()) + 1))
        for number in set(ids.tolist()):
            assert len(set(row[segment == number].tolist())) == 1  # of one document
    is_last = is_there & (np.append(segments[:, 1:], np.zeros((len(segments), 1), int), axis=1) != segments)
    assert (counts == (is_there & ~is_last if shifted else is_there)).all()


def test_rows_that_are_all_full_are_not_copied_once_more():
    packing = Packing(length=4)
    batch = unpacked_batch(pack_columns({"tokens": documents_of([4, 4])}, packing, None), packing)
    assert batch["tokens"].base is not None
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3]] * 2


def test_lists_of_tokens_and_windows_are_documents_too():
    packing = Packing(length=3)
    for column in ([[1, 2], [3]], np.array([[1, 2], [3, 4]])):
        assert packed_lengths({"tokens": column}, packing).tolist() == [len(row) for row in column]
    assert packed_lengths({}, packing).tolist() == []
    assert pack_columns({}, packing, None) == {}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"ids": [[], [1]]}, "no column 'tokens' to pack, but 'ids'.*Packing(length=8, column='ids')"),
        ({"text": ["a"]}, "no column 'tokens' to pack, but 'text'. Make tokens.*--tokenizer tokenizer.json"),
        ({"id": [7], "body": ["a"]}, "no column 'tokens' to pack.*--tokenizer tokenizer.json --column body"),
        ({"tokens": ["a", "b"]}, "no tokens in 'tokens'.*--tokenizer tokenizer.json --column tokens"),
        ({"tokens": np.arange(3)}, "int64 in 'tokens', which are no documents"),
        ({"tokens": Ragged.from_rows([b"ab"])}, "bytes in 'tokens', which are no documents"),
        ({"tokens": Ragged.from_rows([[0.5]])}, "float64 in 'tokens', which are no documents"),
        (
            {"tokens": [[1]], "id": np.arange(1), "url": ["x"]},
            "column 'id' beside 'tokens'.*drop=('id', 'url')",
        ),
        ({"tokens": [[1, 2]], "more": [[1]]}, "column 'more' beside 'tokens', which has no number for each token"),
        ({"tokens": [[1]], "segment_ids": [[1]]}, "'segment_ids', which is a name of packed batches.*drop="),
    ],
)
def test_what_cannot_be_packed_says_what_to_write(columns, says):
    with pytest.raises(PackedColumnsError, match=re.escape(says).replace(r"\.\*", ".*")):
        pack_columns(columns, Packing(length=8), None)


def test_columns_that_are_dropped_need_no_place():
    columns = {"tokens": [[1, 2]], "id": np.arange(1)}
    assert pack_columns(columns, Packing(length=8, drop=("id",)), None)["tokens"].to_list() == [[1, 2]]


@pytest.mark.parametrize(
    ("options", "error"),
    [({"length": 0}, ValueError), ({"length": "8"}, TypeError), ({"length": 8, "drop": "id"}, TypeError)],
)
def test_a_packing_that_cannot_be_is_refused(options, error):
    with pytest.raises(error):
        Packing(**options)


SEGMENTS = np.array([[1, 1, 2, 0], [1, 1, 1, 1]], np.int32)


def test_flash_attention_gets_where_pieces_begin_and_the_longest():
    bounds, longest = cu_seqlens(SEGMENTS)
    assert (bounds.tolist(), bounds.dtype, longest) == ([0, 2, 3, 4, 8], np.int32, 4)
    assert cu_seqlens(SEGMENTS, max_pieces=6)[0].tolist() == [0, 2, 3, 4, 8, 8, 8]
    with pytest.raises(ValueError, match="has 4 pieces, more than max_pieces=3"):
        cu_seqlens(SEGMENTS, max_pieces=3)


def test_a_token_attends_to_those_before_it_in_its_document():
    mask = block_mask(SEGMENTS)
    assert mask.shape == (2, 1, 4, 4)
    assert mask[0, 0].astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (mask[1, 0] == np.tri(4, dtype=bool)).all()


def test_rows_of_one_length_are_packed_beside_tokens_as_ragged_ones_are():
    columns = {"tokens": np.arange(8).reshape(4, 2), "loss_mask": np.eye(4, 2, dtype=bool)}
    ragged = {name: Ragged.from_rows(list(values)) for name, values in columns.items()}
    packing = Packing(length=4)
    packed, expected = (unpacked_batch(pack_columns(each, packing, None), packing) for each in (columns, ragged))
    assert all((packed[name] == expected[name]).all() for name in expected)


def test_columns_with_a_number_for_each_token_are_packed_as_the_tokens_are():
    lengths = [5, 3, 0, 9, 2]
    documents = documents_of(lengths)
    columns = {"tokens": documents, "weights": Ragged(documents.values / 2, documents.offsets)}
    packing = Packing(length=6)
    batch = unpacked_batch(pack_columns(columns, packing, np.random.default_rng(0)), packing)
    assert (batch["weights"] == batch["tokens"] / 2).all() and batch["weights"].dtype == np.float64


@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_a_loss_mask_of_the_chunks_moves_to_where_its_tokens_are_the_targets(shifted, dtype):
    # Of two documents in a row of 8, the tokens 11, 12 and 21 are to be learned.
    tokens = Ragged.from_rows([[10, 11, 12, 13], [20, 21]])
    learned = Ragged.from_rows([[0, 1, 1, 0], [0, 1]]).to_list()
    mask = Ragged.from_rows([np.array(row, dtype) for row in learned])
    packing = Packing(length=8, shifted=shifted)
    batch = unpacked_batch(pack_columns({"tokens": tokens, "loss_mask": mask}, packing, None), packing)
    wanted = [1, 1, 0, 0, 1, 0, 0, 0] if shifted else [0, 1, 1, 0, 0, 1, 0, 0]
    assert batch["tokens"].tolist() == [[10, 11, 12, 13, 20, 21, 0, 0]]
    assert batch["loss_mask"].tolist() == [wanted]
    assert batch["loss_mask"].dtype == ("float32" if dtype == "float32" else "bool")
