"""Law 5: each `next` returns a batch, ends the run, or raises; an error arrives as itself, after the good batches."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks
from watching import until_error

from pyloader import DataCollator, DataLoader, Dataset
from pyloader.collate import ConvertingCollator
from pyloader.errors import BatchEncodeError, ChunkReadError, CollateError, ReadFileError, StallError

ENGINES = pytest.mark.parametrize("num_workers", [0, 1, 3])


class DiskGone(OSError):
    """An error class of the user's."""


class Failing:
    """To be called with sample numbers: raises `error` as long as `sample` is among them."""

    def __init__(self, sample, error):
        self.sample, self.error = sample, error

    def __call__(self, ids):
        if self.sample in ids:
            raise self.error


def drain(loader):
    """Return the batches before the error, and the error."""
    batches, error = until_error(loader)
    return ids_of(batches), error


@ENGINES
@pytest.mark.parametrize("error", [DiskGone("disk gone"), KeyError("no such token")], ids=["OSError", "KeyError"])
@pytest.mark.parametrize("text", [False, True])
def test_a_readers_error_arrives_as_itself_after_the_batches_before_it(source, num_workers, text, error):
    with source.loader(
        [10] * 6, text=text, on_read=Failing(30, error), batch_size=4, num_workers=num_workers
    ) as loader:
        batches, found = drain(loader)
    assert found is error
    assert batches == [list(range(at, at + 4)) for at in range(0, 28, 4)]
    place = source.place_of(30, batch_size=4)
    assert any(place in note and "epoch 0" in note for note in error.__notes__)


@ENGINES
def test_an_error_is_repeated_and_the_state_stays_after_the_last_good_batch(source, num_workers):
    reading = Failing(30, DiskGone("gone"))
    with source.loader([10] * 6, on_read=reading, batch_size=4, num_workers=num_workers) as loader:
        _, error = drain(loader)
        state = loader.state_dict()
        assert state["step"] == 7
        reading.sample = -1  # the disk is there again, but the loop must not go on as if nothing had happened
        for _ in range(3):
            with pytest.raises(DiskGone) as again:
                next(loader)
            assert again.value is error
        assert loader.state_dict() == state
        loader.load_state_dict(state)
        assert ids_of(loader)[0] == [28, 29, 30, 31]


@ENGINES
def test_an_encoders_error_arrives_with_its_place(source, num_workers):
    encoding = Failing(42, KeyError("no such token"))
    with source.loader([10] * 6, on_batch=encoding, batch_size=4, num_workers=num_workers) as loader:
        batches, error = drain(loader)
    assert error is encoding.error
    assert len(batches) == 10
    assert any("epoch 0, step 10" in note for note in error.__notes__)


@ENGINES
@pytest.mark.parametrize("where", ["on_read", "on_batch", "datacollator"])
def test_a_stop_iteration_in_user_code_does_not_end_the_run(source, num_workers, where):
    class Collator(DataCollator):
        def collate_batch(self, columns):
            return next(iter(()))

    failing = Collator() if where == "datacollator" else Failing(10, StopIteration())
    with source.loader([10] * 3, batch_size=4, num_workers=num_workers, **{where: failing}) as loader:
        _, error = drain(loader)
    assert type(error) is RuntimeError
    assert isinstance(error.__cause__, StopIteration)


@ENGINES
def test_a_stop_iteration_in_the_loops_own_thread_does_not_end_the_run(tmp_path, num_workers):
    class Converter(ConvertingCollator):
        makes_views = True  # so batches are sliced and converted when the loop asks

        def convert_batch(self, batch):
            return next(iter(()))

    directory = write_chunks(tmp_path, [10] * 3)
    with loader_of(directory, datacollator=Converter(), batch_size=4, num_workers=num_workers) as loader:
        with pytest.raises(RuntimeError, match="StopIteration"):
            next(loader)
        assert loader.steps_done == loader.epochs_done == 0


@ENGINES
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_even_errors_that_are_no_exceptions_arrive(source, num_workers, kind):
    with source.loader([10] * 6, on_read=Failing(30, kind()), batch_size=10, num_workers=num_workers) as loader:
        batches, error = drain(loader)
        assert type(error) is kind
        # Batches that were being made together with the one that failed are given up with it, and made again later.
        assert batches == [list(range(at, at + 10)) for at in (0, 10, 20)][: loader.steps_done]


@ENGINES
def test_after_ctrl_c_the_loop_goes_on_where_it_was(source, num_workers):
    reading = Failing(30, KeyboardInterrupt())
    with source.loader([10] * 6, on_read=reading, batch_size=10, num_workers=num_workers) as loader:
        batches, _ = drain(loader)
        reading.sample = -1
        assert batches + ids_of(loader) == [list(range(at, at + 10)) for at in range(0, 60, 10)]


@ENGINES
def test_a_loop_faster_than_the_reader_gets_every_sample(source, num_workers):
    """The original's central defect: a momentarily empty queue ended the run, and the rest was never delivered."""
    turn = threading.Semaphore(0)

    def slow(ids):
        if num_workers:
            assert turn.acquire(timeout=10)  # one reading for each batch that has been taken

    with source.loader([10] * 30, on_read=slow, batch_size=10, num_workers=num_workers, ahead=0) as loader:
        turn.release(max(1, num_workers))  # one for each batch that may be in making at once
        seen = []
        for batch in loader:
            seen += batch["id"].tolist()
            turn.release()
    assert seen == list(range(300))


