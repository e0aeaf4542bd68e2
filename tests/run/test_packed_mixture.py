"""Mixtures of packed documents: rows of one source, shares of tokens, loss masks."""

from __future__ import annotations

import pytest

from pyloader import ChunkWriter, DataLoader, Packing
from pyloader.errors import DataDirError


def test_packed_rows_are_of_one_source_and_weights_may_share_out_tokens(tmp_path):
    lengths = {"long": 30, "short": 7}
    for place, (name, length) in enumerate(lengths.items()):
        with ChunkWriter(tmp_path / name, chunk_samples=50, format="columns") as writer:
            for _ in range(200):
                writer.write({"tokens": [place + 1] * length})
    options = {
        "data_dir": {name: tmp_path / name for name in lengths},
        "weights": dict.fromkeys(lengths, 1),
        "on_exhausted": "repeat",
        "batch_size": 8,
        "num_workers": 0,
        "with_source": True,
    }
    with DataLoader(pack=32, num_steps=20, **options) as loader:
        for batch in loader:
            assert batch["tokens"].shape == (8, 32)
            assert ((batch["tokens"] == batch["source"][:, None] + 1) | (batch["segment_ids"] == 0)).all()
        assert loader.stats().sources["long"].num_tokens == 80 * 30
        pieces = loader.locate(0)
        assert {piece[0] for piece in pieces} == {"long", "short"} and pieces[0][3:] == (0, 30)
    with DataLoader(pack=32, num_steps=200, weight_by="tokens", **options) as loader:
        list(loader)
        tokens = [each.num_tokens for each in loader.stats().sources.values()]
    assert abs(tokens[0] / tokens[1] - 1) < 0.01


def test_documents_beside_chats_get_a_loss_mask_and_other_columns_that_not_all_have_are_refused(tmp_path):
    samples = {
        "chats": {"tokens": [5, 6, 7, 8], "loss_mask": [False, False, True, True]},
        "texts": {"tokens": [1, 2, 3]},
        "scored": {"tokens": [1], "score": [0.5]},
    }
    for name, sample in samples.items():
        with ChunkWriter(tmp_path / name, chunk_samples=10, format="columns") as writer:
            for _ in range(40):
                writer.write(sample)
    places = {name: tmp_path / name for name in samples}
    options = {"pack": 12, "batch_size": 2, "num_workers": 0, "with_source": True}
    both = {name: places[name] for name in ("chats", "texts")}
    with DataLoader(data_dir=both, weights=dict.fromkeys(both, 1), **options) as loader:
        batch = next(loader)
    chat, text = (batch["loss_mask"][batch["source"] == place][0].tolist() for place in (0, 1))
    assert chat == [False, True, True, False] * 3 and text == [True, True, False] * 4
    with pytest.raises(DataDirError, match=r"Leave out what not all have: .*length=12, drop=\('score',\)"):
        DataLoader(data_dir=places, weights=dict.fromkeys(places, 1), **options)
    options["pack"] = Packing(length=12, drop=("score",))
    with DataLoader(data_dir=places, weights=dict.fromkeys(places, 1), **options) as loader:
        assert next(loader)["loss_mask"].shape == (2, 12)
