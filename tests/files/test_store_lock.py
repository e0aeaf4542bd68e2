"""One writer for a place in a store: who is refused, who goes on, and whose place is taken."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from store_server import StoreServer

from pyloader.errors import OutputDirError, StoreError
from pyloader.files.store_lock import StoreLock, lock_store
from pyloader.files.stores import Store, open_store
from pyloader.files.takes import Takes

LEASE = "bucket/x/.split/lease"
SPLIT, OTHER = "pyloader split a.jsonl s3://bucket/x/", "pyloader split b.jsonl s3://bucket/x/"


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def store(server: StoreServer) -> Store:
    return open_store("s3://bucket/x", storage_options=server.s3_options)


def take(store: Store, command: str = SPLIT, *, work: str = "", **takes: bool) -> StoreLock:
    return lock_store(store, command=command, takes=Takes(**takes), work=work)


def let_pass(server: StoreServer, seconds: float) -> None:
    server.objects[LEASE].modified -= seconds


def elsewhere(server: StoreServer, **what: Any) -> None:
    """Make the writer one of another machine."""
    modified = server.objects[LEASE].modified
    said = json.loads(server.objects[LEASE].data)  # type: ignore[arg-type]
    server.put(LEASE, json.dumps({**said, "boot": "another", "host": "node7", **what}).encode()).modified = modified


def test_where_nobody_writes_there_is_no_object(server, store):
    lock = take(store)
    assert (lock.before, lock.goes_on) == (None, False)
    assert [*server.objects] == [LEASE]
    lock.release()
    assert not server.objects


def test_the_second_writer_is_told_of_the_first(store):
    take(store)
    with pytest.raises(OutputDirError, match=rf"is being written by process {os.getpid()} on .*a\.jsonl"):
        take(store)


def test_a_writer_that_renews_is_not_taken_for_a_silent_one(server, store):
    lock = take(store)
    let_pass(server, 50)
    lock.renew()
    let_pass(server, 50)
    with pytest.raises(OutputDirError, match="is being written"):
        take(store)


def test_after_a_minute_of_silence_the_same_command_goes_on(server, store):
    first = take(store)
    first.will_write(["", "val"])
    elsewhere(server)
    let_pass(server, 50)
    with pytest.raises(OutputDirError, match=r"on node7 .*in \d{1,2} s"):
        take(store)
    let_pass(server, 11)
    second = take(store, work=first.work)
    assert (second.work, second.before, second.goes_on) == (first.work, SPLIT, True)
    assert second.outputs == ("", "val")


def test_what_another_machine_has_gone_on_with_is_not_what_this_one_has_begun(store):
    first = take(store)
    first.stop()
    second = take(store)
    second.stop()
    third = take(store, work=first.work)
    assert third.goes_on
    assert len({first.work, second.work, third.work}) == 3


def test_after_a_minute_of_silence_another_command_needs_to_say_that_it_takes_over(server, store):
    first = take(store)
    elsewhere(server)
    let_pass(server, 61)
    for takes in ({}, {"stopped": True}):
        with pytest.raises(OutputDirError, match=r"silent for 6\d s.*--take-over"):
            take(store, OTHER, **takes)
    second = take(store, OTHER, silent=True)
    assert (second.before, second.goes_on) == (SPLIT, False)
    assert second.work != first.work


def test_a_writer_that_lost_its_place_is_told_and_removes_nothing(server, store):
    first = take(store)
    elsewhere(server)
    let_pass(server, 61)
    second = take(store)
    first.renew()
    for step in (first.check, first.release):
        with pytest.raises(OutputDirError, match="was taken over by another writer"):
            step()
    second.check()
    second.release()


def test_what_was_stopped_in_order_is_gone_on_with_at_once(store):
    take(store).stop()
    assert take(store).goes_on


def test_what_was_stopped_keeps_other_commands_off_until_it_is_given_up(store):
    take(store).stop()
    with pytest.raises(OutputDirError, match=r"holds what was begun there and stopped.*--discard-stopped"):
        take(store, OTHER)
    assert take(store, OTHER, stopped=True).before == SPLIT


def test_what_nobody_can_go_on_with_keeps_nobody_off(store):
    take(store, "").stop()
    assert take(store, OTHER).before == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process was started")
def test_a_process_of_this_machine_that_has_ended_is_not_waited_for(server, store):
    code = "import sys, json; from pyloader.files.store_lock import *; from pyloader.files.stores import open_store\n"
    code += "from pyloader.files.takes import Takes\n"
    code += "lock_store(open_store('s3://bucket/x', storage_options=json.loads(sys.argv[1])), command=sys.argv[2], "
    code += "takes=Takes())"
    subprocess.run([sys.executable, "-c", code, json.dumps(server.s3_options), SPLIT], check=True)
    assert take(store).goes_on


@pytest.mark.parametrize("said", [b"", b"{}", b"\xff", b" " * 10**5], ids=["empty", "other", "no text", "large"])
def test_a_damaged_object_is_taken_for_a_writer_of_another_command(server, store, said):
    server.put(LEASE, said)
    with pytest.raises(OutputDirError, match="is being written by process 0 on another machine"):
        take(store)
    let_pass(server, 61)
    with pytest.raises(OutputDirError, match="--take-over"):
        take(store)
    assert take(store, silent=True).before == "unknown"


def test_a_store_that_creates_over_what_is_there_is_refused(server, store):
    server.headers_ignored = {"If-None-Match"}
    with pytest.raises(StoreError, match="overwrites objects that were only to be created"):
        take(store)
    assert not server.objects


def test_a_store_that_replaces_what_has_changed_is_taken_and_its_object_is_not_renewed(server, store):
    server.headers_ignored = {"If-Match"}
    lock = take(store)
    version = server.objects[LEASE].etag
    lock.renew()
    lock.check()
    assert (lock.replaces, server.objects[LEASE].etag) == (False, version)
    let_pass(server, 61)
    elsewhere(server)
    assert take(store, OTHER, silent=True).before == SPLIT


def test_of_two_that_take_the_same_place_one_gets_it(server, store):
    take(store).stop()
    others = itertools.count()

    def come_first() -> None:
        if next(others) == 0:
            take(open_store("s3://bucket/x", storage_options=server.s3_options))

    server.add_fault(LEASE, method="PUT", after=1, before=come_first)
    with pytest.raises(OutputDirError, match="is being written by process"):
        take(store)
