"""Pages in a real browser: from a file, without a network, on a phone and by keyboard."""

from __future__ import annotations

import pytest
from browser import look_at
from run_logs import write_run

from pyloader.inspecting.report_page import report_page
from pyloader.inspecting.run_report import run_report

pytestmark = pytest.mark.frameworks


@pytest.fixture
def page(tmp_path):
    write_run(tmp_path / "run1", num_ranks=4)
    path = tmp_path / "report.html"
    path.write_text(report_page(run_report(tmp_path / "run1", now=1061.0)))
    return path


def test_a_report_opens_from_a_file_and_shows_its_charts_without_asking_for_anything(page):
    seen = look_at(page)
    assert seen["title"].startswith("pyloader: ")
    assert (seen["console"], seen["requests"], seen["scripts"]) == ([], [], 0)
    assert seen["overflow_360"] <= 0 and seen["overflow_1280"] <= 0
    assert len(seen["charts"]) == 7
    for chart in seen["charts"]:
        assert chart["rows"] >= 2 and chart["label"].startswith(chart["title"])
        assert chart["marks"] and all(mark["width"] > 100 for mark in chart["marks"]), chart["title"]
        assert all("rgb" in mark["seen"] for mark in chart["marks"])
    assert "chunks/<b>bad</b>.jsonl" in seen["text"]


def test_links_tables_and_numbers_are_reached_by_keyboard(page):
    reached = look_at(page)["reached"]
    assert reached[0] == "A To the content"
    assert sum(name == "SUMMARY The numbers as a table" for name in reached) == 7
    assert {"A Ranks", "A Slowest steps", "A Left out"} <= set(reached)
    assert sum(name.startswith("DIV ") for name in reached) == 3  # tables that scroll


def test_pictures_on_a_phone_in_the_dark_and_on_paper_can_be_taken(page, tmp_path):
    files = {look: tmp_path / f"{look}.png" for look in ("light", "dark", "print")}
    look_at(page, *(part for look, file in files.items() for part in (file, 360, look)))
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files.values())
