"""The Flax examples learn, on real images and real text, and one that is killed goes on as if it had not been."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyloader.demo.text_dump import library_texts, write_text_dump

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.frameworks


@pytest.fixture(autouse=True)
def flax(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for package in ("flax", "optax", "orbax.checkpoint", "sklearn"):
        pytest.importorskip(package)
    # What one run has compiled, the runs after it in the same test need not.
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def lines_of(name: str, *arguments: Any) -> Iterator[str]:
    """Run an example, and yield what it prints as it comes; when the caller has had enough, it is killed."""
    command = [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            yield from process.stdout
            errors = process.stderr.read()
            assert process.wait() == 0, errors
        finally:
            process.kill()


def numbers(pattern: str, lines: Iterator[str]) -> list[tuple[str, ...]]:
    return re.findall(pattern, "".join(lines))


def test_the_image_classifier_learns_and_is_evaluated_every_500_steps(tmp_path: Path) -> None:
    found = numbers(r"step (\d+): (\w+) accuracy ([\d.]+)", lines_of("flax_image_classifier.py", tmp_path))
    assert [(step, name) for step, name, _ in found] == [
        (step, name) for step in ("500", "1000") for name in ("train", "val")
    ]
    accuracies = [float(accuracy) for _, _, accuracy in found]
    assert accuracies[1] > 0.85
    assert accuracies[3] > 0.95


def test_the_model_on_eight_devices_learns(tmp_path: Path) -> None:
    screen = "".join(lines_of("flax_data_parallel.py", tmp_path))
    shares = [float(share) for share in re.findall(r"([\d.]+)% of", screen)]
    assert len(shares) == 20
    assert shares[-1] > 93
    assert "(64, 64) on 8 devices" in screen


@pytest.mark.timeout(300)
def test_the_language_model_that_is_killed_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    dump = tmp_path / "library.jsonl"
    write_text_dump(dump, library_texts(), max_bytes=1_000_000)

    def run(place: str) -> Iterator[str]:
        return lines_of("flax_language_model.py", dump, tmp_path / place, "--steps", 80)

    loss = r"step (\d+), epoch 0: loss ([\d.]+)"  # within an epoch all the way
    unbroken = numbers(loss, run("unbroken"))
    killed = run("killed")
    for line in killed:
        if line.startswith("step 60"):
            break
    killed.close()  # type: ignore[attr-defined]
    rest = numbers(loss, run("killed"))

    assert [int(step) for step, _ in unbroken] == list(range(10, 90, 10))
    assert float(unbroken[-1][1]) < 2.8 < float(unbroken[0][1])  # nats; 3.2 is what the bytes' shares alone give
    assert rest[0][0] in ("30", "60"), "it did not resume from a checkpoint at step 25 or 50"
    assert rest == unbroken[-len(rest) :]
