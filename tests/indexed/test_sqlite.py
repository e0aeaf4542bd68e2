"""SQLiteDataset: rows of tables and queries, in a fixed order, read-only, from any thread."""

from __future__ import annotations

import contextlib
import pickle
import signal
import sqlite3
import threading

import pytest

from pyloader.errors import DatasetError
from pyloader.indexed.sqlite import SQLiteDataset


@pytest.fixture
def path(tmp_path):
    """A table with gaps in its rowids, written out of order; one with text keys; one with a hostile name."""
    place = tmp_path / "x.db"
    connection = sqlite3.connect(place)
    connection.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT, score REAL, parent INTEGER)")
    connection.executemany(
        "INSERT INTO texts VALUES (?, ?, ?, ?)",
        [(7 * i, f"text {i}", i / 2, None if i % 5 == 0 else i) for i in (*range(50, 100), *range(1, 50))],
    )
    connection.execute("CREATE TABLE words (word TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")
    connection.executemany("INSERT INTO words VALUES (?, ?)", [("pear", 1), ("apple", 2), ("fig", 2)])
    connection.execute('CREATE TABLE "a""; DROP TABLE texts; --" (x INTEGER)')
    connection.execute('INSERT INTO "a""; DROP TABLE texts; --" VALUES (5)')
    connection.commit()
    connection.close()
    return place


def test_rows_come_in_the_order_of_their_ids(path):
    with SQLiteDataset(path, "texts") as dataset:
        assert len(dataset) == 99
        assert dataset[0] == {"id": 7, "text": "text 1", "score": 0.5, "parent": 1}
        assert dataset[-1]["id"] == 693
        assert [row["id"] for row in dataset] == [7 * i for i in range(1, 100)]
        rows = dataset[[4, 98, 4, 0]]
        assert rows == {
            "id": [35, 693, 35, 7],
            "text": ["text 5", "text 99", "text 5", "text 1"],
            "score": [2.5, 49.5, 2.5, 0.5],
            "parent": [None, 99, None, 1],
        }
        assert dataset[[]] == {"id": [], "text": [], "score": [], "parent": []}


def test_a_batch_is_one_query(path):
    with SQLiteDataset(path, "texts") as dataset:
        queries = []
        dataset._connection().set_trace_callback(queries.append)
        dataset.shuffle(1).map(len).shard(rank=0, world_size=2)[0:40]
        assert len(queries) == 1


def test_a_query_is_read_by_its_key(path):
    query = "SELECT id, upper(text) AS text FROM texts WHERE score > ?;"
    with SQLiteDataset(path, query, key="id", parameters=(48,)) as dataset:
        assert list(dataset) == [{"id": 7 * i, "text": f"TEXT {i}"} for i in (97, 98, 99)]
    with pytest.raises(ValueError, match="a query needs key="):
        SQLiteDataset(path, query, parameters=(48,))


def test_keys_may_be_text(path):
    with SQLiteDataset(path, "words", key="word") as dataset:
        assert dataset[[2, 0]] == {"word": ["pear", "apple"], "n": [1, 2]}


def test_a_table_without_rowid_needs_a_key(path):
    with pytest.raises(DatasetError, match=r"x.db: cannot be read: no such column: source.rowid"):
        SQLiteDataset(path, "words")


def test_a_key_that_does_not_tell_rows_apart_is_refused(path):
    with pytest.raises(DatasetError, match="has the key n=2 twice"):
        SQLiteDataset(path, "words", key="n")
    with pytest.raises(DatasetError, match="has NULL, int as keys in 'parent'"):
        SQLiteDataset(path, "texts", key="parent")
    with pytest.raises(DatasetError, match=r"no such column: source.nope"):
        SQLiteDataset(path, "texts", key="nope")


def test_names_are_never_code(path):
    with SQLiteDataset(path, 'a"; DROP TABLE texts; --') as dataset:
        assert list(dataset) == [{"x": 5}]
    for name in ("texts; DROP TABLE texts", "texts WHERE 0", 'texts" --'):
        with pytest.raises(DatasetError, match=r"has no table .* it has a\"; DROP TABLE texts; --, texts, words"):
            SQLiteDataset(path, name)
    with pytest.raises(DatasetError, match="no such column"):
        SQLiteDataset(path, "texts", key='id" FROM texts; DROP TABLE texts; --')
    with SQLiteDataset(path, "texts") as dataset:
        assert len(dataset) == 99


def test_the_file_cannot_be_written_to(path):
    with SQLiteDataset(path, "texts") as dataset, pytest.raises(sqlite3.OperationalError, match="readonly"):
        dataset._connection().execute("DELETE FROM texts")


def test_every_thread_reads_by_a_connection_of_its_own(path):
    dataset, found, connections = SQLiteDataset(path, "texts"), [], set()

    def read():
        for _ in range(20):
            found.append(dataset[[3, 1]]["id"])
        connections.add(dataset._connection())

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dataset.close()
    assert found == [[28, 14]] * 80
    assert len(connections) == 4


def test_rows_that_have_gone_are_missed(path):
    with SQLiteDataset(path, "texts") as dataset:
        connection = sqlite3.connect(path)
        connection.execute("DELETE FROM texts WHERE id = 14")
        connection.commit()
        connection.close()
        with pytest.raises(DatasetError, match="has 1 of 2 rows: it has changed"):
            dataset[[0, 1]]


def test_a_copy_by_pickle_opens_the_file_again(path):
    with SQLiteDataset(path, "texts") as dataset, pickle.loads(pickle.dumps(dataset)) as copied:
        assert copied[5] == dataset[5]


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("not a database, whatever its length may be" * 30)
    with pytest.raises(DatasetError, match=r"x.txt: cannot be read: file is not a database"):
        SQLiteDataset(tmp_path / "x.txt", "texts")
    with pytest.raises(FileNotFoundError, match=r"none.db"):
        SQLiteDataset(tmp_path / "none.db", "texts")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.slow
def test_a_view_that_never_ends_can_be_interrupted(tmp_path):
    def ctrl_c(*_):
        raise KeyboardInterrupt

    path = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
        )
    before = signal.signal(signal.SIGALRM, ctrl_c)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            SQLiteDataset(path, "endless", key="x")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
