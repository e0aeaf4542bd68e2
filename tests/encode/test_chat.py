"""ChatDataset: chats become tokens, and what the assistant wrote is to be learned, and nothing else."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest

from pyloader import ChatDataset, ChatTemplate, DataLoader
from pyloader.cli.main import main
from pyloader.errors import BatchEncodeError, FileError

CHATS = [
    [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "to be or not?"},
        {"role": "assistant", "content": "né à Orléans 北京, to be"},
        {"role": "user", "content": " why "},
        {"role": "assistant", "content": "not"},
    ],
    [{"role": "assistant", "content": ""}],
    [],
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A byte-pair tokenizer, trained here, in which "!\\n" is one token."""
    library = pytest.importorskip("tokenizers")
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = library.decoders.ByteLevel()
    made.post_processor = library.processors.ByteLevel(trim_offsets=True)
    trainer = library.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [message["content"] for chat in CHATS for message in chat]
    made.train_from_iterator([*texts * 5, "!\n" * 50], trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path, made


def test_the_assistants_words_and_the_tokens_that_end_them_are_to_be_learned(tokenizer):
    path, library = tokenizer
    found = ChatDataset(path).batch_encode({"messages": CHATS, "id": [1, 2, 3]})
    assert list(found) == ["tokens", "loss_mask"]
    assert (found["tokens"].dtype, found["loss_mask"].dtype) == (np.uint16, bool)
    texts = [
        [library.decode(tokens[mask == kind].tolist(), skip_special_tokens=False) for kind in (True, False)]
        for tokens, mask in zip(found["tokens"], found["loss_mask"], strict=True)
    ]
    assert texts[0] == [
        "né à Orléans 北京, to be<|im_end|>not<|im_end|>",
        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nto be or not?<|im_end|>\n<|im_start|>assistant\n\n"
        "<|im_start|>user\n why <|im_end|>\n<|im_start|>assistant\n\n",
    ]
    assert texts[1:] == [["<|im_end|>", "<|im_start|>assistant\n\n"], ["", ""]]


def test_the_tokens_are_those_of_the_whole_text(tokenizer):
    path, library = tokenizer
    text = "".join(f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in CHATS[0])
    found = ChatDataset(path).batch_encode({"messages": CHATS})["tokens"]
    assert found[0].tolist() == library.encode(text, add_special_tokens=False).ids


def test_a_token_over_the_border_of_what_is_learned_is_an_error_with_the_row(tokenizer):
    template = ChatTemplate(before="{role}!", end="<|im_end|>")
    chats = [[{"role": "assistant", "content": "to be"}], [{"role": "assistant", "content": "\nto be"}]]
    dataset = ChatDataset(tokenizer[0], template=template)
    assert len(dataset.batch_encode({"messages": chats[:1]})["tokens"]) == 1
    with pytest.raises(
        BatchEncodeError,
        match=r"row 1 of the batch: 'messages' has a token that reaches over the border.*assistant!\\nto be",
    ):
        dataset.batch_encode({"messages": chats})
    # In what is not learned a token may reach from the template into the words.
    user = [[{"role": "user", "content": "\nto be"}]]
    assert not dataset.batch_encode({"messages": user})["loss_mask"].values.any()


@pytest.mark.parametrize(
    ("chat", "says"),
    [
        ("hello", "is a str, and not a list of messages"),
        (["hello"], "has a message, number 0, without role and content that are text"),
        ([{"role": "user", "content": [1]}], "without role and content that are text"),
        ([{"role": "a<|im_end|>", "content": ""}], "has the role 'a<|im_end|>' in message 0"),
        ([{"role": "user", "content": "x<|im_end|>y"}], "has the special token <|im_end|> in the words"),
        ([{"role": "assistant", "content": "x<|endoftext|>"}], "has the special token <|endoftext|> in the words"),
    ],
)
def test_what_is_no_chat_is_named_with_its_row(tokenizer, chat, says):
    with pytest.raises(BatchEncodeError, match="row 3 of the batch: 'messages' .*" + re.escape(says)):
        ChatDataset(tokenizer[0]).batch_encode({"messages": [*CHATS, chat]})


def test_a_tokenizer_without_the_tokens_of_the_template_says_which_it_has(tokenizer):
    with pytest.raises(FileError, match=r"no token '<\|eot_id\|>'.*special tokens are <\|endoftext\|>, <\|im_end"):
        ChatDataset(tokenizer[0], template="llama3")
    with pytest.raises(ValueError, match="one of chatml, llama3; got 'alpaca'"):
        ChatDataset(tokenizer[0], template="alpaca")
    with pytest.raises(BatchEncodeError, match="no column 'messages' of chats, but 'text'"):
        ChatDataset(tokenizer[0]).batch_encode({"text": []})


def test_it_goes_to_other_processes_and_changes_its_name_with_the_template(tokenizer):
    dataset = ChatDataset(tokenizer[0])
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.batch_encode({"messages": CHATS}) == dataset.batch_encode({"messages": CHATS})
    other = ChatDataset(tokenizer[0], template=ChatTemplate(before="{role}", end="<|im_end|>"))
    assert copy.fingerprint() == dataset.fingerprint() != other.fingerprint()


def test_chats_are_split_and_packed_and_only_answers_count(tokenizer, tmp_path, monkeypatch):
    path, _ = tokenizer
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in CHATS * 20))
    assert main(["split", "chats.jsonl", "tokens", "--tokenizer", str(path), "--chat", "chatml", "-q"]) == 0
    made_by = json.loads((tmp_path / "tokens" / "manifest.json").read_text())["made_by"]
    assert made_by["command"] == f"pyloader split chats.jsonl tokens/ --tokenizer {path} --chat chatml"
    with DataLoader(data_dir="tokens", batch_size=4, pack=128) as loader:
        batches = list(loader)
    found = ChatDataset(path).batch_encode({"messages": CHATS})
    targets = [batch["tokens"][:, 1:][batch["loss_mask"][:, :-1]] for batch in batches]
    assert np.bincount(np.concatenate(targets), minlength=400).tolist() == [
        20 * count for count in np.bincount(found["tokens"].values[found["loss_mask"].values], minlength=400).tolist()
    ]
    assert not any(batch["loss_mask"][:, -1].any() for batch in batches)


def test_a_bad_chat_is_named_with_its_line_and_may_be_left_out(tokenizer, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bad = [{"role": "user", "content": "x<|im_end|>"}]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps({"messages": c}) + "\n" for c in [*CHATS, bad, *CHATS]))
    words = ["split", "chats.jsonl", "tokens", "--tokenizer", str(tokenizer[0]), "--chat", "chatml"]
    assert main(words) == 2
    assert re.search(r"has the special token.*chats.jsonl:4; to leave it out", capsys.readouterr().err)
    assert main([*words, "--max-skipped", "1"]) == 0
    with DataLoader(data_dir="tokens", pack=64) as loader:
        assert sum(len(batch["tokens"]) for batch in loader) > 0


def test_eos_is_said_by_the_template(tokenizer, capsys):
    words = ["split", "x.jsonl", "out", "--tokenizer", str(tokenizer[0]), "--chat", "chatml", "--append-eos"]
    assert main(words) == 2
    assert "the template says what ends a message" in capsys.readouterr().err
