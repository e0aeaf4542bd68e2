"""The laws hold with worker_kind="process": the same batches, the same ends, and deaths that are told."""

from __future__ import annotations

import functools
import gc
import os
import select
import signal
import threading
import time

import numpy as np
import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks

from pyloader import DataCollator, DataLoader, Dataset
from pyloader.errors import ChunkReadError, StallError, WorkerDiedError
from pyloader.testing.open_resources import children
from scripts import finished, start_script

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 5]
PROCESS = {"worker_kind": "process"}
ONE = {**PROCESS, "num_workers": 1, "num_readers": 1}
KINDS = pytest.mark.parametrize("options", [{"num_workers": 0}, {"num_workers": 2}, {"num_workers": 2, **PROCESS}])


class TestSameBatches:
    @pytest.mark.slow
    @pytest.mark.parametrize("text", [False, True])
    @pytest.mark.parametrize(("num_workers", "num_readers"), [(1, 2), (3, 1)])
    @pytest.mark.parametrize("last_batch", ["keep", "pad"])
    def test_they_are_those_of_the_inline_loader(self, tmp_path, text, num_workers, num_readers, last_batch):
        directory = write_chunks(tmp_path, COUNTS)
        options = {"batch_size": 16, "shuffle": True, "shuffle_window": 3, "last_batch": last_batch, "num_epochs": 2}
        wanted = ids_of(loader_of(directory, text=text, num_workers=0, **options))
        with loader_of(
            directory, text=text, num_workers=num_workers, num_readers=num_readers, **options, **PROCESS
        ) as loader:
            assert ids_of(loader) == wanted
            assert loader.stats().resident_peak <= 10

    @pytest.mark.slow
    def test_so_are_those_of_the_users_own_encoder_and_collator(self, tmp_path):
        class Lengths(Dataset):
            def batch_encode(self, columns):
                return {"length": [len(text) for text in columns["text"]], "id": columns["id"]}

        class Tuples(DataCollator):
            def collate_batch(self, columns):
                return columns["id"].astype(np.int32), np.array(columns["length"])

        directory = write_chunks(tmp_path, COUNTS)
        parts = NumberedReader(text=True), Lengths(), Tuples()
        options = {"batch_size": 16, "shuffle": True}
        wanted = list(DataLoader(*parts, directory, num_workers=0, **options))
        with DataLoader(*parts, directory, num_workers=2, **options, **PROCESS) as loader:
            found = list(loader)
            busy = loader.stats().busy_seconds
            assert "(1 + 2 processes)" in str(loader.stats())
            assert "worker_kind='process'" in repr(loader)
        np.testing.assert_equal(found, wanted)
        assert all(ids.flags.writeable for ids, _ in found)
        assert all(0 < busy[stage] < 5 for stage in ("read", "encode", "collate"))

    @pytest.mark.slow
    def test_each_state_goes_on_with_the_next_batch(self, tmp_path):
        directory = write_chunks(tmp_path, COUNTS)
        with loader_of(directory, text=True, batch_size=50, shuffle=True, num_workers=0) as loader:
            wanted = ids_of(loader)
        for step in range(0, len(wanted) + 1, 2):
            with loader_of(directory, text=True, batch_size=50, shuffle=True, **ONE) as loader:
                for _ in range(step):
                    next(loader)
                state = loader.state_dict()
            with loader_of(directory, text=True, batch_size=50, shuffle=True, **ONE) as loader:
                loader.load_state_dict(state)
                assert ids_of(loader) == wanted[step:]


