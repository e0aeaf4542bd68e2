"""What a mixture reads next is known far enough ahead, little by little, and for as little work as that takes."""

from __future__ import annotations

import itertools

import numpy as np

from pyloader.plan import ReadTask, with_upcoming
from pyloader.plan.streams import Drawn


def line(sources, num_reads):
    """Yield reads of sources: how many chunks each has, and how many of its reads come in a turn."""
    turn = [place for place, (_, often) in enumerate(sources) for _ in range(often)]
    firsts = [sum(chunks for chunks, _ in sources[:place]) for place in range(len(sources))]
    done = [0] * len(sources)
    for place in itertools.islice(itertools.cycle(turn), num_reads):
        epoch, number = divmod(done[place], sources[place][0])
        done[place] += 1
        yield ReadTask(epoch, number, firsts[place] + number, None, Drawn(first_chunk=firsts[place]))


def test_the_reads_come_as_they_are_and_what_is_said_of_them_is_what_comes():
    reads = list(line([(10, 3), (40, 1)], 2000))
    chunks = [task.chunk for task in reads]
    told = list(with_upcoming(iter(reads), 2))
    assert [task for task, _ in told] == reads
    for place, (_, upcoming) in enumerate(told):
        if upcoming is not None:
            assert upcoming.tolist() == chunks[place : place + len(upcoming)]
    assert 8 < sum(upcoming is not None for _, upcoming in told) < 40


def test_soon_the_next_use_of_each_chunk_is_known_whatever_comes_rarely():
    known = np.empty(0, np.int64)
    for place, (_, upcoming) in enumerate(with_upcoming(line([(10, 9), (40, 1)], 4000), 2)):
        known = upcoming if upcoming is not None else known[1:]
        if 100 < place < 3000:
            assert len(np.unique(known)) >= 49


def test_a_line_without_an_end_is_looked_at_as_far_as_is_said_and_a_source_that_never_comes_keeps_nothing_up():
    longest = 0
    for _, upcoming in itertools.islice(with_upcoming(line([(5, 1), (7, 1)], 10**9), 3, most=500), 2000):
        longest = max(longest, 0 if upcoming is None else len(upcoming))
    assert longest == 500


def test_the_first_read_waits_for_few_others():
    looked = itertools.count()
    tasks = (task for task in line([(1000, 1)], 10**9) if next(looked) >= 0)
    next(with_upcoming(tasks, 1))
    assert next(looked) < 20
