"""check_loader finds each way in which a user's reader, dataset or collator breaks a law, and says which."""

from __future__ import annotations

import itertools
import os
import random
import sys
import threading
from functools import partial
from unittest import SkipTest

import numpy as np
import pytest
from good_parts import Collator, Encoder, Reader, breaks, loaders

from pyloader import DataLoader, DataReader, Dataset, Ragged
from pyloader.deliver import retries
from pyloader.run.loop import State
from pyloader.testing import LOADER_CHECKS, check_loader, failures, order, resuming
from pyloader.testing.laws import batch_difference

COUNTER = itertools.count()


@pytest.mark.slow
@pytest.mark.parametrize("check", LOADER_CHECKS, ids=lambda check: check.__name__)
def test_good_parts_keep_every_law(chunks, check):
    assert check_loader(loaders(chunks), checks=[check]) == {check.__name__: "kept"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"last_batch": "pad"}, {"last_batch": "wrap"}, {"last_batch": "drop"}, {}], ids=str
)
def test_they_keep_them_with_every_rule_and_in_file_order(chunks, options):
    checks = [check for check in LOADER_CHECKS if check.__module__.endswith((".order", ".resuming", ".failures"))]
    checks = [check for check in checks if check not in (order.check_processes, resuming.check_kills)]
    found = check_loader(partial(DataLoader, data_dir=chunks, batch_size=4, **options), checks=checks)
    assert found.pop("check_ctrl_c") == "left out: reader, dataset and collator are all pyloader's own"
    assert set(found.values()) == {"kept"}


class ReadsOtherRows(Reader):
    def read_file(self, path):
        columns = super().read_file(path)
        random.shuffle(columns["text"])
        return columns


class LosesRows(Reader):
    def read_file(self, path):
        columns = super().read_file(path)
        return {"text": columns["text"][next(COUNTER) % 3 :]}


class EncodesAtRandom(Dataset):
    def batch_encode(self, columns):
        return {"length": [random.random() for _ in columns["text"]]}


class EncodesWithTheGlobalGenerator(Dataset):
    def batch_encode(self, columns):
        return {"length": np.random.rand(len(columns["text"]))}


class Counts(Dataset):
    """What it answers depends on what it has been asked before."""

    def __init__(self):
        self.asked = 0

    def batch_encode(self, columns):
        self.asked += 1
        return {"length": [self.asked] * len(columns["text"])}


class CollatesAtRandom(Collator):
    def collate_batch(self, columns):
        return {"length": np.random.rand(len(columns["length"]))}


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"reader": ReadsOtherRows}, r"law 3 .* ReadsOtherRows read .* twice: row .* must be a function of path alone"),
        ({"dataset": EncodesAtRandom}, r"law 3 .*EncodesAtRandom\.batch_encode gave two answers.*draw random numbers"),
        ({"dataset": EncodesWithTheGlobalGenerator}, r"law 3 .*the batch\['length'\]\[0\] is .*, not "),
        ({"dataset": Counts}, r"law 3 .*Counts\.batch_encode gave two answers.* is 3, not 1"),
        ({"collator": CollatesAtRandom}, r"law 3 .*CollatesAtRandom\.collate_batch gave two answers"),
    ],
)
def test_parts_that_answer_otherwise_when_asked_again_are_found(chunks, parts, match):
    breaks(order.check_parts, loaders(chunks, **parts), match)


@pytest.mark.parametrize("dataset", [EncodesAtRandom, EncodesWithTheGlobalGenerator])
def test_so_are_their_batches(chunks, dataset):
    breaks(order.check_same_batches, loaders(chunks, dataset=dataset), r"law 3 .*In another run .* batch 0 differs")
    breaks(resuming.check_resume, loaders(chunks, dataset=dataset), r"law 4 .*given the state after 0 steps")


class ThreadsOwn(Dataset):
    """Encodes otherwise in another thread: what a cache of the thread's own comes to."""

    def batch_encode(self, columns):
        main_thread = threading.current_thread() is threading.main_thread()
        return {"length": [main_thread] * len(columns["text"])}