@pytest.mark.slow
def test_silence_becomes_an_error_that_names_the_place(source):
    release = threading.Event()

    def stuck(ids):
        if 25 in ids:
            release.wait(timeout=30)

    loader = source.loader([10] * 6, on_read=stuck, batch_size=10, num_workers=1, ahead=0, stall_timeout_seconds=0.2)
    place = source.place_of(25, batch_size=10)
    try:
        next(loader)
        next(loader)
        threading.Timer(0.5, release.set).start()  # so that closing the threads need not wait
        with pytest.raises(StallError, match=rf"(?s)stall_timeout_seconds=0.2.*{re.escape(place)} for.*stuck"):
            next(loader)
    finally:
        release.set()
        loader.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda ids: {"a": [1] * 10, "b": [1] * 9}, r"chunk-0000.*'a' with 10 rows and 'b' with 9"),
        (lambda ids: [1, 2, 3], r"not a dict"),
        (lambda ids: ({"a": [1] * 10}, 11), r"10 rows in 'a' and num_samples=11"),
        (lambda ids: {"a": 5}, r"'a'"),
    ],
)
@ENGINES
def test_a_reader_that_answers_wrongly_is_told_so(tmp_path, num_workers, answer, message):
    class Wrong(NumberedReader):
        def read_file(self, path):
            return answer(path)

    directory = write_chunks(tmp_path, [10] * 3)
    with DataLoader(Wrong(), data_dir=directory, num_workers=num_workers) as loader:
        _, error = drain(loader)
    assert isinstance(error, ReadFileError)
    with pytest.raises(ReadFileError, match=message):
        raise error


@ENGINES
@pytest.mark.parametrize("change", ["keys", "dtype", "shape", "kind"])
def test_chunks_that_differ_from_the_first_are_an_error_naming_both(tmp_path, num_workers, change):
    class Changing(NumberedReader):
        def read_file(self, path):
            columns, _ = super().read_file(path)
            if path.endswith("0002.numbered"):
                if change == "keys":
                    columns["another"] = columns["id"]
                elif change == "dtype":
                    columns["id"] = columns["id"].astype("float32")
                elif change == "shape":
                    columns["row"] = columns["row"][:, :1]
                else:
                    columns["id"] = [str(number) for number in columns["id"]]
            return columns

    directory = write_chunks(tmp_path, [10] * 4)
    with DataLoader(Changing(), data_dir=directory, batch_size=10, num_workers=num_workers) as loader:
        batches, error = drain(loader)
    assert len(batches) == 2
    assert isinstance(error, ReadFileError)
    assert "chunk-0002" in str(error)
    assert "chunk-0000" in str(error)


@ENGINES
def test_an_encoder_that_filters_is_told_where_to_filter(tmp_path, num_workers):
    class Filtering(Dataset):
        def batch_encode(self, columns):
            return {name: values[:-2] for name, values in columns.items()}

    directory = write_chunks(tmp_path, [16] * 3)
    with DataLoader(NumberedReader(), Filtering(), data_dir=directory, num_workers=num_workers) as loader:
        _, error = drain(loader)
    assert isinstance(error, BatchEncodeError)
    assert "got 16 rows and returned 14" in str(error)
    assert "(epoch 0, step 0)" in str(error)
    assert "Filter in read_file, or when splitting" in str(error)


@ENGINES
def test_rows_of_unequal_length_are_told_of_padding(tmp_path, num_workers):
    class Ragged(Dataset):
        def batch_encode(self, columns):
            return {"ids": [[1] * (1 + int(number) % 3) for number in columns["id"]]}

    directory = write_chunks(tmp_path, [16] * 3)
    with DataLoader(NumberedReader(), Ragged(), data_dir=directory, num_workers=num_workers) as loader:
        _, error = drain(loader)
    assert isinstance(error, CollateError)
    assert "(epoch 0, step 0)" in str(error)
    assert "PaddingDataCollator" in str(error)


def test_unreadable_chunks_are_left_out_when_the_user_says_so_and_counted(tmp_path):
    class Damaged(NumberedReader):
        def read_file(self, path):
            if path.endswith(("0001.numbered", "0004.numbered")):
                raise ChunkReadError(path, "ends early.")
            return super().read_file(path)

    directory = write_chunks(tmp_path, [10] * 6)
    for num_workers in (0, 2):
        with DataLoader(
            Damaged(), data_dir=directory, batch_size=10, num_workers=num_workers, max_skipped=2, num_epochs=2
        ) as loader:
            assert len(list(loader)) == 8  # in each of two epochs the same two are left out
            skipped = loader.stats().skipped
        assert [Path(path).name for path in skipped] == ["chunk-0001.numbered", "chunk-0004.numbered"]
        assert all("ends early" in reason for reason in skipped.values())
    with DataLoader(Damaged(), data_dir=directory, batch_size=10, max_skipped=1) as loader:
        batches, error = drain(loader)
    assert isinstance(error, ChunkReadError)
    assert len(batches) == 3


@pytest.mark.slow
def test_a_long_silence_is_logged_once(tmp_path, monkeypatch, caplog):
    import pyloader.deliver.threads as threads

    monkeypatch.setattr(threads.StallWatch.__init__, "__kwdefaults__", {"warn_after": 0.05})
    release = threading.Event()

    class Slow(NumberedReader):
        def read_file(self, path):
            release.wait(timeout=0.3)
            return super().read_file(path)

    directory = write_chunks(tmp_path, [10])
    with DataLoader(Slow(), data_dir=directory) as loader, caplog.at_level(logging.WARNING, "pyloader"):
        next(loader)
    assert caplog.text.count("nothing has arrived for 0.05 s: read: chunk-0000.numbered") == 1