class TestRandomNumbers:
    """`batch_encode(columns, rng)`: augmentation is a function of seed, epoch and step."""

    class Noise(Dataset):
        def batch_encode(self, columns, rng):
            return {"noise": rng.integers(10**9, size=len(columns["id"]))}

    def batches(self, directory, *, dataset=None, seed=5, **options):
        parts = NumberedReader(), dataset or self.Noise(), None, directory
        with DataLoader(*parts, batch_size=16, shuffle=True, seed=seed, num_epochs=2, **options) as loader:
            return [batch["noise"].tolist() for batch in loader]

    @pytest.mark.slow
    @KINDS
    def test_they_are_the_same_for_any_number_and_kind_of_workers(self, tmp_path, options):
        directory = write_chunks(tmp_path, COUNTS)
        wanted = self.batches(directory, num_workers=1)
        assert self.batches(directory, **options) == wanted
        assert len({tuple(batch) for batch in wanted}) == len(wanted)
        assert self.batches(directory, seed=6, **options) != wanted

    def test_a_decorated_method_gets_them_too(self, tmp_path):
        def checked(method):
            @functools.wraps(method)
            def wrapper(*args, **kwargs):
                return method(*args, **kwargs)

            return wrapper

        class Decorated(self.Noise):  # type: ignore[name-defined]
            batch_encode = checked(self.Noise.batch_encode)

        directory = write_chunks(tmp_path, COUNTS)
        assert self.batches(directory, dataset=Decorated()) == self.batches(directory)

    def test_a_resumed_run_has_those_of_the_unbroken_one(self, tmp_path):
        directory = write_chunks(tmp_path, COUNTS)
        options = {"batch_size": 16, "shuffle": True, "seed": 5, "num_epochs": 2}
        with DataLoader(NumberedReader(), self.Noise(), None, directory, **options) as loader:
            for _ in range(7):
                next(loader)
            state = loader.state_dict()
        with DataLoader(NumberedReader(), self.Noise(), None, directory, **options) as loader:
            loader.load_state_dict(state)
            assert next(loader)["noise"].tolist() == self.batches(directory)[7]


class TestDeath:
    @pytest.mark.slow
    @pytest.mark.parametrize("max_skipped", [0, 5])
    def test_a_reader_that_is_killed_is_an_error_naming_the_file_after_the_batches_before_it(
        self, tmp_path, max_skipped
    ):
        class Dies(NumberedReader):
            def read_file(self, path):
                if path.endswith("0003.numbered"):
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().read_file(path)

        directory = write_chunks(tmp_path, [10] * 6)
        with DataLoader(Dies(), data_dir=directory, batch_size=10, max_skipped=max_skipped, **ONE) as loader:
            assert [next(loader)["id"][0] for _ in range(3)] == [0, 10, 20]
            state = loader.state_dict()
            begun = time.monotonic()
            for _ in range(2):
                with pytest.raises(
                    WorkerDiedError, match=r"SIGKILL while Dies read .*chunk-0003.numbered\. It had at most .*[MG]B"
                ):
                    next(loader)
            assert time.monotonic() - begun < 10
            assert not children()
            assert loader.state_dict() == state

    @pytest.mark.slow
    def test_an_encoder_that_is_killed_is_an_error_naming_the_step(self, tmp_path):
        class Dies(Dataset):
            def batch_encode(self, columns):
                if 42 in columns["id"]:
                    os.kill(os.getpid(), signal.SIGKILL)
                return columns

        parts = NumberedReader(), Dies(), None, write_chunks(tmp_path, [10] * 6)
        with DataLoader(*parts, batch_size=10, num_workers=2, **PROCESS) as loader:
            for _ in range(4):
                next(loader)
            with pytest.raises(WorkerDiedError, match="while Dies and NumpyDataCollator made epoch 0, step 4"):
                next(loader)


