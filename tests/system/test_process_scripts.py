"""Scripts whose loader has worker processes: run as they stand, interrupted, and at their end."""

from __future__ import annotations

import os
import signal
import time

import pytest
from numbered import write_chunks

from pyloader.testing.open_resources import children
from scripts import finished, start_script

SCRIPT = """
import atexit, dataclasses, enum, logging, os, sys, threading
from numbered import NumberedReader
from pyloader import DataCollator, DataLoader, Dataset

print("the script runs")
forks = []
os.register_at_fork(before=lambda: forks.append(1))
threading.Thread(target=threading.Event().wait, args=(5,), daemon=True).start()
VOCABULARY = {"sample": 1}

class Kind(enum.Enum):
    EVEN = 0
    ODD = 1

@dataclasses.dataclass
class Batch:
    ids: list
    kinds: list

class Odd(ValueError):
    def __init__(self, number):
        super().__init__(number)
        self.number = number

class Reader(NumberedReader):
    def read_file(self, path):
        print("reads", os.path.basename(path))
        return super().read_file(path)

class Encoder(Dataset):
    def batch_encode(self, columns):
        if 35 in columns["id"]:
            logging.warning("soon")
            raise Odd(35)
        return {"id": columns["id"], "word": [VOCABULARY[text.split()[0]] for text in columns["text"]]}

class Collator(DataCollator):
    collate_batch = lambda self, columns: Batch(columns["id"].tolist(), [Kind(i % 2) for i in columns["id"].tolist()])

method = Encoder.batch_encode
one = {"worker_kind": "process", "num_workers": 1, "num_readers": 1}
loader = DataLoader(Reader(text=True), Encoder(), Collator(), sys.argv[1], batch_size=10, **one)
try:
    for batch in loader:
        assert type(batch) is Batch and batch.kinds[0] is Kind.EVEN, batch
        print(batch.ids[0])
except Odd as error:
    print("odd", error.number, type(error) is Odd)
assert Encoder.batch_encode is method
print("forks", len(forks))
"""


@pytest.mark.slow
def test_an_unguarded_script_with_classes_of_its_own_runs_once_and_is_seen_and_heard(tmp_path):
    write_chunks(tmp_path / "chunks", [10] * 4)
    code, output, errors = finished(start_script(tmp_path, SCRIPT))
    assert code == 0, errors
    lines = output.splitlines()
    assert [line for line in lines if not line.startswith("reads")] == [
        "the script runs",
        *("0", "10", "20"),
        "odd 35 True",
        "forks 0",
    ]
    assert sorted(line for line in lines if line.startswith("reads")) == [
        f"reads chunk-000{i}.numbered" for i in range(4)
    ]
    assert errors == "WARNING:root:soon\n"


@pytest.mark.slow
def test_ctrl_c_stops_everything_once_without_a_shower_of_tracebacks(tmp_path):
    write_chunks(tmp_path / "chunks", [10] * 40)
    process = start_script(
        tmp_path,
        """
        import os, signal, sys, threading, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell had it ignored
        from numbered import NumberedReader
        from pyloader import DataLoader, Dataset

        class Slow(Dataset):
            def batch_encode(self, columns):
                time.sleep(0.05)
                return columns

        one = {"worker_kind": "process", "num_workers": 1, "num_readers": 1}
        loader = DataLoader(NumberedReader(), Slow(), None, sys.argv[1], batch_size=5, **one)
        try:
            for batch in loader:
                print("batch", flush=True)
        except KeyboardInterrupt:
            print("interrupted")
        print("on it goes", len(next(loader)["id"]))
        """,
    )
    assert process.stdout.readline() == "batch\n"
    # A terminal sends it to the whole group; somebody may send it to the workers as well.
    for pid in [*children(process.pid), process.pid]:
        os.kill(pid, signal.SIGINT)
    code, output, errors = finished(process)
    assert code == 0
    assert output.splitlines()[-2:] == ["interrupted", "on it goes 5"]
    assert errors == ""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyError('stop')"])
def test_a_script_with_a_module_level_loader_exits_at_once(tmp_path, ending):
    write_chunks(tmp_path / "chunks", [10] * 40)
    begun = time.monotonic()
    process = start_script(
        tmp_path,
        f"""
        import sys
        from numbered import loader_of
        loader = loader_of(sys.argv[1], text=True, batch_size=5, num_workers=2, num_readers=2, worker_kind="process")
        next(loader)
        {ending}
        """,
    )
    code, _, errors = finished(process)
    assert code == {"": 0, "sys.exit(3)": 3}.get(ending, 1)
    assert "pyloader" not in errors
    assert time.monotonic() - begun < 10
