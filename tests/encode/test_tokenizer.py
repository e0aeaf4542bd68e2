"""TokenizerDataset: text becomes documents of tokens, by the tokenizer's own rules and nothing else."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from pyloader import DataLoader, Dataset, Ragged, TokenizerDataset, split
from pyloader.cli.main import main
from pyloader.errors import BatchEncodeError, FileError, MissingDependencyError, OutputDirError

TEXTS = ["to be or not to be", "", "that is the question", "né à Orléans 北京"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A byte-pair tokenizer, trained here; it cuts and pads, as files for training may say."""
    library = pytest.importorskip("tokenizers")
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS * 5, trainer)
    plain = library.Tokenizer.from_str(made.to_str())
    made.enable_truncation(3)
    made.enable_padding()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path, plain


def test_the_documents_are_those_of_the_tokenizer_not_cut_and_not_padded(tokenizer):
    path, plain = tokenizer
    found = TokenizerDataset(path).batch_encode({"text": TEXTS, "url": ["x"] * 4})
    assert list(found) == ["tokens"] and found["tokens"].dtype == np.uint16
    assert found["tokens"].to_list() == [plain.encode(text, add_special_tokens=False).ids for text in TEXTS]


def test_tokens_with_larger_numbers_than_there_are_tokens_fit(tmp_path):
    library = pytest.importorskip("tokenizers")
    made = library.Tokenizer(library.models.WordLevel({"a": 0, "b": 70_000, "?": 1}, unk_token="?"))
    made.pre_tokenizer = library.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    found = TokenizerDataset(tmp_path / "tokenizer.json").batch_encode({"text": ["a b"]})
    assert found["tokens"].to_list() == [[0, 70_000]]


def test_a_text_ends_with_the_token_for_that(tokenizer):
    path, plain = tokenizer
    for append_eos, name in ((True, "<|endoftext|>"), ("<pad>", "<pad>")):
        found = TokenizerDataset(path, append_eos=append_eos).batch_encode({"text": TEXTS})
        assert {row[-1] for row in found["tokens"].to_list()} == {plain.token_to_id(name)}
        assert found["tokens"][1].tolist() == [plain.token_to_id(name)]
    with pytest.raises(FileError, match=r"no token <x> to end a text with; its special tokens are <pad>, <\|endof"):
        TokenizerDataset(path, append_eos="<x>")


def test_it_goes_to_other_processes(tokenizer):
    path, _ = tokenizer
    dataset = TokenizerDataset(path, append_eos=True)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.batch_encode({"text": TEXTS}) == dataset.batch_encode({"text": TEXTS})
    assert copy.fingerprint() == dataset.fingerprint() and len(copy.fingerprint()) == 64


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"body": ["a"]}, "no column 'text' to make tokens of, but 'body'"),
        ({"text": ["a", None]}, "row 1 of the batch: 'text' is a NoneType"),
        ({"text": np.arange(2)}, "row 0 of the batch: 'text' is a int64"),
    ],
)
def test_what_is_no_text_is_named(tokenizer, columns, says):
    with pytest.raises(BatchEncodeError, match=says):
        TokenizerDataset(tokenizer[0]).batch_encode(columns)


def test_a_file_that_is_no_tokenizer_says_what_to_name(tokenizer, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileError, match=r"config.json: is no tokenizer.*Name a tokenizer.json"):
        TokenizerDataset(tmp_path / "config.json")


def test_the_library_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MissingDependencyError, match="pip install tokenizers"):
        TokenizerDataset(tmp_path / "tokenizer.json")


def test_a_corpus_is_split_into_tokens_that_can_be_packed(tokenizer, tmp_path, monkeypatch):
    path, plain = tokenizer
    monkeypatch.chdir(tmp_path)
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS]
    with open("corpus.jsonl", "w") as file:
        file.writelines(json.dumps({"text": text, "url": "x"}) + "\n" for text in texts)
    assert main(["split", "corpus.jsonl", "tokens", "--tokenizer", str(path), "--append-eos", "-q"]) == 0
    manifest = json.loads((tmp_path / "tokens" / "manifest.json").read_text())
    assert manifest["made_by"]["command"] == f"pyloader split corpus.jsonl tokens/ --tokenizer {path} --append-eos"
    assert manifest["made_by"]["tokenizer_sha256"] == TokenizerDataset(path).fingerprint()
    with DataLoader(data_dir="tokens", batch_size=4, pack=64) as loader:
        found = np.concatenate([batch["tokens"][batch["segment_ids"] > 0] for batch in loader])
    wanted = [token for text in texts for token in [*plain.encode(text).ids, plain.token_to_id("<|endoftext|>")]]
    assert sorted(found.tolist()) == sorted(wanted)


def test_another_tokenizer_under_the_same_name_begins_another_split(tokenizer, tmp_path):
    path, _ = tokenizer
    (tmp_path / "corpus.jsonl").write_text('{"text": "to be"}\n' * 20)
    mine = tmp_path / "tokenizer.json"
    mine.write_bytes(path.read_bytes())
    split(tmp_path / "corpus.jsonl", tmp_path / "tokens", encode=TokenizerDataset(mine), progress=False)
    changed = json.loads(path.read_text())
    mine.write_text(json.dumps(changed, indent=1))
    with pytest.raises(OutputDirError, match="those of this dump as it was, or split otherwise"):
        split(tmp_path / "corpus.jsonl", tmp_path / "tokens", encode=TokenizerDataset(mine), progress=False)


class MadeElsewhere(Dataset):
    """Tokens of no tokenizer that is known."""

    def batch_encode(self, columns):
        """Return documents of one token."""
        return {"tokens": Ragged.from_rows([[1]] * len(columns["text"]), dtype="uint16")}


def test_what_is_added_to_a_set_has_the_tokenizer_of_the_set(tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, _ = tokenizer
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(f'{{"text": "to be {name}"}}\n' * 20)
    split("a.jsonl", "tokens", encode=TokenizerDataset(path), progress=False)
    Path("other.json").write_text(json.dumps(json.loads(path.read_text()), indent=1))
    for name in ("b.jsonl", "a.jsonl"):  # one that is new, and one that was taken in
        with pytest.raises(OutputDirError, match=r"made with .*tokenizer.json \(SHA-256 .* would be with other.json"):
            split(name, "tokens", encode=TokenizerDataset("other.json"), append=True, progress=False)
    assert split("b.jsonl", "tokens", encode=TokenizerDataset(path), append=True, progress=False).note == ""
    # Tokens that somebody else has made say nothing of a tokenizer: the set stays one of this tokenizer.
    split("c.jsonl", "tokens", encode=MadeElsewhere(), append=True, engine="inline", progress=False)
    made_by = json.loads(Path("tokens/manifest.json").read_text())["made_by"]
    assert made_by["tokenizer_sha256"] == TokenizerDataset(path).fingerprint()


@pytest.mark.parametrize("options", [["--append-eos"], ["--column", "body"]])
def test_options_of_a_tokenizer_want_one(options, tmp_path, capsys):
    assert main(["split", "x.jsonl", str(tmp_path / "out"), *options]) == 2
    assert "give --tokenizer FILE as well" in capsys.readouterr().err
