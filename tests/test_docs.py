"""What the documents say is so."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import pyloader
from pyloader.plan import Dealing
from pyloader.read import registry

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_file_that_is_linked_exists(document):
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r'src="([^":]+)"', text)
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


def test_every_path_that_the_architecture_names_exists():
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:pyloader|tests|scripts|docs|examples|benchmarks|img)/[\w./-]*)`", text))
    assert len(named) > 20
    assert not [path for path in sorted(named) if not (PROJECT / path).exists()]


def test_every_package_is_in_the_architecture():
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.relative_to(PROJECT).as_posix() for path in PROJECT.glob("pyloader/*/__init__.py")]
    assert not [package for package in packages if f"`{package}/" not in text]


@pytest.mark.slow
def test_every_python_block_of_the_docs_runs(monkeypatch, tmp_path):
    for table in ("_CLASSES", "_NAMES"):  # what a block registers is forgotten afterwards
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    for document in sorted(PROJECT.glob("docs/**/*.md")):
        if document.name in (
            "audio.md",
            "audit.md",
            "coming-from-grain.md",
            "coming-from-hf-datasets.md",
            "coming-from-torchdata.md",
            "coming-from-litdata.md",
            "coming-from-mosaicml.md",
            "coming-from-webdataset.md",
            "indexed.md",
            "ray.md",
            "stores.md",
            "testing.md",
            "torch.md",
            "tensorflow.md",
        ):
            continue  # they need files, servers, or frameworks: test_docs.py in their directories of tests has them
        if document.name.startswith("jax"):
            continue  # they need JAX, and are run in tests/jax
        names = {"np": np, "pyloader": pyloader}
        (tmp_path / document.stem).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / document.stem)  # two documents may have a folder of one name
        for block in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
            exec(compile(block, str(document), "exec"), names)


def test_every_suffix_of_the_formats_page_has_the_reader_that_it_says():
    text = (PROJECT / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[.\w]+` ?)+) \| `(\w+)` \|", text, re.MULTILINE)
    said = {suffix: reader for suffixes, reader in rows for suffix in re.findall(r"[.\w]+", suffixes)}
    assert {suffix: type(pyloader.reader_for(f"chunk{suffix}")).__name__ for suffix in said} == said
    with pytest.raises(pyloader.PyLoaderError) as caught:
        pyloader.reader_for("chunk.unknown")
    known = re.search(r"Known: (.*?)\. For", str(caught.value))[1].split(", ")
    assert sorted(known) == sorted(said)


def test_the_dealing_figure_is_what_dealing_does():
    text = (PROJECT / "docs" / "laws.md").read_text(encoding="utf-8")
    header = next(line for line in text.splitlines() if line.startswith("    chunk arrives"))
    starts = [match.start() for match in re.finditer(r"segment \d", header)]
    dealing = Dealing(num_chunks=6, window=3)
    for arrival, chunk in enumerate("abcdef"):
        line = next(line for line in text.splitlines() if line.startswith(f"    {chunk} ")).ljust(len(header))
        cells = [line[start:stop] for start, stop in zip(starts, [*starts[1:], len(line)], strict=True)]
        drawn = {segment: cell.count(chunk) for segment, cell in enumerate(cells) if chunk in cell}
        dealt = [dealing.segment_of(arrival, hand) for hand in range(3)]
        assert drawn == {segment: dealt.count(segment) for segment in dealt}, chunk


def test_the_picture_is_what_its_script_draws():
    spec = importlib.util.spec_from_file_location("draw", PROJECT / "scripts" / "draw_architecture.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (PROJECT / "img" / "architecture.svg").read_text(encoding="utf-8") == script.picture()
