"""docs/ray.md is run, and training goes on with another number of workers, with the same batches."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyloader import DataLoader, World

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(240), pytest.mark.filterwarnings("default")]  # Ray's own
pytest.importorskip("ray.train.torch", exc_type=ImportError)

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "ray.md").read_text(encoding="utf-8")
BLOCKS = [
    (TEXT[: match.start()].count("\n") + 2, match[1]) for match in re.finditer(r"```python\n(.*?)```", TEXT, re.S)
]
STEPS = 2000 // 16


@pytest.fixture(scope="module")
def page(ray_here: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the page in a directory of its own; return what its blocks define."""
    ray_here.data.range(1).materialize()  # its log file is opened at first use, and stays open
    names: dict[str, Any] = {"place": tmp_path_factory.mktemp("page")}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(names["place"])
        for line, block in BLOCKS:
            exec(compile("\n" * (line - 1) + block, "docs/ray.md", "exec"), names)
    return names


def test_training_goes_on_with_one_worker_where_two_were_stopped_with_the_same_batches(
    page: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(page["place"])

    def until_step(last: int, notes: str) -> Any:
        def step(number: int, rank: int, batch: dict[str, Any]) -> None:
            if number > last:
                raise RuntimeError("preempted")
            with open(f"{notes}-{rank}", "a") as file:
                file.write(json.dumps([number, batch["text"]]) + "\n")

        return step

    with pytest.raises(Exception, match="preempted"):
        page["fit"](2, until_step(37, f"{tmp_path}/two"))
    page["fit"](1, until_step(STEPS, f"{tmp_path}/one"))
    expected = dict(enumerate(whole_run(page["place"] / "chunks" / "train"), start=1))
    two = [noted(tmp_path / f"two-{rank}") for rank in (0, 1)]
    one = noted(tmp_path / "one-0")
    both = two[0].keys() & two[1].keys()  # a rank may be stopped some steps behind the other
    assert both >= set(range(1, 31))
    assert {step: two[0][step] + two[1][step] for step in both} == {step: expected[step] for step in both}
    assert min(one) in (11, 21, 31)  # after a checkpoint
    assert one == {step: expected[step] for step in range(min(one), STEPS + 1)}


def noted(path: Path) -> dict[int, list[str]]:
    return dict(map(json.loads, path.read_text().splitlines()))


def whole_run(chunks: Path) -> list[list[str]]:
    """Return the batches of an uninterrupted run, over all ranks."""
    options: dict[str, Any] = {"batch_size": 16, "shuffle": True, "last_batch": "drop", "num_epochs": 1}
    with DataLoader(data_dir=chunks, world=World(0, 1, num_streams=2), **options) as loader:
        batches = [batch["text"] for batch in loader]
    assert len(batches) == STEPS
    return batches
