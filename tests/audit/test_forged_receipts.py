"""Receipts come from strangers too: whatever bytes they hold, `pyloader audit` answers, or names what is wrong."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_sources import write_sources
from numbered import NumberedReader
from ranks import write_counted

from pyloader import DataLoader
from pyloader.cli.main import main

CASES = int(os.environ.get("PYLOADER_CASES", "200"))

numbers = st.sampled_from([-(2**70), -1, 0, 1, 2, 7, 2**31, 2**63, 2**64, 1e300, True, None, "", "x", [], {}])


@st.composite
def forged(draw, receipt):
    """A receipt with other values in its header, other bytes, bytes too few or too many."""
    head, _, rest = receipt.partition(b"\n")
    header = json.loads(head)
    order, source = header["order"], header.get("sources", [{}])[0]
    for name in draw(st.lists(st.sampled_from([*header, *order, *source]), max_size=2)):
        (order if name in order else source if name in source else header)[name] = draw(numbers)
    if draw(st.booleans()):
        del header["checksum"]  # as in receipts of earlier versions: then the values are believed
    data = bytearray((json.dumps(header).encode() if draw(st.booleans()) else head) + b"\n" + rest)
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] ^= draw(st.integers(1, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data) + draw(
        st.binary(max_size=90)
    )


def one_source(directory):
    """Return a loader, and how its chunks are typed."""
    chunks = write_counted(directory / "chunks", [12, 0, 5, 1, 20])
    options = {"batch_size": 4, "num_epochs": 2, "shuffle": True, "world": None, "num_workers": 0}
    return DataLoader(NumberedReader(), data_dir=chunks, audit_dir=directory / "receipts", **options), [str(chunks)]


def mixture(directory):
    """Return a loader of two sources, and how these are typed."""
    places = write_sources(directory, {"one": (12, 5), "other": (3, 2)})
    options = {"batch_size": 4, "num_steps": 9, "shuffle": True, "on_exhausted": "repeat", "num_workers": 0}
    loader = DataLoader(data_dir=places, audit_dir=directory / "receipts", **options)
    return loader, [f"{name}={place}" for name, place in places.items()]


@pytest.mark.slow
@pytest.mark.parametrize("loader_of", [one_source, mixture])
def test_an_audit_answers_or_says_what_is_wrong_with_a_receipt(tmp_path, capsys, loader_of):
    loader, words = loader_of(tmp_path)
    for _ in loader:
        pass
    (path,) = (tmp_path / "receipts").glob("*.receipt")
    receipt = path.read_bytes()
    assert main(["audit", str(path.parent), *words]) == 0

    @settings(max_examples=CASES, deadline=None)
    @given(forged(receipt))
    def check(data):
        path.write_bytes(data)
        assert main(["audit", str(path.parent), *words]) in (0, 1, 2)
        capsys.readouterr()

    check()
