"""Law 6: `break` parks a loader; close, `with`, collection and interpreter exit leave nothing behind."""

from __future__ import annotations

import gc
import logging
import re
import threading
import time
import weakref

import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks
from watching import error_in_forked_child

from pyloader import DataLoader
from pyloader.errors import ClosedError, ForkError
from pyloader.testing.open_resources import loader_threads
from scripts import finished, start_script

COUNTS = [10] * 40


def seconds_of_processor_in(seconds: float) -> float:
    before = time.process_time()
    time.sleep(seconds)
    return time.process_time() - before


@pytest.mark.slow
def test_break_keeps_the_position_and_the_threads_and_uses_no_cpu(source):
    with source.loader(COUNTS, batch_size=5, window=4) as loader:
        for step, _ in enumerate(loader):
            if step == 3:
                break
        assert loader_threads()
        assert any(seconds_of_processor_in(0.3) < 0.05 for _ in range(10))  # once what is read ahead has come
        assert loader.steps_done == 4
        assert len(ids_of(loader)) == 80 - 4


def test_going_on_after_break_is_logged_in_one_line(tmp_path, caplog):
    with loader_of(write_chunks(tmp_path, [10] * 4), batch_size=5) as loader, caplog.at_level(logging.INFO, "pyloader"):
        for _ in loader:
            break
        list(loader)
        list(loader)
    assert [record.message for record in caplog.records] == ["going on at epoch 0, step 1; reset() starts over"]


def test_a_finished_run_leaves_no_threads_even_without_close(source):
    loader = source.loader([10] * 4, batch_size=5, window=4)
    list(loader)
    assert not loader_threads()


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_close_ends_the_threads_and_later_use_is_an_error(source, num_workers):
    loader = source.loader(COUNTS, batch_size=5, num_workers=num_workers)
    next(loader)
    state = loader.state_dict()
    loader.close()
    loader.close()
    assert not loader_threads()
    assert loader.state_dict() == state
    with pytest.raises(ClosedError, match="is closed"):
        next(loader)


def test_with_closes_also_after_an_error_in_the_loop(source):
    with pytest.raises(ZeroDivisionError), source.loader(COUNTS, batch_size=5) as loader:
        for _ in loader:
            1 / 0  # noqa: B018
    assert not loader_threads()


def test_a_loader_that_is_dropped_half_read_is_cleaned_up(source):
    loader = source.loader(COUNTS, batch_size=5, window=4)
    next(loader)
    gone = weakref.ref(loader)
    del loader
    gc.collect()
    assert gone() is None
    assert not loader_threads()


def test_a_loader_may_be_collected_in_one_of_its_own_threads(source):
    """The collector runs in whichever thread allocates; ours must not wait for themselves or for each other."""
    dropped = threading.Event()
    collected = threading.Event()

    def collecting(ids):
        if 40 in ids:
            assert dropped.wait(timeout=10)
            gc.collect()
            collected.set()

    loader = source.loader(COUNTS, on_read=collecting, batch_size=10, num_workers=2)
    next(loader)
    loader.itself = loader  # a cycle, which only the collector finds
    mine = loader_threads()
    gc.disable()
    try:
        del loader
        dropped.set()
        assert collected.wait(timeout=10)
    finally:
        gc.enable()
    for thread in mine:
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_close_in_another_thread_in_the_middle_of_a_batch_leaves_the_position(source, num_workers):
    inside, closed = threading.Event(), threading.Event()

    def wait_for_close(ids):
        if 15 in ids and not closed.is_set():
            inside.set()
            assert closed.wait(timeout=10)

    loader = source.loader(COUNTS, on_read=wait_for_close, batch_size=25, num_workers=num_workers)
    state, found = loader.state_dict(), []

    def take():
        try:
            found.append(len(next(loader)["id"]))
        except ClosedError:
            found.append(0 if loader.state_dict() == state else "another position")

    loop = threading.Thread(target=take)
    loop.start()
    assert inside.wait(timeout=10)
    closing = threading.Thread(target=lambda: (loader.close(), closed.set()))
    if num_workers:
        closed.set()  # close() waits for the call
    closing.start()
    loop.join(timeout=10)
    closing.join(timeout=10)
    assert found in ([0], [25])


