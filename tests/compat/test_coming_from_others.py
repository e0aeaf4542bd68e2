"""The pages for users of Hugging Face datasets, Grain and torchdata: every block runs, and sees every row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import DataLoader, HuggingFaceReader
from pyloader.write import ChunkWriter

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]  # the others' own

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 200
X = np.arange(NUM_ROWS * 4, dtype=np.float32).reshape(NUM_ROWS, 4)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    return tmp_path


def check_page(page: str, num_loops: int) -> dict[str, Any]:
    """Run all blocks of a page, in a process of its own: others leave threads.  Each loop must see each row once."""
    words = [sys.executable, str(ROOT / "tests" / "support" / "page_loops.py"), page]
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=110
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["loops"] == [X[:, 0].tolist()] * num_loops
    return said


def test_every_loop_of_the_hugging_face_page_sees_every_row(place):
    datasets = pytest.importorskip("datasets")
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    datasets.disable_progress_bars()
    label = np.arange(NUM_ROWS) % 2
    features = datasets.Features(
        {"x": datasets.Sequence(datasets.Value("float32"), length=4), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    (place / "tables").mkdir()
    for number in range(3):
        rows = slice(number * 70, number * 70 + 70)
        vectors = arrow.FixedSizeListArray.from_arrays(X[rows].ravel(), 4)
        parquet.write_table(arrow.table({"x": vectors, "label": label[rows]}), place / f"tables/{number}.parquet")
    whole = datasets.Dataset.from_dict({"x": X.tolist(), "label": label.tolist()}, features=features)
    datasets.DatasetDict(train=whole).save_to_disk(place / "saved", num_shards={"train": 2})
    assert check_page("coming-from-hf-datasets.md", 4)["names"] == ["no", "yes"]
    with DataLoader(HuggingFaceReader(columns=["label"]), data_dir="saved/train", num_epochs=1) as loader:
        assert sum(len(batch["label"]) for batch in loader) == NUM_ROWS


def test_every_loop_of_the_grain_page_sees_every_row(place):
    pytest.importorskip("grain")
    module = pytest.importorskip("array_record.python.array_record_module")
    (place / "records").mkdir()
    for number, rows in enumerate((X[:120], X[120:])):
        writer = module.ArrayRecordWriter(str(place / f"records/part-{number}.array_record"), "group_size:1")
        for row in rows:
            writer.write(row.tobytes())
        writer.close()
    check_page("coming-from-grain.md", 3)


def test_every_loop_of_the_torchdata_page_sees_every_row(place):
    torch = pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    with ChunkWriter(place / "chunks" / "train", chunk_samples=NUM_ROWS, format="columns") as writer:
        for number, row in enumerate(X):
            writer.write({"x": row, "label": number % 2})
    assert check_page("coming-from-torchdata.md", 4)["x"] == "Tensor"
    rows = torch.utils.data.TensorDataset(torch.arange(50))
    one = stateful.StatefulDataLoader(rows, batch_size=8)
    next(iter(one))
    other = stateful.StatefulDataLoader(rows, batch_size=8, num_workers=2)
    other.load_state_dict(one.state_dict())
    with pytest.raises(AssertionError, match="_snapshot"):
        next(iter(other))
