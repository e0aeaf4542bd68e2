"""The models of the examples, on packed documents: changing one document changes no other's loss."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pyloader import Packing, Ragged
from pyloader.packing import block_mask, pack_columns, unpacked_batch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LENGTH = 64
pytestmark = pytest.mark.frameworks


@pytest.fixture(autouse=True)
def modules_beside_the_examples(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torch_losses():
    torch = pytest.importorskip("torch")
    pytest.importorskip("tokenizers")
    torch.manual_seed(0)
    model = example("torch_packed_documents").Model()

    def losses(batch):
        tokens, places = torch.from_numpy(batch["tokens"]), torch.from_numpy(batch["position_ids"])
        with torch.no_grad():
            guesses = model(tokens, places.long(), torch.from_numpy(block_mask(batch["segment_ids"])))
        found = torch.nn.functional.cross_entropy(guesses.transpose(1, 2), tokens.roll(-1, dims=1), reduction="none")
        return found.numpy()

    return losses


def flax_losses():
    jnp = pytest.importorskip("jax.numpy")
    for package in ("flax", "optax", "orbax.checkpoint", "tokenizers"):
        pytest.importorskip(package)
    flax = example("flax_packed_documents")
    model = flax.Model(rngs=flax.nnx.Rngs(0))

    def losses(batch):
        guesses = model(batch["tokens"], batch["position_ids"], block_mask(batch["segment_ids"]))
        targets = jnp.roll(batch["tokens"], -1, axis=1)
        return np.asarray(flax.optax.softmax_cross_entropy_with_integer_labels(guesses, targets))

    return losses


@pytest.mark.parametrize("losses_of", [torch_losses, flax_losses])
def test_changing_one_document_changes_no_other_documents_loss(losses_of):
    losses = losses_of()
    random = np.random.default_rng(0)
    documents = Ragged.from_rows([random.integers(1, 500, random.integers(2, 100)) for _ in range(12)])
    packing = Packing(length=LENGTH)
    batch = unpacked_batch(pack_columns({"tokens": documents}, packing, random), packing)
    # A long document has pieces in several rows, which do not see each other: a piece is what changes.
    piece = batch["segment_ids"] + 100 * np.arange(len(batch["tokens"]))[:, None]
    counts = batch["loss_mask"]
    before = losses(batch)
    assert np.isfinite(before).all()
    for changed in np.unique(piece[counts])[::3]:
        mine = piece == changed
        tokens = np.where(mine, (batch["tokens"] + 1) % 500, batch["tokens"])
        after = losses({**batch, "tokens": tokens})
        differs = np.unique(piece[counts & (before != after)])
        assert differs.tolist() == [changed]
