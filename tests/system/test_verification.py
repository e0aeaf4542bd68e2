"""Law 7: `verify` finds chunks whose bytes are not those that the manifest was made of."""

from __future__ import annotations

import json

import pytest

import pyloader.files.verification as verification
from pyloader import DataLoader, DataReader, split
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError
from pyloader.files import list_chunks, verification_of

ENGINES = pytest.mark.parametrize(
    "options", [{"num_workers": 0}, {"num_workers": 2, "num_readers": 2}, {"num_workers": 1, "worker_kind": "process"}]
)


@pytest.fixture
def chunks(tmp_path):
    """A directory of 6 chunks of 10 samples, with checksums."""
    directory = tmp_path / "chunks"
    directory.mkdir()
    for number in range(6):
        lines = [json.dumps({"id": 10 * number + row}) + "\n" for row in range(10)]
        (directory / f"chunk-{number}.jsonl").write_text("".join(lines))
    assert main(["index", str(directory), "--checksums", "-q"]) == 0
    return directory


def flip(path):
    """Make another digit of one, which reads as well as before."""
    data = path.read_bytes()
    at = data.index(b"}") - 1
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def ids(loader):
    return [number for batch in loader for number in batch["id"].tolist()]


@pytest.fixture
def compared(monkeypatch):
    """The chunks whose checksums have been computed."""
    names = []
    whole = verification.checksum_of

    def noted(path, ranges=None):
        names.append(str(path)[-7:-6])
        return whole(path, ranges)

    monkeypatch.setattr(verification, "checksum_of", noted)
    return names


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("verify", ["first", "always"])
def test_a_flipped_bit_is_an_error_that_names_the_file_after_the_good_batches(chunks, options, verify):
    flip(chunks / "chunk-3.jsonl")
    seen = []
    with (
        DataLoader(data_dir=chunks, batch_size=5, verify=verify, **options) as loader,
        pytest.raises(ChunkReadError, match=r"(?s)chunk-3\.jsonl: is not what .*: the checksum differs\.") as caught,
    ):
        for batch in loader:
            seen += batch["id"].tolist()
    assert seen == list(range(30))
    assert "pyloader verify" in caught.value.hint


def test_without_verify_it_is_delivered(chunks):
    flip(chunks / "chunk-3.jsonl")
    assert ids(DataLoader(data_dir=chunks, batch_size=5)) != list(range(60))


def test_a_file_that_was_cut_short_meanwhile_says_how_long_it_is(chunks):
    with DataLoader(data_dir=chunks, batch_size=5, verify="first", num_workers=0) as loader:
        path = chunks / "chunk-4.jsonl"
        path.write_bytes(path.read_bytes()[:-11])
        with pytest.raises(ChunkReadError, match=r"chunk-4.*: 99 bytes, the manifest says 110\."):
            list(loader)


def test_a_chunk_that_differs_counts_as_unreadable(chunks):
    flip(chunks / "chunk-3.jsonl")
    with DataLoader(data_dir=chunks, batch_size=5, verify="first", max_skipped=1) as loader:
        assert ids(loader) == [*range(30), *range(40, 50), *range(40, 60)]  # another stands in for it
        ((path, reason),) = loader.stats().skipped.items()
    assert path.endswith("chunk-3.jsonl")
    assert "the checksum differs" in reason


def test_first_compares_each_chunk_once_for_a_loader_and_always_each_time(chunks, compared):
    with DataLoader(data_dir=chunks, verify="first", num_epochs=2) as loader:
        ids(loader)
        ids(loader)
    assert sorted(compared) == list("012345")
    compared.clear()
    with DataLoader(data_dir=chunks, verify="always", num_epochs=2) as loader:
        ids(loader)
    assert sorted(compared) == sorted("012345" * 2)
    compared.clear()
    ids(DataLoader(data_dir=chunks))
    assert not compared


def test_a_chunk_that_was_found_damaged_is_compared_again(chunks):
    path = chunks / "chunk-3.jsonl"
    good = path.read_bytes()
    flip(path)
    with DataLoader(data_dir=chunks, batch_size=5, verify="first", num_workers=0) as loader:
        with pytest.raises(ChunkReadError):
            list(loader)
        state = loader.state_dict()
        loader.load_state_dict(state)
        with pytest.raises(ChunkReadError):
            list(loader)
        path.write_bytes(good)
        loader.load_state_dict(state)
        assert ids(loader) == list(range(30, 60))


def test_directories_of_arrays_are_compared_too(tmp_path):
    import numpy as np

    np.save(tmp_path / "x.npy", np.arange(60))
    split({"x": tmp_path / "x.npy"}, tmp_path / "chunks", num_chunks=3)
    assert ids_of_x(tmp_path / "chunks") == list(range(60))
    array = tmp_path / "chunks" / "chunk-00001.columns" / "x.npy"
    data = bytearray(array.read_bytes())
    data[-1] ^= 1
    array.write_bytes(data)
    with pytest.raises(ChunkReadError, match=r"chunk-00001\.columns: .*Write it again, by the command that made it"):
        ids_of_x(tmp_path / "chunks")


def ids_of_x(directory):
    return [number for batch in DataLoader(data_dir=directory, verify="first") for number in batch["x"].tolist()]


def test_without_checksums_it_is_refused_with_how_to_get_them(tmp_path):
    (tmp_path / "chunk-0.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(
        ValueError, match=r"verify='first' .* has no manifest\. Make them: pyloader index .* --checksums$"
    ):
        DataLoader(data_dir=tmp_path, verify="first")
    assert main(["index", str(tmp_path), "-q"]) == 0
    with pytest.raises(ValueError, match=r"without a checksum of chunk-0.jsonl\. .* --checksums --overwrite$"):
        DataLoader(data_dir=tmp_path, verify="always")
    with pytest.raises(ValueError, match='verify must be "never", "first" or "always", not \'once\''):
        DataLoader(data_dir=tmp_path, verify="once")


def test_the_remedies_that_are_named_work(tmp_path):
    (tmp_path / "chunk-0.jsonl").write_text('{"id": 1}\n')
    assert main(["index", str(tmp_path), "-q"]) == 0
    assert main(["index", str(tmp_path), "-q", "--checksums", "--overwrite"]) == 0
    assert ids(DataLoader(data_dir=tmp_path, verify="always")) == [1]


def test_a_reader_of_the_users_own_is_verified_too(chunks):
    class Own(DataReader):
        def read_file(self, path):
            with open(path) as lines:
                return {"id": [json.loads(line)["id"] for line in lines]}

    flip(chunks / "chunk-0.jsonl")
    with DataLoader(Own(), data_dir=chunks, verify="first") as loader, pytest.raises(ChunkReadError):
        next(loader)


def test_never_needs_no_manifest(tmp_path):
    (tmp_path / "chunk-0.jsonl").write_text('{"id": 1}\n')
    assert verification_of(list_chunks(tmp_path), "never") is None
