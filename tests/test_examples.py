"""The examples run, on real text, and show the demo's own classes."""

import codecs
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyloader.demo import byte_windows
from pyloader.demo.text_dump import library_texts, write_text_dump

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run_example(name, *arguments, options=()):
    command = [sys.executable, "-W", "error", *options, EXAMPLES / name, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    path = tmp_path_factory.mktemp("dump") / "library.jsonl"
    write_text_dump(path, library_texts(), max_bytes=1_500_000)
    return path


def losses(screen):
    return {int(epoch): loss for epoch, loss in re.findall(r"epoch (\d+): .*loss ([\d.]+)", screen)}


@pytest.mark.slow
def test_the_text_model_learns_and_goes_on_after_a_stop_as_if_there_had_been_none(dump, tmp_path):
    unbroken = losses(run_example("numpy_text_model.py", dump, tmp_path / "unbroken", "--epochs", 3))
    first = losses(run_example("numpy_text_model.py", dump, tmp_path / "stopped", "--epochs", 1))
    rest = losses(run_example("numpy_text_model.py", dump, tmp_path / "stopped", "--epochs", 3))

    assert list(unbroken) == [0, 1, 2]
    assert float(unbroken[2]) < 2.6 < float(unbroken[0])
    assert {**first, **rest} == unbroken


def test_the_text_model_shows_the_classes_of_the_demo():
    example = (EXAMPLES / "numpy_text_model.py").read_text(encoding="utf-8")
    for name in byte_windows.__all__:
        assert inspect.getsource(getattr(byte_windows, name)) in example, name


@pytest.mark.frameworks
def test_the_torch_classifier_tells_python_from_python_in_rot13(tmp_path):
    pytest.importorskip("torch")
    with (tmp_path / "dump.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(library_texts()):
            text = text[:1000] if number % 2 else codecs.encode(text[:1000], "rot13")
            file.write(json.dumps({"text": text, "label": number % 2}) + "\n")
    screen = run_example("torch_text_classifier.py", tmp_path / "dump.jsonl", tmp_path / "work", "--epochs", 3)
    right, by_guessing = map(float, re.findall(r"([\d.]+)%", screen)[-2:])
    assert right > 90 > 60 > by_guessing


@pytest.mark.frameworks
def test_two_processes_train_the_model_that_one_trains(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    numbers = []
    for num_processes in (1, 2):
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
        screen = run_example("torch_ddp.py", tmp_path, options=["-W", "ignore", *torchrun])
        numbers.append([float(number) for number in re.findall(r"\d+\.\d+", screen)])
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-3)
    *losses, right, _ = numbers[0]
    assert losses[-1] < 0.2 * losses[0]
    assert right > 90


@pytest.mark.frameworks
def test_keras_reads_digits_and_goes_on_after_a_stop(tmp_path):
    for package in ("tensorflow", "sklearn"):
        pytest.importorskip(package)
    deprecations = ["-W", "ignore::DeprecationWarning"]  # Keras' own
    assert "stopped after step 50" in run_example("keras_fit.py", tmp_path, options=deprecations)
    screen = run_example("keras_fit.py", tmp_path, options=deprecations)
    assert "going on after step 50" in screen
    assert "of 110 steps" in screen
    assert float(re.search(r"([\d.]+)% of", screen)[1]) > 90


@pytest.mark.frameworks
def test_a_classifier_that_is_trained_inside_one_compiled_function_learns_digits():
    for package in ("jax", "sklearn"):
        pytest.importorskip(package)
    screen = run_example("jit_scan_epoch.py")  # it asserts its own accuracy, with a margin
    losses_of_run = losses(screen)
    assert list(losses_of_run) == list(range(20))
    assert float(losses_of_run[19]) < 0.2 < 0.5 < float(losses_of_run[0])


@pytest.mark.frameworks
@pytest.mark.parametrize(("example", "framework"), [("torch_images.py", "torch"), ("flax_images.py", "flax")])
def test_a_convolutional_network_learns_digits_of_jpegs(example, framework, tmp_path):
    for package in (framework, "sklearn", "PIL"):
        pytest.importorskip(package)
    screen = run_example(example, tmp_path)  # it asserts its own accuracy, with a margin
    assert float(re.search(r"([\d.]+)% of \d+ held-out", screen)[1]) > 95


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_under_a_hundred_lines(example):
    assert len(example.read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.frameworks
@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_a_language_model_learns_from_packed_documents_and_goes_on_to_the_last_bit(framework, tmp_path):
    for module in (framework, "tokenizers", *(("optax", "orbax.checkpoint") if framework == "flax" else ())):
        pytest.importorskip(module)

    def losses_of(name, steps):
        screen = run_example(f"{framework}_packed_documents.py", tmp_path / name, "--steps", steps)
        return {int(step): loss for step, loss in re.findall(r"step (\d+): loss ([\d.]+)", screen)}

    unbroken = losses_of("unbroken", 60)
    assert {**losses_of("stopped", 30), **losses_of("stopped", 60)} == unbroken
    assert float(unbroken[60]) < 4.6 < float(unbroken[10])


@pytest.mark.frameworks
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_a_mixture_that_is_killed_goes_on_in_another_number_of_processes_to_the_last_bit(
    framework, before, after, tmp_path
):
    for module in (framework, "tokenizers", *(("optax", "orbax.checkpoint") if framework == "flax" else ())):
        pytest.importorskip(module)
    example = f"{framework}_mixture.py"

    def losses_of(lines):
        return dict(line.strip().split(": ", 1) for line in lines if line.startswith("step "))

    def run(name, ranks):
        return losses_of(run_example(example, tmp_path / name, "--steps", 16, "--ranks", ranks).splitlines())

    unbroken = run("unbroken", 1)
    command = [sys.executable, EXAMPLES / example, tmp_path / "killed", "--steps", "16", "--ranks", str(before)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        steps = (line for line in running.stdout if line.startswith("step "))
        first = losses_of(line for line, _ in zip(steps, range(7), strict=False))
        os.killpg(running.pid, signal.SIGKILL)
    rest = run("killed", after)
    assert list(first) == [f"step {step}" for step in range(1, 8)]
    assert list(rest) == [f"step {step}" for step in range(6, 17)]
    assert {**first, **rest} == unbroken
