"""Encodings of tiktoken are used when their files are on this machine, and nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import pickle

import numpy as np
import pytest

from pyloader import ChatDataset, ChatTemplate, TokenizerDataset
from pyloader.cli.main import main
from pyloader.encode import opened_tokenizer
from pyloader.errors import BatchEncodeError, FileError, MissingDependencyError

URL = "https://openaipublic.blob.core.windows.net/"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """An encoding of tiktoken called "tiny": bytes, "to", " be", and "!\\n"; its file is in the cache."""
    tiktoken = pytest.importorskip("tiktoken")
    tiktoken.list_encoding_names()  # fills the registry
    words = [*(bytes([number]) for number in range(256)), b"to", b" b", b" be", b"!\n"]
    content = b"".join(base64.b64encode(word) + b" %d\n" % rank for rank, word in enumerate(words))
    digest = hashlib.sha256(content).hexdigest()

    def made():
        ranks = tiktoken.load.load_tiktoken_bpe(URL + "tiny.tiktoken", expected_hash=digest)
        special = {"<|endoftext|>": 260, "<|end|>": 261}
        return {"name": "tiny", "pat_str": r"\S+\n?| ?\S+|\s+", "mergeable_ranks": ranks, "special_tokens": special}

    def fetch(path):
        raise AssertionError(f"{path} is fetched")

    monkeypatch.setitem(tiktoken.registry.ENCODING_CONSTRUCTORS, "tiny", made)
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    monkeypatch.setattr(tiktoken.load, "read_file", fetch)
    monkeypatch.setitem(opened_tokenizer._ENCODINGS, "tiny", {"tiny.tiktoken": digest})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "cache" / hashlib.sha1((URL + "tiny.tiktoken").encode()).hexdigest()
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_texts_become_tokens_of_an_encoding(tiny, tmp_path):
    texts = ["to be", "", "<|end|>é"]
    dataset = TokenizerDataset("tiny", append_eos=True)
    found = pickle.loads(pickle.dumps(dataset)).batch_encode({"text": texts})["tokens"]
    assert found.dtype == np.uint16
    assert found.to_list() == [
        [256, 258, 260],
        [260],
        [*"<|end|>é".encode(), 260],
    ]  # what strangers write is no command
    (tmp_path / "corpus.jsonl").write_text('{"text": "to be"}\n')
    assert main(["split", str(tmp_path / "corpus.jsonl"), str(tmp_path / "out"), "--tokenizer", "tiny", "-q"]) == 0


def test_chats_become_tokens_of_an_encoding(tiny):
    template = ChatTemplate(before="{role}!", end="<|end|>", after="\n")
    chat = [{"role": "user", "content": "né"}, {"role": "assistant", "content": "né to be"}]
    found = ChatDataset("tiny", template=template).batch_encode({"messages": [chat]})
    learned = found["tokens"].values[found["loss_mask"].values]
    assert learned.tolist() == [*"né ".encode(), 256, 258, 261]
    with pytest.raises(BatchEncodeError, match=r"row 0 of the batch: '.*' has a token that reaches over the border"):
        ChatDataset("tiny", template=template).batch_encode({"messages": [[{"role": "assistant", "content": "\n"}]]})


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_an_encoding_that_is_not_in_the_cache_says_where_it_must_be(tiny, content):
    tiny.unlink() if content is None else tiny.write_bytes(content)
    with pytest.raises(
        FileError, match=r"is not the file of tiktoken's 'tiny', and nothing is fetched.*TIKTOKEN_CACHE"
    ):
        TokenizerDataset("tiny")
    assert tiny.exists() is (content is not None)


def test_a_name_that_is_neither_file_nor_encoding_says_which_there_are():
    with pytest.raises(FileError, match=r"is not there, and no encoding of tiktoken.*cl100k_base"):
        TokenizerDataset("cl100k")


def test_of_a_directory_the_file_in_it_is_named(tmp_path):
    with pytest.raises(FileError, match=r"is a directory, and no tokenizer\. Name a tokenizer\.json$"):
        opened_tokenizer.open_tokenizer(tmp_path, wanted_by="a test")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(FileError, match=f"Name the file in it: {tmp_path}/tokenizer.json"):
        opened_tokenizer.open_tokenizer(tmp_path, wanted_by="a test")


def test_tiktoken_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tiktoken", None)
    with pytest.raises(MissingDependencyError, match="TokenizerDataset needs 'tiktoken'"):
        TokenizerDataset("cl100k_base")


def test_the_files_are_those_that_this_tiktoken_would_fetch(monkeypatch):
    public = pytest.importorskip("tiktoken_ext.openai_public")
    asked = {}

    def load(url, expected_hash):
        asked[url.removeprefix(URL)] = expected_hash
        return {}

    def load_two(*, vocab_bpe_file, encoder_json_file, vocab_bpe_hash, encoder_json_hash):
        load(vocab_bpe_file, vocab_bpe_hash)
        return load(encoder_json_file, encoder_json_hash)

    monkeypatch.setattr(public, "load_tiktoken_bpe", load)
    monkeypatch.setattr(public, "data_gym_to_mergeable_bpe_ranks", load_two)
    for name, files in opened_tokenizer._ENCODINGS.items():
        asked.clear()
        public.ENCODING_CONSTRUCTORS[name]()
        assert asked == files
