"""Two writers add to one set in a store at the same time: nothing is doubled, nothing lost, nothing left."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_servers import moto, seaweedfs
from store_races import races, steal_locks
from store_server import StoreServer


@pytest.mark.slow
def test_whoever_comes_first_each_row_is_there_once(tmp_path: Path) -> None:
    with StoreServer() as server:
        seen = races(server.s3_options, tmp_path, 5)
    assert (seen.keys() <= {"added", "refused"}, seen["added"]) == (True, 10)


@pytest.mark.slow
def test_even_if_the_place_of_a_living_writer_is_taken_rows_are_there_once_or_refused(tmp_path: Path) -> None:
    with StoreServer() as server:
        steal_locks(server)
        assert races(server.s3_options, tmp_path, 10, takes_over=True)["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("server", [moto, seaweedfs], ids=["moto", "seaweedfs"])
def test_the_same_on_real_servers(server, tmp_path):
    (tmp_path / "server").mkdir()
    with server(tmp_path / "server") as opened:
        assert races(opened.options, tmp_path, 5)["added"] == 10
