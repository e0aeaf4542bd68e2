"""`pyloader report`: a page of a run that needs nothing else, and the same as JSON."""

from __future__ import annotations

import json
import re

import pytest
from numbered import loader_of, write_chunks
from parsed_page import ParsedPage
from run_logs import ABOUT, line_of, write_log, write_run

from pyloader.cli.main import main
from pyloader.inspecting.report_page import report_page
from pyloader.inspecting.run_report import run_report


def page_of(directory, now=1061.0):
    text = report_page(run_report(directory, now=now))
    return text, ParsedPage(text)


def test_the_page_has_each_section_and_asks_for_nothing_from_elsewhere(tmp_path):
    write_run(tmp_path)
    text, page = page_of(tmp_path)
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert titles == ["Ranks", "Over time", "Stages", "Slowest steps", "Mixing", "Bounds", "Left out"]
    assert not re.search(r"https?:|//|@import|url\(", text)
    assert page.stands_alone()
    targets = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {attrs["href"][1:] for tag, attrs in page.elements if tag == "a"} <= targets


def test_every_chart_has_a_title_marks_and_its_numbers_as_a_table(tmp_path):
    write_run(tmp_path)
    text, _ = page_of(tmp_path)
    figures = re.findall(r'<figure class="chart">.*?</figure>', text, re.DOTALL)
    assert len(figures) == 7
    for figure in figures:
        assert re.search(r'role="img"><title>[^<]+</title>', figure)
        assert re.search(r'class="(line|area|dots) s0" d="M', figure) and figure.count("<tr>") > 10


def test_the_verdict_says_what_to_write_and_names_the_straggler_and_its_stage(tmp_path):
    write_run(tmp_path)
    _, page = page_of(tmp_path)
    said = " ".join(page.texts)
    assert "The loop of rank 1 waits 50.0% of its time for data: for read" in said
    assert "What to write: num_readers=2 reads two chunks at a time." in said
    assert "Rank 1 waits 50% of its time, the others 1%: read takes 3.0 times as long a sample." in said
    assert "it is going on" in said


def test_a_loop_that_does_not_wait_is_told_to_change_nothing(tmp_path):
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT}, *(line_of(1000.0 + k, k, 0.01 * k) for k in range(1, 9)))
    _, page = page_of(tmp_path, now=1068.0)
    said = " ".join(page.texts)
    assert "The loop waits 1.0% of its time for data." in said and "there is nothing to change" in said
    assert "nothing new for 60 s" in said


def test_names_from_strangers_are_text_on_the_page(tmp_path):
    write_run(tmp_path)
    about = {**ABOUT, "loader": "</style><script>alert(2)</script>", "host": '"><img src=x onerror=alert(3)>'}
    verdict = "<script>: <b>bold</b> \u202egnorw"
    write_log(
        tmp_path,
        1,
        {"time": 1000.0, "about": about},
        *(line_of(1000.0 + k, k, 0.5 * k, verdict=verdict) for k in (1, 2)),
    )
    text, page = page_of(tmp_path)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "b>"})
    assert "<script" not in text and "\u202e" not in text and "&lt;script&gt;alert(2)" in text


def test_what_was_predicted_of_the_options_of_the_run_is_shown_beside_what_came(tmp_path):
    write_run(tmp_path)
    about = {**ABOUT, "options": {"shuffle_window": 8, "batch_size": 10}}
    lines = [line_of(1000.0 + k, 5 * k, 0.1, read_bytes=100 * k, mixed_chunks=3.5) for k in range(1, 61)]
    write_log(tmp_path, 1, {"time": 1000.0, "about": about}, *lines)
    common = {"rank": 1, "num_ranks": 3, "batch_size": 10, "num_epochs": 1, "steps_per_epoch": 100, "variety": {"y": 1}}
    narrow = {**common, "shuffle_window": 4, "mixed_chunks": 2.0}
    wide = {**common, "shuffle_window": 8, "mixed_chunks": 3.85, "samples_per_second": 55.0, "read_bytes": 2000}
    (tmp_path / "plan.json").write_text(json.dumps({"version": 1, "predictions": [narrow, wide]}))
    write_log(tmp_path, 0, {"time": 1000.0, "about": about})
    write_log(tmp_path, 2, {"time": 1000.0, "about": about})
    text, _ = page_of(tmp_path)
    rows = re.findall(r'<tr><td>(\w+)</td>((?:<td class="n">.*?</td>)+)</tr>', text.partition("<h2>Predicted</h2>")[2])
    shown = {name: re.findall(">([^<>]+)<", cells) for name, cells in rows}
    assert shown == {
        "mixed_chunks": ["3.85", "3.5", "+10.0%"],
        "samples_per_second": ["55", "50", "+10.0%"],
        "read_bytes": ["2,000", "2,000", "+0.0%"],  # of one of three epochs
    }
    for damaged in ("[" * 9999, "{", '{"predictions": 5}', '{"predictions": [5]}', "[]"):
        (tmp_path / "plan.json").write_text(damaged)
        assert "Predicted" not in page_of(tmp_path)[0]


