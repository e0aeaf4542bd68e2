"""Names that are not UTF-8: they work, or the error names them where JSON cannot hold them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.errors import ManifestError
from pyloader.files import ChunkEntry, Manifest, checksum_of, write_manifest

LATIN = os.fsdecode(b"latin\xe9")


@pytest.fixture
def here(tmp_path, monkeypatch):
    try:
        (tmp_path / LATIN).mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_rows(path, num_rows: int = 4) -> str:
    path.write_text("".join(f'{{"id": {row}}}\n' for row in range(num_rows)))
    return str(path)


def ids(loader) -> list[int]:
    with loader:
        return [int(number) for batch in loader for number in batch["id"]]


def test_a_dump_of_such_a_name_is_split_and_found_again(here, capsys):
    dump = write_rows(here / f"{LATIN}.jsonl")
    assert main(["split", dump, "chunks", "--num-chunks", "2"]) == 0
    assert ids(DataLoader(data_dir="chunks")) == [0, 1, 2, 3]
    command = json.loads((here / "chunks" / "manifest.json").read_text())["made_by"]["command"]
    assert r"latin\xe9.jsonl" in command
    assert main(["split", dump, "chunks", "--num-chunks", "2"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["split", "*.jsonl", f"{LATIN}/out", "--num-chunks", "2"]) == 0
    assert main(["verify", f"{LATIN}/out"]) == 0


def test_a_directory_of_such_a_name_is_indexed_loaded_and_audited(here, capsys):
    write_rows(here / LATIN / "a.jsonl")
    assert main(["index", LATIN, "--checksums"]) == 0
    loader = DataLoader(data_dir=LATIN, audit_dir=f"{LATIN}/receipts", verify="first")
    assert len(loader) == 1
    assert ids(loader) == [0, 1, 2, 3]
    assert main(["audit", f"{LATIN}/receipts", LATIN]) == 0
    capsys.readouterr()
    assert main(["peek", LATIN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == LATIN


def test_chunks_of_such_names_load_and_cannot_be_listed_in_json(here, capsys):
    write_rows(here / f"{LATIN}.jsonl")
    (here / LATIN).rmdir()
    assert ids(DataLoader(data_dir=here)) == [0, 1, 2, 3]
    for options in ([], ["--json", "--dry-run"], ["--checksums"]):
        assert main(["index", str(here), *options]) == 2
        assert rf"cannot list {LATIN}.jsonl".replace(LATIN, r"latin\xe9") in capsys.readouterr().err
    entry = ChunkEntry(file=f"{LATIN}.jsonl", num_samples=4, num_bytes=40)
    with pytest.raises(ManifestError, match=r"cannot list latin\\xe9\.jsonl: its name is not UTF-8.*Rename it"):
        write_manifest(here / "manifest.json", Manifest(columns=(), reader="jsonl", chunks=(entry,)))
    assert not (here / "manifest.json").exists()


def test_columns_of_such_names_have_checksums_and_cannot_be_listed(here, capsys):
    (here / "a.columns").mkdir()
    np.save(here / "a.columns" / f"{LATIN}.npy", np.arange(3))
    (here / LATIN).rmdir()
    assert checksum_of(here / "a.columns").startswith("xxh3:")
    assert main(["index", str(here), "--checksums"]) == 2
    assert r"cannot list latin\xe9: its name is not UTF-8" in capsys.readouterr().err
    np.testing.assert_array_equal(next(DataLoader(data_dir=[str(here / "a.columns")]))[LATIN], np.arange(3))


def test_what_is_left_out_is_written_down_under_its_name(here):
    write_rows(here / "good.jsonl")
    (here / f"{LATIN}.jsonl").write_text("{")
    chunks = [f"{LATIN}.jsonl", "good.jsonl"]
    assert ids(DataLoader(data_dir=chunks, max_skipped=1, quarantine="bad.jsonl", num_workers=0)) == [0, 1, 2, 3]
    assert json.loads((here / "bad.jsonl").read_text())["file"].endswith(f"{LATIN}.jsonl")
