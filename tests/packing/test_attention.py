"""Attention in packed rows stays in its document: changing one changes no other's output."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.packing import block_mask

SEGMENTS = np.repeat([[1, 2, 3, 0], [1, 1, 2, 2]], 4, axis=1).astype(np.int32)  # [2, 16]
HEADS, WIDTH = 2, 8


def outputs_by_document(attend, tokens):
    """Return the outputs of a random layer of attention over [rows, length] tokens, by (row, segment)."""
    random = np.random.default_rng(0)
    table = random.normal(size=(100, 3, HEADS, WIDTH)).astype(np.float32)
    query, key, value = np.moveaxis(table[tokens], 2, 0)  # each [rows, length, heads, width]
    found = attend(query, key, value, block_mask(SEGMENTS))
    assert np.isfinite(found).all()
    return {
        (row, number): found[row, SEGMENTS[row] == number] for row in range(2) for number in set(SEGMENTS[row].tolist())
    }


def by_torch(query, key, value, mask):
    torch = pytest.importorskip("torch")
    heads_first = (torch.from_numpy(each).transpose(1, 2) for each in (query, key, value))
    found = torch.nn.functional.scaled_dot_product_attention(*heads_first, attn_mask=torch.from_numpy(mask))
    return found.transpose(1, 2).numpy()


def by_jax(query, key, value, mask):
    jax = pytest.importorskip("jax")
    return np.asarray(jax.nn.dot_product_attention(query, key, value, mask=mask))


@pytest.mark.frameworks
@pytest.mark.parametrize("attend", [by_torch, by_jax])
def test_changing_one_document_changes_no_other(attend):
    tokens = np.random.default_rng(1).integers(0, 100, SEGMENTS.shape)
    before = outputs_by_document(attend, tokens)
    for place in before:
        changed = tokens.copy()
        mine = SEGMENTS[place[0]] == place[1]
        changed[place[0], mine] = (changed[place[0], mine] + 1) % 100
        after = outputs_by_document(attend, changed)
        assert {other for other in before if not np.array_equal(before[other], after[other])} == {place}


@pytest.mark.frameworks
def test_a_packed_document_has_the_output_that_it_has_alone():
    pytest.importorskip("torch")
    tokens = np.random.default_rng(1).integers(0, 100, SEGMENTS.shape)
    packed = outputs_by_document(by_torch, tokens)[(0, 2)]
    random = np.random.default_rng(0)
    table = random.normal(size=(100, 3, HEADS, WIDTH)).astype(np.float32)
    query, key, value = np.moveaxis(table[tokens[:1, 4:8]], 2, 0)
    alone = by_torch(query, key, value, block_mask(np.ones((1, 4), np.int32)))
    np.testing.assert_allclose(packed, alone[0], rtol=1e-5, atol=1e-6)
