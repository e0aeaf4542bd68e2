"""Options: old spellings, advice on foreign ones, and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.options import format_bytes, parse_bytes, with_new_names


@pytest.mark.parametrize(
    ("old", "new"), [("num_epoch", "num_epochs"), ("random_seed", "seed"), ("root_dir", "data_dir")]
)
def test_old_spellings_are_taken_in_under_their_new_names(old, new):
    assert with_new_names("DataLoader", {new: None, "x": 1}, {old: 7}) == {new: 7, "x": 1}


def test_an_old_spelling_of_an_option_that_the_owner_lacks_is_unknown():
    with pytest.raises(TypeError, match="DataReader has no option 'root_dir'"):
        with_new_names("DataReader", {"seed": 1}, {"root_dir": "chunks"})


@pytest.mark.parametrize(
    ("foreign", "advice"),
    [
        ("drop_last", 'last_batch="drop"'),
        ("collate_fn", "DataCollator"),
        ("pin_memory", "TorchDataCollator"),
        ("prefetch", "max_queue_size"),
        ("prefetch_factor", "max_queue_size"),
        ("persistent_workers", "leave it out"),
        ("sampler", "shuffle_window"),
        ("batch_sampler", "shuffle_window"),
        ("worker_init_fn", "Set up what workers need"),
        ("generator", "seed="),
        ("timeout", "stall_timeout_seconds="),
        ("epochs", "num_epochs="),
        ("buffer_size", "shuffle_window="),
        ("shuffle_buffer_size", "shuffle_window="),
        ("transform", "batch_encode"),
        ("multiprocessing_context", "never forked"),
    ],
)
def test_an_option_from_elsewhere_is_refused_with_what_to_write_here(foreign, advice):
    with pytest.raises(TypeError, match=f"^DataLoader has no option '{foreign}'. .*{advice}"):
        with_new_names("DataLoader", {"seed": 1}, {foreign: 1})


def test_a_misspelt_option_is_answered_with_the_nearest_one():
    with pytest.raises(TypeError, match=r"no option 'batchsize'. Did you mean 'batch_size'\?"):
        with_new_names("DataLoader", {"batch_size": 1, "seed": 1}, {"batchsize": 1})


def test_an_option_like_no_other_is_answered_with_those_there_are():
    with pytest.raises(TypeError, match=r"no option 'zzz'\. It has: batch_size, seed"):
        with_new_names("DataLoader", {"batch_size": 1, "seed": 1}, {"zzz": 1})


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("64MiB", 64 * 2**20),
        ("64MB", 64 * 10**6),
        (" 1.5 GB ", 1_500_000_000),
        ("1kib", 1024),
        ("1 kB", 1000),
        ("2TiB", 2 * 2**40),
        ("10B", 10),
    ],
)
def test_sizes_have_units_of_two_and_of_ten(text, num_bytes):
    assert parse_bytes(text) == num_bytes


@pytest.mark.parametrize("text", ["", "MiB", "64M", "-1MB", "64 mebibytes", "1e6", "1,000"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a size; write 64MiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (31_500_000, "31.5 MB"), (999_600, "1.0 MB"), (2e12, "2,000 GB")],
)
def test_sizes_are_shown_in_powers_of_ten(num_bytes, text):
    assert format_bytes(num_bytes) == text


@given(st.integers(0, 10**15))
def test_a_size_that_is_shown_can_be_given_back_and_is_about_the_same(num_bytes):
    again = parse_bytes(format_bytes(num_bytes).replace(",", ""))
    assert again == pytest.approx(num_bytes, rel=0.051)
