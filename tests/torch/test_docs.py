"""docs/torch.md is run, and its recipes deliver what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader
from pyloader.errors import StateError

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]  # the other frameworks' own

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "torch.md").read_text(encoding="utf-8")
BLOCKS = [
    (TEXT[: match.start()].count("\n") + 2, match[1]) for match in re.finditer(r"```python\n(.*?)```", TEXT, re.S)
]
STEPS = 10


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with chunks of images and labels."""
    rng = np.random.default_rng(0)
    with ChunkWriter(tmp_path / "chunks" / "train", chunk_samples=100) as writer:
        for number in range(650):
            writer.write({"image": rng.random((8, 8), np.float32), "label": number % 10})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*wanted: str) -> dict[str, Any]:
    """Run the first block, and those that name one of `wanted`."""
    names: dict[str, Any] = {}
    for number, (line, block) in enumerate(BLOCKS):
        if number == 0 or any(word in block for word in wanted):
            exec(compile("\n" * (line - 1) + block, "docs/torch.md", "exec"), names)
    return names


def test_batches_are_tensors(place: Path) -> None:
    names = run()
    assert names["loss"].shape == ()


def test_torchs_loader_has_every_batch(place: Path) -> None:
    assert run("as_iterable_dataset")["state"]["steps_done"] == STEPS + 1  # the last has 10 samples


def test_lightning_goes_through_every_epoch_and_saves_the_position(place: Path) -> None:
    lightning = pytest.importorskip("lightning")
    names = run("import lightning")
    loader = names["trainer"].train_dataloader
    assert isinstance(loader, DataLoader)
    assert (loader.get_epoch(), loader.steps_done) == (1, 2 * STEPS)
    loader.close()

    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    seen: list[int] = []

    class Watched(names["Digits"]):
        def training_step(self, batch: Any, number: int) -> Any:
            seen.append(int(batch["image"].sum() * 1000))
            return super().training_step(batch, number)

    whole = lightning.Trainer(max_epochs=2, enable_checkpointing=False, **options)
    whole.fit(Watched())
    everything, seen[:] = list(seen), []
    saving = lightning.pytorch.callbacks.ModelCheckpoint(dirpath=place / "saved", every_n_train_steps=7, save_top_k=-1)
    stopped = lightning.Trainer(max_steps=14, callbacks=[saving], **options)
    stopped.fit(Watched())
    assert seen == everything[:14]
    seen.clear()
    resumed = lightning.Trainer(max_epochs=2, enable_checkpointing=False, **options)
    [checkpoint] = (place / "saved").glob("*step=7.ckpt")
    resumed.fit(Watched(), ckpt_path=checkpoint, weights_only=False)
    assert seen == everything[7:]
    for trainer in (whole, stopped, resumed):
        trainer.train_dataloader.close()


def test_accelerate_saves_and_loads_the_position(place: Path) -> None:
    pytest.importorskip("accelerate")
    names = run("import Accelerator")
    assert names["batch"]["image"].shape == (64, 8, 8)
    batches, accelerator = names["batches"], names["accelerator"]
    assert batches.steps_done == STEPS
    accelerator.save_state(str(place / "state"))
    batches.reset()
    accelerator.load_state(str(place / "state"))
    assert batches.steps_done == STEPS
    batches.close()


def test_the_trainer_of_transformers_trains_on_every_batch_once(place: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    names = run("import transformers")
    assert names["loader"].steps_done == 20
    assert json.loads((place / "trained" / "checkpoint-10" / "loader.json").read_text())["steps_done"] == 10
    names["loader"].close()


def test_a_loader_says_to_ask_what_wraps_it(place: Path) -> None:
    names = run()
    wrapped = names["prefetch_to_device"](names["loader"], "cpu")
    with pytest.raises(StateError, match="Ask the outermost: the DevicePrefetch's state_dict"):
        names["loader"].state_dict()
    wrapped.close()
