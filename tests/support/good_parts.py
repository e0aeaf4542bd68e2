"""A user's reader, dataset and collator that keep the laws, for the checks of a loader; others are made of them."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from pyloader import DataCollator, DataLoader, DataReader, Dataset


class Reader(DataReader):
    def read_file(self, path):
        with open(path) as lines:
            return {"text": [json.loads(line)["text"] for line in lines]}


class Encoder(Dataset):
    def batch_encode(self, columns, rng):
        size = len(columns["text"])
        return {"length": [len(text) for text in columns["text"]], "noise": rng.random(size), **columns}


class Collator(DataCollator):
    def collate_batch(self, columns):
        return {**columns, "length": np.array(columns["length"])}


def loaders(chunks, *, reader=Reader, dataset=Encoder, collator=Collator, **options):
    options = {"batch_size": 4, "shuffle": True, "shuffle_window": 2, **options}
    return partial(DataLoader, reader(), dataset(), collator(), chunks, **options)


def breaks(check, make_loader, match):
    with pytest.raises(AssertionError, match=match):
        check(make_loader)
