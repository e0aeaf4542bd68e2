"""`pyloader verify`: every kind of damage is found, all of it at once, and the way out is shown."""

import json
import re
from pathlib import Path

import pytest

from pyloader import ChunkWriter, DataLoader
from pyloader.cli.main import main
from pyloader.columns import ColumnSpec
from pyloader.files.manifest import ChunkEntry, Manifest, checksum_of, write_manifest

COMMAND = "pyloader split dump.jsonl chunks/ --num-chunks 4"


@pytest.fixture(autouse=True)
def a_wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def chunks(tmp_path) -> Path:
    """Four chunks of 10 samples, with checksums, as the splitter leaves them."""
    for index in range(4):
        lines = "".join(json.dumps({"id": 10 * index + row, "text": f"row {row}"}) + "\n" for row in range(10))
        (tmp_path / f"chunk-{index}.jsonl").write_text(lines)
    write_its_manifest(tmp_path, made_by={"command": COMMAND})
    return tmp_path


def write_its_manifest(directory: Path, *, checksums: bool = True, **others) -> None:
    entries = tuple(
        ChunkEntry(
            file=path.name,
            num_samples=10,
            num_bytes=path.stat().st_size,
            checksum=checksum_of(path) if checksums else "",
        )
        for path in sorted(directory.glob("*.jsonl"))
    )
    columns = (ColumnSpec("id", "array", "<i8"), ColumnSpec("text", "str"))
    write_manifest(directory / "manifest.json", Manifest(columns=columns, reader="jsonl", chunks=entries, **others))


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def verify(capsys, *words) -> tuple[int, list[str]]:
    code = main(["verify", *map(str, words)])
    out, err = capsys.readouterr()
    assert not err
    return code, out.splitlines()


def test_a_good_directory_is_good(capsys, chunks):
    assert verify(capsys, chunks) == (
        0,
        ["4 chunks, 40 samples: all checksums agree.", f"next       pyloader peek {chunks}"],
    )
    assert verify(capsys, chunks, "-q") == (0, [])


def test_all_damage_is_shown_at_once(capsys, chunks):
    flip_a_bit(chunks / "chunk-0.jsonl")
    (chunks / "chunk-1.jsonl").write_bytes(b"{}\n")
    (chunks / "chunk-2.jsonl").unlink()
    (chunks / "notes.txt").write_text("mine")
    expected_bytes = 10 * len('{"id": 10, "text": "row 0"}\n')
    code, lines = verify(capsys, chunks)
    assert code == 1
    assert lines == [
        "chunk-0.jsonl   unreadable   the checksum differs; "
        "line 6: is not JSON (JSON is malformed: invalid character (byte 0))",
        f"chunk-1.jsonl   truncated    3 bytes, the manifest says {expected_bytes}",
        "chunk-2.jsonl   missing",
        "notes.txt       ignored      not in the manifest",
        "1 of 4 chunks is good; 30 of 40 samples are in the 3 bad ones.",
        "next       write these 3 again, and nothing else, by the command that made them;",
        f"           the manifest says they were made by: {COMMAND}",
    ]


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('{"id": 31, "text": "row 1"}\n', " " * 27 + "\n", "changed   9 samples, the manifest says 10"),
        (r'"row \d"', "[1,2,3]", "changed   has 'text' as a list of list, not 'text' as a list of str"),
        ('"id": 35', '"id":0.5', "unreadable   line 6: 'id' is 0.5, which int64 cannot hold"),
        ('"text": "row 7"', '"txet": "row 7"', "unreadable   line 8: has keys ['id', 'txet'], and no 'text'"),
        ("row 9", "wor 9", "changed   it reads well, so some values are others"),
    ],
)
def test_what_differs_in_a_chunk_is_told(capsys, chunks, monkeypatch, checksums, old, new, found):
    monkeypatch.setenv("COLUMNS", "40")  # what matters is not cut off
    write_its_manifest(chunks, checksums=checksums)
    path = chunks / "chunk-3.jsonl"
    text = path.read_text()
    path.write_text(re.sub(old, new, text))
    assert len(path.read_text()) == len(text)
    code, lines = verify(capsys, chunks)
    if not checksums and "other" in found:
        assert code == 0  # only a checksum can tell
        return
    state, _, what = found.partition("   ")
    assert lines[0].startswith(f"chunk-3.jsonl   {state}   {'the checksum differs; ' if checksums else ''}{what}")


def test_sizes_only_reads_nothing(capsys, chunks, monkeypatch):
    flip_a_bit(chunks / "chunk-0.jsonl")
    monkeypatch.setattr("pyloader.files.verification.checksum_of", lambda path: pytest.fail(f"{path} was read"))
    assert verify(capsys, chunks, "--sizes-only")[1][0] == "4 chunks, 40 samples: all sizes agree."
    (chunks / "chunk-1.jsonl").write_bytes(b"")
    assert verify(capsys, chunks, "--sizes-only")[0] == 1


def test_a_chunk_too_many_is_a_problem_because_nothing_loads_the_directory(capsys, chunks):
    (chunks / "chunk-9.jsonl").write_text("{}\n")
    code, lines = verify(capsys, chunks)
    assert code == 1
    assert lines[0] == "chunk-9.jsonl   extra   not in the manifest, so the directory does not load"
    assert lines[1:3] == [
        "4 chunks, 40 samples: all checksums agree.",
        f"next       pyloader index {chunks} --overwrite",
    ]