def test_an_encoder_that_differs_among_threads_is_found(chunks):
    breaks(order.check_same_batches, loaders(chunks, dataset=ThreadsOwn), "law 3 .*Two threads that read and two")


class ProcessesOwn(Dataset):
    def batch_encode(self, columns):
        return {"length": [os.getpid()] * len(columns["text"])}


@pytest.mark.slow
def test_an_encoder_that_differs_among_processes_is_found(chunks):
    breaks(order.check_processes, loaders(chunks, dataset=ProcessesOwn), "law 3 .*Processes were used instead")


def test_an_encoder_that_remembers_across_batches_cannot_resume(chunks):
    def make_loader(**options):
        return loaders(chunks, dataset=Counts)(**options)

    breaks(resuming.check_resume, make_loader, "law 4 .*given the state after 1 steps.* batch 1 ")


def test_a_reader_that_loses_rows_is_found(tmp_path, chunks):
    (chunks / "manifest.json").unlink()  # with it, the count would be an error
    breaks(
        order.check_exactly_once, loaders(chunks, reader=LosesRows), r"law 2 .*epoch 0 delivered .* rows and dropped"
    )


def test_rows_that_come_twice_are_named(chunks, monkeypatch):
    rows_of = order.rows_of
    monkeypatch.setattr(order, "rows_of", lambda batches: rows_of([*batches, batches[0]]))
    breaks(order.check_exactly_once, loaders(chunks), r"law 2 .*delivered row \d of chunk-\d.jsonl 2 times")


class Filters(Encoder):
    def batch_encode(self, columns, rng):
        return {name: values[1:] for name, values in super().batch_encode(columns, rng).items()}


@pytest.mark.parametrize("check", [order.check_parts, order.check_exactly_once, order.check_same_batches])
def test_an_encoder_that_filters_gets_the_loaders_own_error(chunks, check):
    with pytest.raises(Exception, match=r"Filters\.batch_encode got 4 rows and returned 3"):
        check(loaders(chunks, dataset=Filters))


def test_ranks_that_see_other_rows_are_found(chunks, monkeypatch):
    rows_of = resuming.rows_of
    calls = itertools.count()
    monkeypatch.setattr(resuming, "rows_of", lambda batches: rows_of(batches)[:: -1 if next(calls) % 2 else 1])
    breaks(resuming.check_ranks, loaders(chunks), r"law 4 .*Two ranks delivered")


class Swallows(Reader):
    def read_file(self, path):
        try:
            columns = super().read_file(path)
        except:  # noqa: E722
            columns = super().read_file(path)
        return columns


class SwallowsInEncode(Encoder):
    def batch_encode(self, columns, rng):
        try:
            size = len(columns["text"])
        except BaseException:
            size = len(columns["text"])
        return {"length": [size] * size, **columns}


class Translates(Collator):
    def collate_batch(self, columns):
        try:
            return super().collate_batch(columns)
        except BaseException as exc:
            raise ValueError("cannot be collated") from exc


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        (
            {"reader": Swallows},
            r"law 5 .*Ctrl-C at .*test_check_loader\.py:\d+, in \w+, was swallowed.*except Exception",
        ),
        ({"dataset": SwallowsInEncode}, r"law 5 .*in batch_encode, was swallowed"),
        ({"collator": Translates}, r"law 5 .*in collate_batch, became ValueError"),
    ],
)
def test_parts_that_swallow_ctrl_c_are_found(chunks, parts, match):
    breaks(failures.check_ctrl_c, loaders(chunks, **parts), match)
    assert sys.gettrace() is None or "coverage" in sys.modules


class HalfDone(Encoder):
    """After Ctrl-C it is not as it was before."""

    begun = False

    def batch_encode(self, columns, rng):
        if self.begun:
            columns["text"] = columns["text"][::-1]
        self.begun = True
        encoded = super().batch_encode(columns, rng)
        self.begun = False
        return encoded


