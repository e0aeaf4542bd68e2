"""Something that belongs to the thread that made it: one for each, all closed together."""

from __future__ import annotations

import gc
import threading
import weakref

from pyloader.deliver import PerThread


class Thing:
    is_closed = False


def close(thing):
    thing.is_closed = True


def in_another_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_has_one_and_another_thread_another():
    things = PerThread(Thing, close=close)
    assert things() is things()
    mine, (theirs, again) = things(), in_another_thread(lambda: (things(), things()))
    assert theirs is again and theirs is not mine


def test_close_closes_all_and_the_next_use_makes_new_ones():
    things = PerThread(Thing, close=close)
    mine, kept = things(), threading.Event()
    found, ready = [], threading.Event()

    def use():
        found.append(things())
        ready.set()
        kept.wait(5)

    thread = threading.Thread(target=use)
    thread.start()
    assert ready.wait(5)
    things.close()
    things.close()
    kept.set()
    thread.join()
    assert mine.is_closed and found[0].is_closed
    assert things() is not mine and not things().is_closed


def test_what_a_thread_had_goes_with_it():
    things = PerThread(Thing, close=close)
    gone = in_another_thread(lambda: weakref.ref(things()))
    gc.collect()
    assert gone() is None
