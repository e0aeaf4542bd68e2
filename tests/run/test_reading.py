"""Reading: what stands between a thread and the user's code."""

from __future__ import annotations

import importlib
import re
import shlex
import sys

import pytest
from numbered import NumberedReader, write_chunks

from pyloader import ChunkWriter, DataLoader
from pyloader.cli.main import main
from pyloader.errors import ReadFileError


class Watched(NumberedReader):
    """Notes the functions of ours that it is called through."""

    frames: list[str]

    def read_file(self, path):
        frame, self.frames = sys._getframe(1), []
        while frame is not None and frame.f_code.co_name != "_work":
            if "/pyloader/" in frame.f_code.co_filename:
                self.frames.append(frame.f_code.co_qualname)
            frame = frame.f_back
        assert frame is not None
        return super().read_file(path)


@pytest.mark.parametrize("options", [{}, {"max_bytes": "1GB"}, {"max_skipped": 1}])
def test_five_functions_at_most_are_between_a_thread_and_read_file(tmp_path, options):
    reader = Watched()
    with DataLoader(reader, data_dir=write_chunks(tmp_path, [3]), **options) as loader:
        list(loader)
    assert len(reader.frames) <= 5, reader.frames


FILTERING = """
from pyloader import DataLoader, JsonlReader

class Half(JsonlReader):
    def read_file(self, path):
        columns, num_rows = super().read_file(path)
        return {name: values[: num_rows // 2] for name, values in columns.items()}, num_rows // 2
"""


@pytest.mark.parametrize("named", ["chunks", "chunks/*.jsonl", "chunks/manifest.json"])
def test_a_reader_that_filters_reads_what_was_counted_with_it_as_the_error_says(tmp_path, monkeypatch, capsys, named):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "filtering.py").write_text(FILTERING)
    with ChunkWriter("chunks", chunk_samples=10, format="jsonl") as writer:
        for number in range(30):
            writer.write({"x": number})
    reader = importlib.import_module("filtering").Half()
    with DataLoader(reader, data_dir=named) as loader, pytest.raises(ReadFileError) as error:
        list(loader)
    command = re.findall(r"pyloader (index .*), then data_dir='counted.manifest.json'", str(error.value))
    assert main(shlex.split(command[0])) == 0
    with DataLoader(reader, data_dir="counted.manifest.json") as loader:
        assert sum(len(batch["x"]) for batch in loader) == 15
    capsys.readouterr()
