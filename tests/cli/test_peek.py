"""`pyloader peek`: what is inside, what a batch will be, and what it costs; of a large dump only the beginning."""

import gzip
import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader, Packing
from pyloader.cli.main import main
from pyloader.files.manifest import read_manifest, write_manifest
from pyloader.inspecting import beginnings
from pyloader.inspecting.contents import tally_columns

GSM8K = Path(__file__).resolve().parents[1] / "data" / "gsm8k_train.jsonl"


@pytest.fixture(autouse=True)
def a_wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def write_lines(path: Path, samples: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return path


@pytest.fixture
def chunks(tmp_path, monkeypatch, capsys) -> Path:
    """Three chunks of 100 and 101 samples, with a manifest; the current directory holds them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number, rows in enumerate((100, 100, 101)):
        samples = [
            {"text": f"row {row}\nof {number}", "score": float(rng.random()), "label": int(rng.integers(3))}
            for row in range(rows)
        ]
        write_lines(Path("chunks") / f"chunk-{number}.jsonl", samples)
    assert main(["index", "chunks", "-q"]) == 0
    return Path("chunks")


def peek(capsys, *words) -> list[str]:
    assert main(["peek", *map(str, words)]) == 0
    out, err = capsys.readouterr()
    assert not err
    return out.splitlines()


def line_that_begins(lines: list[str], label: str) -> str:
    (found,) = [line for line in lines if line.startswith(label)]
    return found


def test_the_whole_screen_of_a_directory(capsys, chunks):
    lines = peek(capsys, "chunks/", "--batch-size", 64)
    assert lines[0].startswith("chunks       301 samples, 3 chunks of 100 or 101   jsonl, ")
    assert lines[1] == "made by      the manifest says: pyloader index chunks"
    assert " ".join(lines[3].split()) == "column kind missing length min/median/max or min/mean/max most common"
    assert lines[4].startswith("label    int64           0   0 / ")
    assert lines[6].startswith("text     str             0   10 / 11 / 11 ")
    assert lines[7] == "  (from chunk-0.jsonl, 100 samples; --all reads every chunk)"
    assert lines[9] == "sample 0"
    assert lines[12] == "  text    row 0⏎of 0"
    assert lines[14:17] == [
        'to read   DataLoader(data_dir="chunks", batch_size=64, shuffle=True)',
        "          a batch: label: int64 [64]   score: float64 [64]   text: list of 64 str",
        "steps     5 an epoch, the last one of 45 samples",
    ]
    assert lines[17].startswith("memory    3 chunks (max_queue_size=10) are about ")
    assert len(lines) == 18


def test_steps_are_those_of_each_rank(capsys, chunks):
    lines = peek(capsys, chunks, "--batch-size", 16, "--ranks", 4)
    expected = 'steps     4 an epoch on each of 4 ranks with last_batch="drop"   5 with "pad" or "wrap"'
    assert line_that_begins(lines, "steps") == expected


@pytest.mark.parametrize("batch_size", [1, 7, 43, 300, 301, 302])
def test_steps_are_those_that_the_loader_counts(capsys, chunks, batch_size):
    line = line_that_begins(peek(capsys, chunks, "--batch-size", batch_size), "steps")
    with DataLoader(data_dir=chunks, batch_size=batch_size, num_workers=0) as loader:
        assert line.split()[1] == str(loader.steps_per_epoch)
        *_, last = loader
    rest = len(last["text"])
    ending = f", the last one of {rest} sample{'s' if rest > 1 else ''}" if rest < batch_size else " an epoch"
    assert line.endswith(ending)


def test_memory_is_what_the_loader_may_hold(capsys, tmp_path):
    for number, rows in enumerate([10] * 11 + [1000]):
        write_lines(tmp_path / f"{number:02}.jsonl", [{"n": row} for row in range(rows)])
    assert main(["index", str(tmp_path), "-q"]) == 0
    # Ten times the largest chunk: the bound is counted in chunks, whichever they are.
    expected = "memory    10 chunks (max_queue_size=10) are about 80.0 kB"
    assert line_that_begins(peek(capsys, tmp_path), "memory") == expected
    assert line_that_begins(peek(capsys, tmp_path, "--ranks", 2), "memory") == f"{expected} on each rank"
    assert DataLoader(data_dir=tmp_path).stats().max_queue_size == 10


def test_what_is_advised_for_several_ranks_is_no_short_batch(capsys, chunks):
    line = line_that_begins(peek(capsys, chunks, "--ranks", 4), "to read")
    assert line == 'to read   DataLoader(data_dir="chunks", batch_size=256, shuffle=True, last_batch="drop")'


def test_as_many_samples_and_columns_as_asked_for(capsys, chunks):
    lines = peek(capsys, chunks, "--samples", 2, "--columns", "text")
    assert [line for line in lines if line.startswith("  text")] == ["  text   row 0⏎of 0", "  text   row 1⏎of 0"]
    assert not any(line.startswith("  label") for line in lines)
    assert not any(line.startswith("sample") for line in peek(capsys, chunks, "-q"))


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--columns", "txet"], "--columns: there is no column 'txet'. Did you mean 'text'?"),
        (["--columns", "zzz"], "--columns: there is no column 'zzz'. There are: label, score, text"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--ranks", "0"], "--ranks must be at least 1, got 0"),
        (["--samples", "-1"], "--samples must be at least 0, got -1"),
    ],
)
def test_wrong_options_are_answered(capsys, chunks, words, answer):
    assert main(["peek", "chunks", *words]) == 2
    assert capsys.readouterr().err == f"pyloader peek: error: {answer}\n"


def test_all_reads_every_chunk(capsys, chunks):
    found = json.loads("\n".join(peek(capsys, chunks, "--all", "--json")))
    assert {column["num_rows"] for column in found["columns"]} == {301}
    assert "--all reads" not in "\n".join(peek(capsys, chunks, "--all"))


def test_everything_comes_as_json(capsys, chunks):
    found = json.loads("\n".join(peek(capsys, chunks, "--json", "--samples", 2)))
    assert (found["num_samples"], found["num_chunks"], found["is_counted"]) == (301, 3, True)
    assert [column["name"] for column in found["columns"]] == ["label", "score", "text"]
    assert [sample["text"] for sample in found["samples"]] == ["row 0\nof 0", "row 1\nof 0"]


def test_how_chunks_were_made_is_shown(capsys, chunks):
    manifest = read_manifest("chunks/manifest.json")
    manifest.made_by.update(command="pyloader split x.jsonl chunks/ --shuffle")
    write_manifest("chunks/manifest.json", manifest)
    assert peek(capsys, chunks)[1] == "made by      the manifest says: pyloader split x.jsonl chunks/ --shuffle"


def test_without_a_manifest_the_count_is_an_estimate_and_says_so(capsys, chunks):
    (chunks / "manifest.json").unlink()
    lines = peek(capsys, chunks)
    assert lines[0].startswith("chunks        about 300 samples, 3 chunks   jsonl, ")
    assert lines[1] == "not indexed   pyloader index chunks counts the samples"
    assert line_that_begins(lines, "steps").endswith("about 2 an epoch")


def test_one_chunk_is_a_dataset_and_a_dump(capsys, chunks):
    (chunks / "manifest.json").unlink()
    lines = peek(capsys, "chunks/chunk-0.jsonl")
    assert lines[0].startswith("chunks/chunk-0.jsonl   100 samples   jsonl, ")
    assert lines[-1] == "or split   pyloader split chunks/chunk-0.jsonl chunks/"


def test_of_a_large_dump_only_the_beginning_is_read(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = json.dumps({"text": "x" * 1000}) + "\n"
    with open("dump.jsonl", "w") as file:
        file.write(line * 9000)
        file.write("this is no JSON, and is never reached\n")
    lines = peek(capsys, "dump.jsonl")
    assert lines[0].startswith("dump.jsonl   about 9,000 samples   jsonl, 9.1 MB on disk, ")
    assert "  (from the beginning of dump.jsonl, 4,1" in lines[4]
    assert lines[-1] == "next   pyloader split dump.jsonl chunks/"


def test_large_chunks_are_looked_at_by_their_beginning_too_and_are_still_a_dataset(capsys, chunks, monkeypatch):
    monkeypatch.setattr(beginnings, "_WHOLE_BYTES", 10)
    monkeypatch.setattr(beginnings, "_BLOCK_BYTES", 1000)
    lines = peek(capsys, chunks)
    assert lines[0].startswith("chunks       301 samples, 3 chunks of 100 or 101 ")
    assert lines[7].startswith("  (from the beginning of chunk-0.jsonl, ")
    assert line_that_begins(lines, "to read").startswith('to read   DataLoader(data_dir="chunks"')
    assert line_that_begins(lines, "steps") == "steps     2 an epoch, the last one of 45 samples"


def test_a_dump_larger_than_a_chunk_should_be_is_not_read_whole(capsys, tmp_path):
    with open(tmp_path / "dump.txt", "wb") as file:
        file.truncate(2**30 + 1)
    assert main(["peek", "--all", str(tmp_path / "dump.txt")]) == 2
    assert (
        "has 1.1 GB, too much to be read whole. Find its parts first: pyloader index; or leave out --all"
        in capsys.readouterr().err
    )


def test_of_a_large_packed_dump_only_the_beginning_is_unpacked(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(beginnings, "_WHOLE_BYTES", 1000)
    monkeypatch.setattr(beginnings, "_BLOCK_BYTES", 2000)
    rng = np.random.default_rng(0)
    text = "".join(json.dumps({"text": rng.bytes(50).hex()}) + "\n" for _ in range(5000))
    Path("dump.jsonl.gz").write_bytes(gzip.compress(text.encode())[:-100])  # the damage is at the end
    assert peek(capsys, "dump.jsonl.gz")[0].startswith("dump.jsonl.gz   samples not counted   jsonl.gz, ")


def test_a_fault_at_the_beginning_names_the_dump_and_the_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(beginnings, "_WHOLE_BYTES", 10)
    (tmp_path / "dump.jsonl").write_text('{"x": 1}\n{"x": \n')
    assert main(["peek", str(tmp_path / "dump.jsonl")]) == 2
    assert capsys.readouterr().err.startswith(f"pyloader peek: error: {tmp_path}/dump.jsonl:2: ")


def test_a_table_is_not_cut_inside_of_quotes(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(beginnings, "_WHOLE_BYTES", 10)
    monkeypatch.setattr(beginnings, "_BLOCK_BYTES", 40)
    (tmp_path / "dump.csv").write_text('text,n\nplain,1\n"two\nlines, with\nmore\n\nand more",2\n' * 3)
    found = json.loads("\n".join(peek(capsys, tmp_path / "dump.csv", "--json", "--samples", 9)))
    assert found["samples"] == [{"n": 1, "text": "plain"}]


def test_large_arrays_and_tables_show_their_beginning(capsys, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    monkeypatch.setattr(beginnings, "_WHOLE_BYTES", 10)
    monkeypatch.setattr(beginnings, "_NUM_ROWS", 7)
    np.save(tmp_path / "x.npy", np.arange(70).reshape(35, 2))
    parquet.write_table(arrow.table({"n": list(range(35))}), tmp_path / "x.parquet")
    for name in ("x.npy", "x.parquet"):
        found = json.loads("\n".join(peek(capsys, tmp_path / name, "--json")))
        assert found["columns"][0]["num_rows"] == 7
        assert found["num_samples"] == 35


def test_data_sorted_by_class_is_warned_of(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        write_lines(Path("chunks") / f"{number:02d}.jsonl", [{"label": number // 2, "x": row} for row in range(50)])
    lines = peek(capsys, "chunks")
    at = lines.index("warning   label: 100% of neighbours are equal; in random order, 33%.")
    said = "          With a window of 4 a batch of 256 is as varied in it as 6 samples of a full shuffle."
    assert lines[at + 1] == said
    assert lines[at + 2].startswith(
        "          Split again with --shuffle, or use shuffle_window=20, max_queue_size=21 ("
    )
    assert not any("x:" in line for line in lines[at:])
    DataLoader(data_dir="chunks", shuffle=True, shuffle_window=20, max_queue_size=21).close()


def test_chunks_that_differ_in_what_they_hold_are_warned_of_though_their_rows_are_mixed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(20):
        kinds = np.where(rng.random(200) < 0.7, number % 3, rng.integers(3, size=200))
        sources = [["web", "books", "code"][kind] for kind in kinds]
        rows = [{"source": source, "even": bool(rng.integers(2))} for source in sources]
        write_lines(Path("chunks") / f"{number:02d}.jsonl", rows)
    lines = peek(capsys, "chunks", "--batch-size", "128")
    (at,) = [number for number, line in enumerate(lines) if line.startswith("warning")]
    warning = "warning   source: chunks differ in what they hold of it. With a window of 4 a batch of 128 is as varied"
    assert lines[at].startswith(warning)
    assert lines[at + 1].strip().startswith("Split again with --shuffle, or use shuffle_window=20")
    DataLoader(data_dir="chunks", shuffle=True, shuffle_window=20, max_queue_size=21).close()


@pytest.mark.parametrize("labels", [[0] * 200, [0] * 190 + [1] * 10])
def test_a_class_that_most_have_is_no_sorted_data(capsys, tmp_path, labels):
    shuffled = np.random.default_rng(0).permutation(labels).tolist()
    for number in range(3):
        write_lines(tmp_path / f"{number}.jsonl", [{"label": label} for label in shuffled])
    assert not any(line.startswith("warning") for line in peek(capsys, tmp_path))


def test_few_rows_are_no_sign_of_sorted_data(capsys, tmp_path):
    for number, labels in enumerate([[1, 1], [0], [0]]):
        write_lines(tmp_path / f"{number}.jsonl", [{"label": label} for label in labels])
    assert not any(line.startswith("warning") for line in peek(capsys, tmp_path))


def test_a_dump_cannot_command_the_terminal(capsys, tmp_path):
    write_lines(tmp_path / "a.jsonl", [{"te\x1bxt": "\x1b[31mred\x07\r\n\tend\x9b\u2028"}])
    shown = "\n".join(peek(capsys, tmp_path))
    assert not any(character in shown for character in "\x1b\x07\r\t\x9b\u2028")
    assert "\\x1b[31mred\\x07⏎→end\\x9b⏎" in shown


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_and_samples_fit_the_screen(capsys, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    write_lines(tmp_path / "a.jsonl", [{"text": "日本語" * 100, "other": "wörds " * 100, "n": row} for row in range(3)])
    lines = peek(capsys, tmp_path)
    table = lines[lines.index("sample 0") - 5 : lines.index("sample 0") + 4]
    widths = [sum(2 if ord(character) > 0x2FFF else 1 for character in line) for line in table]
    assert max(widths) <= width
    assert max(widths) >= width - 1


def test_nothing_is_cut_where_there_is_no_screen(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    write_lines(tmp_path / "a.jsonl", [{"text": "word " * 100, "a rather long name of a column": "x" * 20}])
    lines = peek(capsys, tmp_path)
    assert not any("…" in line for line in lines if not line.startswith("text "))
    assert ("word " * 100).strip() in "\n".join(lines)


def test_an_empty_chunk_says_what_to_do(capsys, tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    assert "no samples here: pyloader verify" in peek(capsys, tmp_path)[-1]


def test_gaps_lengths_and_ranges_are_told():
    columns = {
        "f": np.array([0.5, np.nan, 1.5]),
        "n": [1, None, 4],
        "s": ["a", "bbb", None],
        "v": np.array([[1, 2], [3, 4], [5, 6]]),
        "l": [[1], [], [1, 2, 3]],
        "inf": np.array([1.0, np.inf, -np.inf]),
    }
    found = {column.name: column for column in tally_columns([columns])}
    assert [(c.num_missing, c.smallest, c.middle, c.largest) for c in (found["f"], found["n"], found["s"])] == [
        (1, 0.5, 1.0, 1.5),
        (1, 1.0, 2.5, 4.0),
        (1, 1, 2.0, 3),
    ]
    assert (found["v"].middle, found["v"].kind, found["v"].num_different) == (3.5, "int64 [2]", None)
    assert (found["inf"].smallest, found["inf"].largest) == (-np.inf, np.inf)
    assert (found["l"].measured, found["l"].middle) == ("length", 1)


def test_tallying_chunk_by_chunk_is_tallying_them_at_once():
    rng = np.random.default_rng(0)
    parts = [
        {"n": rng.integers(5, size=rows), "s": [str(number) for number in rng.integers(999, size=rows)]}
        for rows in (3, 1, 40)
    ]
    whole = {"n": np.concatenate([part["n"] for part in parts]), "s": [text for part in parts for text in part["s"]]}  # type: ignore[attr-defined]
    for one, all_at_once in zip(tally_columns(parts), tally_columns([whole]), strict=True):
        for name in ("num_rows", "smallest", "middle", "largest", "num_different", "equal_by_chance"):
            assert getattr(one, name) == pytest.approx(getattr(all_at_once, name))


def test_a_real_dump_has_the_known_lengths(capsys):
    lengths = [len(json.loads(line)["question"]) for line in GSM8K.read_text("utf-8").splitlines()]
    lines = peek(capsys, GSM8K)
    shown = f"question str 0 {min(lengths)} / {statistics.median(lengths):g} / {max(lengths)}".split()
    assert any(line.split()[:8] == shown for line in lines)
    assert any("200 different" in line for line in lines)


def test_infinities_and_gaps_are_shown(capsys, tmp_path):
    np.save(tmp_path / "x.npy", np.array([np.inf, -np.inf, np.nan, 1.0]))
    assert "-inf / nan / inf" in "\n".join(peek(capsys, tmp_path))


@pytest.mark.parametrize("others", [False, True])
def test_documents_of_tokens_may_be_packed_and_the_line_for_that_runs(tmp_path, monkeypatch, capsys, others):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    with ChunkWriter("docs", format="columns") as writer:
        for number in range(30):
            document = np.arange(number % 7 + 1)
            writer.write({"ids": document, "score": number} if others else {"tokens": document})
    assert main(["peek", "docs", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("or packed"))
    end = next(line for line in lines[at : at + 2] if "DataLoader(" in line).removeprefix("or packed").strip()
    assert end.endswith("pack=Packing(length=2048, column='ids', drop=('score',)))" if others else "pack=2048)")
    with eval(end, {"DataLoader": DataLoader, "Packing": Packing}) as loader:
        assert next(loader)["segment_ids"].shape == (1, 2048)