class TestErrors:
    @pytest.mark.slow
    def test_a_readers_error_is_skipped_where_the_user_says_so(self, tmp_path):
        class Damaged(NumberedReader):
            def read_file(self, path):
                if path.endswith("0001.numbered"):
                    raise ChunkReadError(path, "ends early.", line=7)
                return super().read_file(path)

        directory = write_chunks(tmp_path, [10] * 4)
        with DataLoader(Damaged(), data_dir=directory, batch_size=10, max_skipped=1, **ONE) as loader:
            assert len(list(loader)) == 3
            assert "chunk-0001.numbered:7: ends early" in str(loader.stats())

    def test_a_dataset_that_cannot_be_sent_is_refused_at_the_start_naming_the_attribute(self, tmp_path):
        class Guarded(Dataset):
            def __init__(self):
                self.lock = threading.Lock()

        loader = DataLoader(NumberedReader(), Guarded(), None, write_chunks(tmp_path, [10]), **ONE)
        with pytest.raises(TypeError, match=r"Guarded\.lock cannot be pickled"):
            next(loader)
        assert not children()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"worker_kind": "fork"}, 'worker_kind must be "thread" or "process", not \'fork\''),
            ({"worker_kind": "process", "num_workers": 0}, 'worker_kind="process" needs num_workers of at least 1'),
        ],
    )
    def test_options_that_cannot_be_are_refused(self, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            loader_of(write_chunks(tmp_path, [10]), **options)

    @pytest.mark.slow
    def test_a_stall_names_stage_and_file_and_the_stuck_process_is_ended(self, tmp_path):
        class Stuck(NumberedReader):
            def read_file(self, path):
                if path.endswith("0002.numbered"):
                    time.sleep(60)
                return super().read_file(path)

        directory = write_chunks(tmp_path, [10] * 6)
        loader = DataLoader(Stuck(), data_dir=directory, batch_size=10, stall_timeout_seconds=2, **ONE)
        next(loader)
        next(loader)
        begun = time.monotonic()
        with pytest.raises(StallError, match=r"stall_timeout_seconds=2.*read: chunk-0002.numbered for"):
            next(loader)
        assert time.monotonic() - begun < 10
        assert not children()


class TestEnds:
    @pytest.mark.slow
    def test_break_keeps_the_processes_and_close_ends_them(self, tmp_path):
        with loader_of(write_chunks(tmp_path, [10] * 40), text=True, batch_size=5, **ONE) as loader:
            for _ in loader:
                break
            before = children()
            assert len(before) == 2
            next(loader)
            assert children() == before
        assert not children()

    @pytest.mark.slow
    def test_a_finished_run_leaves_none(self, tmp_path):
        loader = loader_of(write_chunks(tmp_path, [10] * 4), text=True, batch_size=5, **ONE)
        list(loader)
        assert not children()

    @pytest.mark.slow
    def test_a_loader_that_is_dropped_half_read_ends_them(self, tmp_path):
        loader = loader_of(write_chunks(tmp_path, [10] * 40), text=True, batch_size=5, **ONE)
        next(loader)
        del loader
        gc.collect()
        assert not children()

    @pytest.mark.slow
    def test_a_loader_may_be_collected_in_one_of_its_own_threads(self, tmp_path):
        loader = loader_of(write_chunks(tmp_path, [10] * 40), text=True, batch_size=5, **ONE)
        next(loader)
        mine = [thread for thread in threading.enumerate() if thread.name.startswith("pyloader-")]
        steps = loader._run.steps
        asked = threading.Event()
        original = steps._steps[0]._items

        def collecting():
            asked.wait(timeout=10)
            steps.close()  # as a finaliser does
            yield from original

        steps._steps[0]._items = collecting()
        for _ in range(10):
            next(loader)
        asked.set()
        for thread in mine:
            thread.join(timeout=5)
            assert not thread.is_alive()
        assert not children()
        del loader

    @pytest.mark.slow
    @pytest.mark.parametrize("busy", [True, False])
    def test_a_parent_that_is_killed_leaves_no_orphan(self, tmp_path, busy):
        write_chunks(tmp_path / "chunks", [10] * 40)
        process = start_script(
            tmp_path,
            f"""
            import sys, time
            from numbered import NumberedReader
            from pyloader import DataLoader, Dataset

            class Encoder(Dataset):
                def batch_encode(self, columns):
                    if 25 in columns["id"]:
                        print("ready", flush=True)
                        while {busy}:
                            pass
                    return columns

            one = {{"num_workers": 1, "num_readers": 1, "worker_kind": "process"}}
            loader = DataLoader(NumberedReader(), Encoder(), None, sys.argv[1], batch_size=20, **one)
            next(loader)
            time.sleep(60)
            """,
        )
        assert process.stdout.readline() == "ready\n"
        workers = [os.pidfd_open(pid) for pid in children(process.pid)]
        assert len(workers) == 2
        process.kill()
        deadline = time.monotonic() + 2
        for worker in workers:
            ended = select.poll()
            ended.register(worker, select.POLLIN)
            assert ended.poll(max(0, deadline - time.monotonic()) * 1000), "a worker outlived its parent"
            os.close(worker)
        finished(process)
