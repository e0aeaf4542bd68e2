"""Three corpora as chunks of tokens: the data of the examples that train language models, which import it from here.

Sums that are written out, and documentation strings and functions of the standard library; a tokenizer is trained on
them, and each is split into documents of tokens.
"""

import inspect
import json
from importlib import import_module
from pathlib import Path

import tokenizers

import pyloader

NAMES = ["sums", "strings", "code"]
VOCABULARY = 512
MODULES = ("argparse", "ast", "collections", "email", "inspect", "json", "logging", "pathlib")


def texts_of_corpora() -> dict[str, list[str]]:
    """Return the documents of each corpus."""
    pairs = [(number % 83, number % 100) for number in range(2000)]  # no two are alike
    members = [member for module in map(import_module, MODULES) for member in vars(module).values()]
    return {
        "sums": [f"{one} plus {other} is {one + other}." for one, other in pairs],
        "strings": sorted({inspect.getdoc(member) or "" for member in members}),
        "code": sorted({inspect.getsource(member) for member in members if inspect.isfunction(member)}),
    }


def tokenizer_of(texts: list[str]) -> tokenizers.Tokenizer:
    """Train a tokenizer: byte pairs, the bytes themselves first."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def token_chunks(work: Path) -> dict[str, Path]:
    """Return where the chunks of each corpus are; they are made where they are not there."""
    places = {name: work / name for name in NAMES}
    if not places[NAMES[-1]].exists():
        work.mkdir(parents=True, exist_ok=True)
        texts = texts_of_corpora()
        tokenizer_of([text for name in NAMES for text in texts[name]]).save(str(work / "tokenizer.json"))
        encode = pyloader.TokenizerDataset(work / "tokenizer.json", append_eos=True)
        for name, place in places.items():
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[name])
            (work / f"{name}.jsonl").write_text(lines)
            pyloader.split(work / f"{name}.jsonl", place, encode=encode, num_chunks=4, progress=False)
    return places