@pytest.mark.parametrize("num_epochs", [1, 3])
def test_samples_that_were_dropped_are_compared_as_those_of_an_epoch(tmp_path, num_epochs):
    plan = {"num_epochs": num_epochs, "steps_per_epoch": 10, "dropped_samples": 6, "read_bytes": 100 * num_epochs}
    (tmp_path / "plan.json").write_text(json.dumps({"version": 1, "predictions": [plan]}))
    for rank in (0, 1):  # three epochs
        line = line_of(1001.0, 30, 0.1, dropped_samples=9, read_bytes=300)
        write_log(tmp_path, rank, {"time": 1000.0, "about": ABOUT}, line)
    assert run_report(tmp_path, now=1002.0).actual == {
        "dropped_samples": pytest.approx(6), "read_bytes": pytest.approx(100 * num_epochs)
    }  # fmt: skip


def test_the_shares_of_sources_and_how_full_packed_rows_are_are_shown_over_ranks_and_runs(tmp_path):
    def line(time, steps, web, **more):
        counts = {"source_samples/<i>web": web, "source_samples/code": 100, "source_epochs/<i>web": 1.5}
        return line_of(time, steps, 0.1, **counts, **more)

    begin = {"time": 1000.0, "about": ABOUT}
    write_log(tmp_path, 0, begin, line(1001.0, 5, 200, packed_fill=0.9514), begin, line(1002.0, 5, 100))
    write_log(tmp_path, 1, begin, line(1001.0, 5, 300, packed_fill=0.9514))
    text, page = page_of(tmp_path)
    table = text.partition("<h2>Sources</h2>")[2].partition("</section>")[0]
    rows = [re.findall("<td[^>]*>([^<]*)</td>", row) for row in re.findall("<tr>(<td.*?)</tr>", table)]
    assert rows == [["&lt;i&gt;web", "600", "66.67%", "1.5"], ["code", "300", "33.33%", "0"]]
    assert "packed rows filled" in page.texts and "95.1%" in page.texts
    write_run(tmp_path / "other")
    assert "Sources" not in page_of(tmp_path / "other")[0]


@pytest.mark.slow
def test_the_page_of_many_ranks_and_steps_is_small(tmp_path):
    for rank in range(200):
        write_log(tmp_path, rank, {"time": 1000.0, "about": ABOUT}, *(line_of(1000.0 + k, k, 0.1) for k in range(1, 5)))
    write_run(tmp_path, num_ranks=10, seconds=3000)
    assert len(page_of(tmp_path)[0].encode()) < 500_000


def test_a_real_run_has_its_slowest_steps_with_files_its_mixing_and_what_was_left_out(tmp_path, capsys):
    write_chunks(tmp_path / "chunks", [10] * 6)
    (tmp_path / "chunks" / "chunk-0003.numbered").write_text("damaged")
    options = {"shuffle": True, "last_batch": "pad", "max_skipped": 1, "log_dir": tmp_path / "run"}
    with loader_of(tmp_path / "chunks", batch_size=3, **options) as loader:
        assert len(list(loader)) == 17
    assert main(["report", str(tmp_path / "run"), "--json"]) == 0
    (rank,) = json.loads(capsys.readouterr().out)["ranks"]
    assert rank["metrics"]["steps"] == 17 and rank["metrics"]["process_bytes"] > 10**6
    assert [name.rpartition("/")[2] for name in rank["left_out"]] == ["chunk-0003.numbered"]
    (slow,) = rank["slowest_steps"]
    assert 1 <= slow["step"] < 17
    assert {name[:6] for name in slow["files"]} <= {"chunk-"}  # those of the padded batch are unknown
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "page.html")]) == 0
    assert "the loop waits" in capsys.readouterr().out
    ParsedPage((tmp_path / "page.html").read_text())


@pytest.mark.parametrize(("output", "why"), [("no/such/page.html", "No such file"), (".", "Is a directory")])
def test_a_page_that_cannot_be_written_says_which(tmp_path, capsys, output, why):
    write_run(tmp_path / "run", seconds=2)
    (tmp_path / "made").mkdir()
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "made" / output)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'made' / output}: cannot be written: {why}" in said and "Give -o a file" in said
    assert list((tmp_path / "made").iterdir()) == []


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT})
    assert "no batch has come yet" in page_of(tmp_path)[0]


def test_a_directory_without_logs_says_how_they_are_written(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no logs of a run. Have them written: DataLoader(..., log_dir='run1')" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
