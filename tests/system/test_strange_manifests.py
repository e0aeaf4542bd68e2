"""Manifests that nobody would write: each is loaded exactly, or refused by an error of the package that names it.

300 cases of each; PYLOADER_CASES=20000 asks for as many.
"""

from __future__ import annotations

import copy
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyloader import DataLoader, PyLoaderError
from pyloader.cli import main as frame

CASES = int(os.environ.get("PYLOADER_CASES", "300"))
ROWS = 12  # of a file
FORMS = ["jsonl", "csv", "txt", "npy", "columns", "bin", "parquet"]
FORMS += [f"{suffix} in parts" for suffix in ("jsonl", "csv", "npy", "bin", "parquet")]


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """A set of two files for each form, with its manifest as JSON."""
    made = {}
    for form in FORMS:
        suffix, _, in_parts = form.partition(" in ")
        root = tmp_path_factory.mktemp(suffix)
        for chunk in "ab":
            write_chunk(root / f"{chunk}.{suffix}")
        tokens = ["--reader", "tokens", "--option", "window=4", "--option", "dtype=uint16"]
        words = ["index", str(root), "--checksums", "-q", *(tokens if suffix == "bin" else [])]
        words += ["--chunk-samples", "5"] if in_parts else []
        assert frame.main(words) == 0
        with DataLoader(data_dir=root, batch_size=5, shuffle=True, num_workers=0) as loader:
            next(loader)
            (root / ".state").write_text(json.dumps(loader.state_dict()))
        made[form] = root, json.loads((root / "manifest.json").read_bytes())
    return made


def write_chunk(path: Path) -> None:
    if path.suffix == ".jsonl":
        row = {"number": 1, "text": "a\x1b]0;b", "list": [1, 2], "gap": None}
        path.write_text("".join(json.dumps({**row, "number": index}) + "\n" for index in range(ROWS)))
    elif path.suffix == ".csv":
        path.write_text("number,text\n" + "".join(f"{index},x\n" for index in range(ROWS)))
    elif path.suffix == ".txt":
        path.write_text("line\n" * ROWS)
    elif path.suffix == ".npy":
        np.save(path, np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3))
    elif path.suffix == ".columns":
        path.mkdir()
        np.save(path / "x.npy", np.arange(ROWS))
        np.save(path / "y.npy", np.zeros((ROWS, 2, 2), np.uint8))
    elif path.suffix == ".bin":
        np.arange(ROWS * 4, dtype="<u2").tofile(path)
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = arrow.table({"n": list(range(ROWS)), "s": ["x"] * ROWS, "l": [[1]] * ROWS})
        parquet.write_table(table, path, row_group_size=4)


NASTY = st.one_of(
    st.sampled_from(
        [
            "",
            "\0",
            "../x",
            "/etc/passwd",
            "a" * 5000,
            "helper:Reader",
            ":",
            "..:x",
            "pyloader:DataReader",
            "\x1b[2K",
            "é",
        ]
    ),
    st.sampled_from(["jsonl", "csv", "text", "tokens", "npy", "npz", "columns", "arrayrecord", "parquet"]),
    st.sampled_from(
        ["U", "<f4", "|O", "M8[ns]", "V8", "f4,f4", "S2147483647", "<U5", "?", "nonsense", "array", "list"]
    ),
    st.sampled_from([0, -1, 1, 2, 2**31, 2**62, 2**63 - 1, 2**63, 10**30, 0.5, 1e308, True, None]),
    st.sampled_from([[], {}, [2**62], [1] * 100, [0], [-1], [3], [2, 2], {"dtypes": 5}, {"columns": ["n"]}]),
    st.text(max_size=5),
)
OPTION_NAMES = ["dtypes", "columns", "fill", "name", "mmap", "batch_size", "shuffle", "seed", "window", "stride"]
OPTION_NAMES += ["dtype", "shape", "delimiter", "quote", "x"]
OPTIONS = st.dictionaries(
    st.sampled_from(OPTION_NAMES),
    st.one_of(NASTY, st.dictionaries(st.sampled_from(["number", "text", "n", "x"]), NASTY, max_size=2)),
    max_size=3,
)
NESTED = "[" * 100_000