@pytest.mark.parametrize("options", [{"shuffle": True}, {"copy": False}, {"num_workers": 0, "num_readers": 1}])
@pytest.mark.parametrize("leave", ["reset", "close", "peek"])
def test_a_run_that_is_left_frees_its_chunks_at_once(tmp_path, options, leave):
    """Not when the collector comes: the next run needs the room."""
    read = []

    class Watched(NumberedReader):
        def read_file(self, path):
            columns, count = super().read_file(path)
            read.extend(map(weakref.ref, columns.values()))
            return columns, count

    loader = DataLoader(Watched(), data_dir=write_chunks(tmp_path, [10] * 8), batch_size=4, **options)
    gc.disable()
    try:
        if leave == "peek":
            list(loader)
        next(loader, None)
        assert leave == "peek" or any(array() is not None for array in read)
        getattr(loader, leave)()
        assert not any(array() is not None for array in read)
    finally:
        gc.enable()
        loader.close()


def test_close_waits_for_the_call_in_progress_and_then_gives_up(source, caplog, monkeypatch):
    import pyloader.deliver.lifecycle as lifecycle

    monkeypatch.setattr(lifecycle, "_CLOSE_SECONDS", 0.2)
    release, stuck = threading.Event(), threading.Event()

    def stay(ids):
        if 25 in ids:
            stuck.set()
            release.wait(timeout=30)

    loader = source.loader([10] * 9, on_read=stay, batch_size=10, num_workers=1, ahead=1)
    place = source.place_of(25, batch_size=10)
    next(loader)
    assert stuck.wait(timeout=10)
    mine = loader_threads()
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "pyloader"):
        loader.close()
    assert time.monotonic() - begun < 10
    assert re.search(rf"still running, and left behind: .*{re.escape(place)} for 0 s", caplog.text)
    release.set()
    for thread in mine:
        thread.join(timeout=5)


@pytest.mark.slow
def test_a_loader_used_in_a_forked_child_raises_there(source):
    with source.loader(COUNTS, batch_size=5) as loader:
        next(loader)
        assert "Make one in each process, after the fork" in error_in_forked_child(lambda: next(loader), ForkError)
        assert len(ids_of(loader)) == 79


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyError('stop')"])
def test_a_script_with_a_module_level_loader_exits_at_once(source, tmp_path, ending):
    """loaderx 0.0.5 and loadax left a thread behind that kept the process from exiting."""
    begun = time.monotonic()
    process = start_script(
        tmp_path,
        f"""
        import sys
        from pathlib import Path
        from sources import {type(source).__name__} as Source
        loader = Source(Path(sys.argv[1])).loader([10] * 40, batch_size=5, num_workers=2, num_readers=2)
        next(loader)
        print("delivered", flush=True)
        {ending}
        """,
    )
    code, output, errors = finished(process)
    assert time.monotonic() - begun < 10
    assert output == "delivered\n"
    assert code == {"": 0, "sys.exit(3)": 3}.get(ending, 1)
    assert "pyloader-" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_ctrl_c_ends_the_run_and_the_next_call_goes_on_from_the_position(source, tmp_path, kind):
    process = start_script(
        tmp_path,
        f"""
        import os, signal, sys, time
        from pathlib import Path
        from sources import {type(source).__name__} as Source
        from pyloader.testing.open_resources import children, loader_threads
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell had it ignored

        def interrupt(ids, parent=os.getpid(), flag={str(tmp_path / "interrupted")!r}):
            if 155 in ids and not os.path.exists(flag):
                open(flag, "w").close()
                time.sleep(0.2)  # the loop has all that is ready, and waits
                os.kill(parent, signal.SIGINT)
                time.sleep(0.2)  # it is interrupted before it gets this

        loader = Source(Path(sys.argv[1])).loader(
            [10] * 30, on_read=interrupt, batch_size=10, num_workers=2, worker_kind={kind!r}
        )
        seen, interrupted = [], 0
        while loader.epochs_done == 0:
            try:
                for batch in loader:
                    seen += batch["id"].tolist()
            except KeyboardInterrupt:
                interrupted += 1
                print("left running:", len(loader_threads()), len(children()))
        print(interrupted, seen == list(range(300)))
        loader.close()
        """,
    )
    assert finished(process) == (0, "left running: 0 0\n1 True\n", "")


@pytest.mark.slow
def test_waiting_for_a_slow_sample_uses_no_cpu(source):
    """loadax asked whether it was there, again and again."""
    with source.loader(COUNTS, on_read=lambda ids: time.sleep(0.3), batch_size=10, num_workers=1) as loader:
        before = time.process_time()
        next(loader)
        assert time.process_time() - before < 0.15