def test_without_checksums_every_chunk_is_read_and_counted(capsys, chunks):
    write_its_manifest(chunks, checksums=False)
    assert verify(capsys, chunks)[1][0] == "4 chunks, 40 samples: all were read and counted."
    for index, old, new in ((0, '"row 0"}', '"row 00}'), (1, "\n{", "  "), (2, '"text"', '"txet"')):
        path = chunks / f"chunk-{index}.jsonl"
        path.write_text(path.read_text().replace(old, new, 1))
    code, lines = verify(capsys, chunks)
    assert code == 1
    assert "unreadable   line 1: " in lines[0]
    assert lines[3] == "1 of 4 chunks is good; 30 of 40 samples are in the 3 bad ones."
    assert "fetch these 3 again" in lines[4]
    assert f"pyloader index {chunks} --overwrite" in lines[5]


def test_a_chunk_with_fewer_samples_than_the_manifest_says_is_changed(capsys, chunks):
    write_its_manifest(chunks, checksums=False)
    path = chunks / "chunk-3.jsonl"
    first, *rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(b" " * len(first) + b"\n" + rest[0])
    assert verify(capsys, chunks)[1][0] == "chunk-3.jsonl   changed   9 samples, the manifest says 10"


def test_a_link_to_nothing_and_a_disk_that_fails_are_unreadable(capsys, chunks, monkeypatch):
    (chunks / "chunk-0.jsonl").unlink()
    (chunks / "chunk-0.jsonl").symlink_to("gone")

    def failing(path, ranges=None):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pyloader.files.verification.checksum_of", failing)
    _, lines = verify(capsys, chunks)
    assert lines[0] == "chunk-0.jsonl   unreadable   is a link to gone, which does not exist"
    assert lines[1] == "chunk-1.jsonl   unreadable   cannot be read (Input/output error)"


def test_the_findings_come_as_json(capsys, chunks):
    (chunks / "chunk-2.jsonl").unlink()
    code, lines = verify(capsys, chunks, "--json")
    found = json.loads("\n".join(lines))
    assert code == 1
    assert not found["is_good"]
    assert found["findings"] == [{"file": "chunk-2.jsonl", "state": "missing", "what": ""}]
    assert (found["num_bad_chunks"], found["num_bad_samples"], found["num_samples"]) == (1, 10, 40)


def test_without_a_manifest_the_way_to_one_is_shown(capsys, tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    assert main(["verify", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err == (
        f"pyloader verify: error: {tmp_path} has no manifest.json to compare with. "
        f"Make one: pyloader index {tmp_path}\n"
    )
    assert main(["verify", str(tmp_path / "a.jsonl")]) == 2
    assert f"Make one: pyloader index {tmp_path}/a.jsonl\n" in capsys.readouterr().err


def test_a_damaged_manifest_is_wrong_use_not_bad_chunks(capsys, chunks):
    (chunks / "manifest.json").write_text("{")
    assert main(["verify", str(chunks)]) == 2
    assert "manifest.json is not a manifest (" in capsys.readouterr().err


def test_all_sets_in_a_directory_are_verified_in_one_call(capsys, tmp_path):
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_text("{}\n")
        write_its_manifest(tmp_path / name)
    assert verify(capsys, tmp_path, "-q") == (0, [])
    flip_a_bit(tmp_path / "val" / "a.jsonl")
    code, lines = verify(capsys, tmp_path)
    assert code == 1
    assert lines[:3] == [
        f"{tmp_path}/train",
        "1 chunk, 10 samples: all checksums agree.",
        f"next       pyloader peek {tmp_path}/train",
    ]
    assert lines[3] == f"{tmp_path}/val"
    assert lines[4].startswith("a.jsonl   unreadable   the checksum differs; ")
    assert verify(capsys, tmp_path, "-q") == (1, lines[3:])
    found = json.loads("\n".join(verify(capsys, tmp_path, "--json")[1]))
    assert [(result["manifest"], result["is_good"]) for result in found] == [
        (f"{tmp_path}/train/manifest.json", True),
        (f"{tmp_path}/val/manifest.json", False),
    ]


def test_what_loaders_keep_beside_packed_chunks_is_not_shown(capsys, tmp_path):
    with ChunkWriter(tmp_path / "tokens", chunk_samples=10) as writer:
        for number in range(20):
            writer.write({"tokens": [1] * (number + 1)})
    DataLoader(data_dir=tmp_path / "tokens", batch_size=2, pack=32).close()
    assert any(path.name.startswith(".packed-") for path in (tmp_path / "tokens").iterdir())
    assert main(["verify", str(tmp_path / "tokens")]) == 0
    assert "ignored" not in capsys.readouterr().out


def test_many_harmless_files_take_one_line(capsys, chunks):
    for index in range(9):
        (chunks / f".hidden-{index}").write_text("")
    code, lines = verify(capsys, chunks)
    assert code == 0
    assert lines[4] == "5 more ignored, not in the manifest"
