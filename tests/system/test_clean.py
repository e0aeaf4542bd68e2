"""Law 6: `break` parks a loader; close, `with`, collection and interpreter exit leave nothing behind."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks
from watching import error_in_forked_child, threads

from pyloader import DataLoader
from pyloader.errors import ClosedError, ForkError


def test_break_keeps_the_position_and_the_threads_and_uses_no_cpu(tmp_path):
    with loader_of(write_chunks(tmp_path, [10] * 40), batch_size=5, shuffle=True) as loader:
        for step, _ in enumerate(loader):
            if step == 3:
                break
        assert threads()
        before = time.process_time()
        threading.Event().wait(0.3)
        assert time.process_time() - before < 0.05
        assert loader.steps_done == 4
        assert len(ids_of(loader)) == 80 - 4


def test_going_on_after_break_is_logged_in_one_line(tmp_path, caplog):
    with loader_of(write_chunks(tmp_path, [10] * 4), batch_size=5) as loader, caplog.at_level(logging.INFO, "pyloader"):
        for _ in loader:
            break
        list(loader)
        list(loader)
    assert [record.message for record in caplog.records] == ["going on at epoch 0, step 1; reset() starts over"]


def test_a_finished_run_leaves_no_threads_even_without_close(tmp_path):
    loader = loader_of(write_chunks(tmp_path, [10] * 4), batch_size=5, shuffle=True)
    list(loader)
    assert not threads()


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_close_ends_the_threads_and_later_use_is_an_error(tmp_path, num_workers):
    loader = loader_of(write_chunks(tmp_path, [10] * 40), batch_size=5, num_workers=num_workers)
    next(loader)
    state = loader.state_dict()
    loader.close()
    loader.close()
    assert not threads()
    assert loader.state_dict() == state
    with pytest.raises(ClosedError, match="is closed"):
        next(loader)


def test_with_closes_also_after_an_error_in_the_loop(tmp_path):
    with pytest.raises(ZeroDivisionError), loader_of(write_chunks(tmp_path, [10] * 40), batch_size=5) as loader:
        for _ in loader:
            1 / 0  # noqa: B018
    assert not threads()


def test_a_loader_that_is_dropped_half_read_is_cleaned_up(tmp_path):
    loader = loader_of(write_chunks(tmp_path, [10] * 40), batch_size=5, shuffle=True)
    next(loader)
    gone = weakref.ref(loader)
    del loader
    gc.collect()
    assert gone() is None
    assert not threads()


def test_a_loader_may_be_collected_in_one_of_its_own_threads(tmp_path):
    """The collector runs in whichever thread allocates; ours must not wait for themselves or for each other."""
    dropped = threading.Event()
    collected = threading.Event()

    class Collecting(NumberedReader):
        def read_file(self, path):
            if path.endswith("0004.numbered"):
                assert dropped.wait(timeout=10)
                gc.collect()
                collected.set()
            return super().read_file(path)

    loader = DataLoader(Collecting(), data_dir=write_chunks(tmp_path, [10] * 40), batch_size=10, num_workers=2)
    next(loader)
    loader.itself = loader  # a cycle, which only the collector finds
    mine = threads()
    gc.disable()
    try:
        del loader
        dropped.set()
        assert collected.wait(timeout=10)
    finally:
        gc.enable()
    for thread in mine:
        thread.join(timeout=3)
        assert not thread.is_alive()


def test_close_waits_for_the_call_in_progress_and_then_gives_up(tmp_path, caplog, monkeypatch):
    import pyloader.deliver.lifecycle as lifecycle

    monkeypatch.setattr(lifecycle, "_CLOSE_SECONDS", 0.2)
    release, stuck = threading.Event(), threading.Event()

    class Stuck(NumberedReader):
        def read_file(self, path):
            if path.endswith("0003.numbered"):
                stuck.set()
                release.wait(timeout=30)
            return super().read_file(path)

    loader = DataLoader(Stuck(), data_dir=write_chunks(tmp_path, [10] * 9), batch_size=10)
    next(loader)
    assert stuck.wait(timeout=10)
    mine = threads()
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "pyloader"):
        loader.close()
    assert time.monotonic() - begun < 10
    assert "still running, and left behind: read: chunk-0003.numbered for 0 s" in caplog.text
    release.set()
    for thread in mine:
        thread.join(timeout=5)


def test_a_loader_used_in_a_forked_child_raises_there(tmp_path):
    with loader_of(write_chunks(tmp_path, [10] * 40), batch_size=5) as loader:
        next(loader)
        assert "Make one in each process, after the fork" in error_in_forked_child(lambda: next(loader), ForkError)
        assert len(ids_of(loader)) == 79


def run_script(directory, text, **options):
    script = directory / "script.py"
    support = str(Path(__file__).parents[1] / "support")
    script.write_text(f"import sys\nsys.path.insert(0, {support!r})\n" + textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), str(directory / "chunks")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyError('stop')"])
def test_a_script_with_a_module_level_loader_exits_at_once(tmp_path, ending):
    write_chunks(tmp_path / "chunks", [10] * 40)
    begun = time.monotonic()
    done = run_script(
        tmp_path,
        f"""
        from numbered import loader_of
        loader = loader_of(sys.argv[1], batch_size=5, num_workers=2, num_readers=2)
        next(loader)
        print("delivered", flush=True)
        {ending}
        """,
    )
    assert time.monotonic() - begun < 10
    assert done.stdout == "delivered\n"
    assert done.returncode == {"": 0, "sys.exit(3)": 3}.get(ending, 1)
    assert "pyloader" not in done.stderr


def test_ctrl_c_in_a_waiting_loop_stops_it_once(tmp_path):
    write_chunks(tmp_path / "chunks", [10] * 40)
    done = run_script(
        tmp_path,
        """
        import os, signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell had it ignored
        from numbered import NumberedReader
        from pyloader import DataLoader

        class Interrupting(NumberedReader):
            def read_file(self, path):
                if path.endswith("0005.numbered"):
                    os.kill(os.getpid(), signal.SIGINT)
                    threading.Event().wait(0.5)
                return super().read_file(path)

        loader = DataLoader(Interrupting(), data_dir=sys.argv[1], batch_size=10)
        try:
            for batch in loader:
                pass
        except KeyboardInterrupt:
            print("interrupted after", loader.steps_done)
        loader.close()
        """,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("interrupted after")