def places(content: Any, before: tuple = ()) -> list[tuple]:
    """Return the way to every value in `content`."""
    found = [before] if before else []
    for key, value in (
        content.items() if isinstance(content, dict) else enumerate(content) if type(content) is list else ()
    ):
        found += places(value, (*before, key))
    return found


@st.composite
def strange(draw: Any, manifest: dict[str, Any]) -> dict[str, Any]:
    """Draw a manifest with one to three changes, wherever they are."""
    changed = copy.deepcopy(manifest)
    for _ in range(draw(st.integers(1, 3))):
        if not isinstance(changed.get("chunks"), list) or not changed["chunks"]:
            break  # it could hardly be stranger
        if draw(st.booleans()):
            changed["reader_options"] = copy.deepcopy(draw(OPTIONS))
            continue
        *way, last = draw(st.sampled_from(places(changed)))
        holder = changed
        for key in way:
            holder = holder[key]
        what = draw(st.sampled_from(["set", "set", "set", "drop", "twice", "count"]))
        if what == "set":
            holder[last] = copy.deepcopy(draw(NASTY))
        elif what == "drop":
            del holder[last]
        elif what == "count":
            changed["chunks"][:1] = [
                {
                    **copy.deepcopy(manifest["chunks"][0]),
                    "num_samples": draw(st.sampled_from([0, 1, 13, 2**40, 2**62, 2**63 - 1])),
                }
            ]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
    return changed


ASKED = settings(max_examples=CASES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@ASKED
@given(data=st.data(), form=st.sampled_from(FORMS), shuffle=st.booleans())
def test_a_loader_delivers_every_row_or_raises_an_error_of_the_package(sets, data, form, shuffle):
    root, manifest = sets[form]
    (root / "manifest.json").write_text(json.dumps(data.draw(strange(manifest))))
    try:
        with DataLoader(data_dir=root, batch_size=5, shuffle=shuffle, num_workers=0) as loader:
            assert loader.stats() is not None
            num_rows = sum(len(next(iter(batch.values()))) for batch in islice(loader, 10))
    except PyLoaderError as exc:
        assert str(exc)
    else:
        assert num_rows == 2 * ROWS


@pytest.mark.slow
@ASKED
@given(
    data=st.data(), form=st.sampled_from(FORMS), command=st.sampled_from(["peek", "verify", "index", "locate", "bench"])
)
def test_a_command_shows_what_there_is_or_raises_an_error_of_the_package(sets, data, form, command):
    root, manifest = sets[form]
    (root / "manifest.json").write_text(json.dumps(data.draw(strange(manifest))))
    place = str(root)
    words = {
        "peek": [place],
        "verify": [place],
        "index": [place, "--dry-run", *(["--reader", "jsonl"] if form.startswith("jsonl") else [])],
        "locate": [str(root / ".state"), place, "--step", "3"],
        "bench": [place, "--alone", "--seconds", "0.001", "--batch-size", "5", "-q"],
    }[command]
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            frame._dispatch(command, [command, *words])  # `main` would put any error in words
    except PyLoaderError as exc:
        out.write(str(exc).translate({27: None, 0: None}))
    assert not {"\x1b", "\0"} & set(out.getvalue() + err.getvalue())


@pytest.mark.parametrize(
    "content", [NESTED, '{"columns": ' + NESTED, '{"made_by": ' + '{"a":' * 100_000, "", "[]", "\0"]
)
@pytest.mark.parametrize("command", ["peek", "verify", "bench"])
def test_what_is_no_manifest_is_one_line(tmp_path, capsys, content, command):
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "manifest.json").write_text(content)
    assert frame.main([command, str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"pyloader {command}: error: {tmp_path}/manifest.json is not a manifest (")
    assert err.count("\n") == 1
