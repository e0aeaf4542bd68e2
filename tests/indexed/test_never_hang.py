"""Law 5 over random access: each `next` returns a batch, ends the run, or raises."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from item_numbers import ENGINES, DiskGone, Numbers, drain, failing_at, flat, ids_of

from pyloader.errors import StallError
from pyloader.indexed import (
    DataLoader,
)
from scripts import finished, start_script


@ENGINES
@pytest.mark.parametrize("error", [DiskGone("gone"), KeyError("no such token")], ids=["OSError", "KeyError"])
def test_a_datasets_error_arrives_as_itself_after_the_batches_before_it(num_workers, error):
    dataset = Numbers(1000, failing_at(434, error))
    with DataLoader(dataset, None, num_workers, 4, 16, shuffle=False, num_epochs=1) as loader:
        batches, found = drain(loader)
        assert found is error
        assert batches == [list(range(at, at + 4)) for at in range(0, 432, 4)]
        assert any("while a batch was made (epoch 0, step 108)" in note for note in error.__notes__)
        assert loader.state_dict()["step"] == 108
        dataset.on_take = lambda indices: None  # the disk is there again, but the loop must not go on as if nothing was
        for _ in range(3):
            with pytest.raises(type(error)) as again:
                next(loader)
            assert again.value is error
        assert loader.state_dict()["step"] == 108
        assert ids_of(loader)[0] == [432, 433, 434, 435]


@ENGINES
def test_a_transforms_error_arrives_with_its_place(num_workers):
    def transform(rows):
        if 434 in rows:
            raise DiskGone
        return rows

    with DataLoader(np.arange(1000), None, num_workers, 4, 16, False, transform=transform) as loader:
        batches, error = drain(loader)
    assert type(error) is DiskGone
    assert len(batches) == 108
    assert any("while a batch was made (epoch 0, step 108)" in note for note in error.__notes__)


@ENGINES
def test_a_stop_iteration_in_user_code_does_not_end_the_run(num_workers):
    for options in [
        {"dataset": Numbers(1000, failing_at(434, StopIteration()))},
        {"dataset": np.arange(1000), "transform": lambda rows: rows if 434 not in rows else next(iter(()))},
    ]:
        with DataLoader(
            **options, num_workers=num_workers, batch_size=4, prefetch_size=16, shuffle=False, num_epochs=1
        ) as loader:
            batches, error = drain(loader)
        assert len(batches) == 108
        assert type(error) is RuntimeError
        assert isinstance(error.__cause__, StopIteration)


@ENGINES
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_even_errors_that_are_no_exceptions_arrive_and_the_loop_can_go_on(num_workers, kind):
    dataset = Numbers(100, failing_at(33, kind()))
    with DataLoader(dataset, None, num_workers, 4, shuffle=False, num_epochs=1) as loader:
        batches, error = drain(loader)
        assert type(error) is kind
        dataset.on_take = lambda indices: None
        batches += ids_of([next(loader)])
        assert flat(batches) + flat(ids_of(loader)) == list(range(100))


@ENGINES
def test_a_loop_faster_than_its_workers_gets_every_item(num_workers):
    """loadax lost the last batch, and the original pyloader all of them after a momentarily empty queue."""
    turn = threading.Semaphore(0)

    def wait(indices):
        if num_workers:
            assert turn.acquire(timeout=10)

    with DataLoader(Numbers(300, wait), None, num_workers, 10, 0, shuffle=False, num_epochs=1) as loader:
        turn.release(max(1, num_workers))  # one for each batch that may be in making at once
        seen = []
        for batch in loader:
            seen += batch.tolist()
            turn.release()
    assert seen == list(range(300))


def test_silence_becomes_an_error_that_names_the_step():
    release = threading.Event()

    def stuck(indices):
        if 25 in indices:
            release.wait(timeout=30)

    loader = DataLoader(Numbers(100, stuck), None, 1, 10, 0, shuffle=False, stall_timeout_seconds=0.2)
    try:
        next(loader)
        next(loader)
        threading.Timer(0.5, release.set).start()  # so that closing the threads need not wait
        with pytest.raises(StallError, match=r"(?s)stall_timeout_seconds=0.2.*batch: epoch 0, step 2 for.*stuck"):
            next(loader)
    finally:
        release.set()
        loader.close()


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_ctrl_c_ends_the_run_and_the_next_call_goes_on_from_the_position(tmp_path, kind):
    process = start_script(
        tmp_path,
        f"""
        import os, signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell had it ignored
        from item_numbers import Numbers
        from pyloader.indexed import DataLoader
        from watching import children, threads

        def interrupt(indices, parent=os.getpid(), flag={str(tmp_path / "interrupted")!r}):
            if 155 in indices and not os.path.exists(flag):
                open(flag, "w").close()
                os.kill(parent, signal.SIGINT)
                threading.Event().wait(0.5)

        loader = DataLoader(
            Numbers(300, interrupt), None, 2, 10, 1, shuffle=False, num_epochs=1, worker_kind={kind!r}
        )
        seen, interrupted = [], 0
        while loader.epochs_done == 0:
            try:
                for batch in loader:
                    seen += batch.tolist()
            except KeyboardInterrupt:
                interrupted += 1
                print("left running:", len(threads()), len(children()))
        print(interrupted, seen == list(range(300)))
        loader.close()
        """,
    )
    assert finished(process) == (0, "left running: 0 0\n1 True\n", "")
