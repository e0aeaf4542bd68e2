"""Reading: what stands between a thread and the user's code."""

from __future__ import annotations

import sys

import pytest
from numbered import NumberedReader, write_chunks

from pyloader import DataLoader


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
