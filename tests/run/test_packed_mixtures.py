"""Mixtures of packed rows: what a row is of, shares by tokens, and sources of two formats."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from pyloader import ChunkWriter, DataLoader, Packing
from pyloader.cli.main import main
from pyloader.errors import DataDirError, ReadFileError


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_came_of_each_source_is_counted_on_by_a_loader_that_resumes(tmp_path):
    for name, rows in (("large", 60), ("small", 20)):
        with ChunkWriter(tmp_path / name, chunk_samples=10, format="columns") as writer:
            for row in range(rows):
                writer.write({"tokens": [1] * (3 + row % 4)})
    options = {"data_dir": {name: tmp_path / name for name in ("large", "small")}, "pack": 8, "num_workers": 0}
    options |= {"batch_size": 4, "weights": {"large": 1, "small": 1}, "on_exhausted": "repeat", "num_steps": 30}

    def done(loader):
        return {
            name: value for name, value in loader.metrics().items() if name.startswith("source_") and "_done" in name
        }

    def counted(loader):
        return {name: each.num_tokens for name, each in loader.stats().sources.items()}

    with DataLoader(**options) as whole, DataLoader(**options) as first:
        for loader in (whole, first):
            assert len(list(loader)) == 30 and len(list(islice(loader, 10))) == 10
        with DataLoader(**options) as second:
            second.load_state_dict(first.state_dict())
            assert done(second) == done(whole) == done(first)
            assert len(list(whole)) == len(list(second)) == 20
            assert done(second) == done(whole) and counted(second) != counted(whole)
        assert done(whole)["source_samples_done/large"] == whole.stats().sources["large"].num_samples == 120
        for name, tokens in counted(whole).items():
            assert abs(done(whole)[f"source_tokens_done/{name}"] / tokens - 1) < 0.1


def test_packed_sources_may_be_of_two_formats_and_what_only_one_has_is_named_at_once(tmp_path):
    with ChunkWriter(tmp_path / "columns", chunk_samples=9, format="columns") as writer:
        for length in range(1, 9):
            writer.write({"tokens": [1] * length})
    (tmp_path / "lines").mkdir()
    for others in ({}, {"scores": 1}):
        rows = [{"tokens": [2] * n, **{name: [each] * n for name, each in others.items()}} for n in range(1, 9)]
        (tmp_path / "lines" / "0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["index", str(tmp_path / "lines"), "--overwrite"]) == 0
        options = {"data_dir": {name: tmp_path / name for name in ("columns", "lines")}, "batch_size": 1}
        if others:
            with pytest.raises(DataDirError, match=r"Leave out .* pack=Packing\(length=16, drop=\('scores',\)\)"):
                DataLoader(pack=16, **options)
        with DataLoader(pack=Packing(length=16, drop=tuple(others)), **options) as loader:
            assert {int(token) for batch in loader for token in batch["tokens"].ravel()} == {0, 1, 2}


def test_documents_with_other_columns_name_those_and_what_to_leave_out(tmp_path):
    for place, others in enumerate(({}, {"scores": [1, 2]})):
        (tmp_path / f"{place}.jsonl").write_text(json.dumps({"tokens": [3, 4], **others}) + "\n")
    with (
        DataLoader(data_dir=tmp_path, pack=8, batch_size=1) as loader,
        pytest.raises(
            ReadFileError,
            match=r"1.jsonl: has columns .'scores', 'tokens'., not .'tokens'..*=Packing.length=8, drop=.'scores',",
        ),
    ):
        list(loader)
    with DataLoader(data_dir=tmp_path, pack=Packing(length=8, drop=("scores",)), batch_size=1) as loader:
        assert len(list(loader)) == 2


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