def test_parts_that_ctrl_c_leaves_half_done_are_found(chunks):
    breaks(failures.check_ctrl_c, loaders(chunks, dataset=HalfDone), r"law 4 .*The loop went on after Ctrl-C at")


def test_damage_that_is_not_noticed_is_found(chunks, monkeypatch):
    monkeypatch.setattr(failures, "Verification", lambda *arguments, **options: None)
    breaks(failures.check_damage, loaders(chunks, reader=Patient), r"law 7 .*damaged \(flip_bit\), and an epoch was")


class Patient(DataReader):
    """Makes up what it cannot read."""

    def read_file(self, path):
        return {"text": [f"row {row}" for row in range(9)]}


def test_errors_that_do_not_name_the_file_are_found(chunks, monkeypatch):
    def unnamed(self, index):
        raise ValueError("something is wrong")

    monkeypatch.setattr(failures.Verification, "check", unnamed)
    breaks(failures.check_damage, loaders(chunks), r"law 7 .*does not name chunk-\d\.jsonl")


def test_reads_that_are_not_tried_again_are_found(chunks, monkeypatch):
    make_loader = loaders(chunks)
    monkeypatch.setattr(retries.Retries, "wait_after", lambda self, *arguments: False)
    with pytest.raises(OSError, match="Input/output error"):
        failures.check_flaky_reads(make_loader)


def test_an_error_that_is_not_repeated_is_found(chunks, monkeypatch):
    whole = DataLoader._take

    def forgetful(self):
        if self._state is State.FAILED:
            self._become(State.FRESH)
        return whole(self)

    monkeypatch.setattr(DataLoader, "_take", forgetful)
    monkeypatch.setattr(failures.FailingReads, "read_file", fails_once())
    breaks(failures.check_errors, loaders(chunks), r"law 5 .*the loop went on as if nothing had happened")


def fails_once():
    """Return a read_file that fails at the first chunk only the first time."""
    failed = set()

    def read_file(self, path):
        if path.endswith(self.file) and path not in failed:
            failed.add(path)
            raise self.error
        return self.reader.read_file(path)

    return read_file


def test_an_error_that_arrives_as_another_is_found(chunks, monkeypatch):
    def other(self, path):
        raise RuntimeError("other")

    monkeypatch.setattr(failures.FailingReads, "read_file", other)
    breaks(failures.check_errors, loaders(chunks), r"law 5 .*arrived as RuntimeError\('other'\)")


class DiesInEncode(Encoder):
    def batch_encode(self, columns, rng):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("not here")
        return super().batch_encode(columns, rng)


@pytest.mark.slow
def test_a_script_that_fails_instead_of_being_killed_is_found(chunks):
    breaks(resuming.check_kills, loaders(chunks, dataset=DiesInEncode), "(?s)law 5 .*was to be killed .*not here")


@pytest.mark.parametrize("check", [resuming.check_ranks, failures.check_damage])
def test_what_needs_a_manifest_is_left_out_without_one_and_says_how_to_make_it(chunks, check):
    (chunks / "manifest.json").unlink()
    with pytest.raises(SkipTest, match="pyloader index"):
        check(loaders(chunks))
    assert check_loader(loaders(chunks), checks=[check])[check.__name__].startswith("left out: ")


def test_a_loader_that_may_leave_out_chunks_is_checked_without_that(chunks):
    checks = [failures.check_errors, failures.check_damage]
    assert set(check_loader(loaders(chunks, max_skipped=2), checks=checks).values()) == {"kept"}


def test_batches_of_ragged_rows_are_compared_row_by_row():
    one, other = Ragged.from_rows([[1, 2], [3]]), Ragged.from_rows([[1, 2], [4]])
    assert batch_difference({"x": one}, {"x": Ragged.from_rows([[1, 2], [3]])}) == ""
    assert batch_difference({"x": one}, {"x": other}) == "the batch['x'][1][0] is 3, not 4"
    narrow = Ragged.from_rows([[1, 2], [3]], dtype="int8")
    assert "Ragged of int64: 2 rows, 3 values" in batch_difference({"x": one}, {"x": narrow})
