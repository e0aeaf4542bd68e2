"""An entry is named after what identifies its bytes, and nothing secret is in its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyloader.files.cache import Identity, without_secrets
from pyloader.files.cache.identity import keys_and_rooms, names_of_entries, room_of_files, room_of_name

PLAIN = Identity(url="s3://bucket/data/a.jsonl.zst", size=5_000, version="etag-1")
STRONG = replace(PLAIN, digest="sha256:aa")


def test_without_a_digest_place_size_and_version_identify_the_bytes():
    others = [
        replace(PLAIN, url="s3://bucket/other/a.jsonl.zst"),
        replace(PLAIN, size=5_001),
        replace(PLAIN, version="etag-2"),
        replace(PLAIN, ranges=((0, 100),)),
        replace(PLAIN, members=(("x.npy", 5_000),)),
    ]
    assert len({identity.name for identity in (PLAIN, *others)}) == 6
    assert replace(PLAIN).name == PLAIN.name


def test_with_a_digest_the_same_bytes_are_one_entry_wherever_they_are():
    assert replace(STRONG, url="https://mirror/x/a.jsonl.zst", version="").name == STRONG.name
    others = [replace(STRONG, digest="sha256:bb"), replace(STRONG, size=5_001), replace(STRONG, url="s3://b/a.txt")]
    assert len({identity.name for identity in (STRONG, PLAIN, *others)}) == 5


def test_a_name_says_the_room_and_a_plan_takes_its_first_64_bits():
    assert room_of_name(PLAIN.name) == room_of_files(5_000) == 4 * 4096
    large = replace(PLAIN, size=2**40)
    keys, rooms = keys_and_rooms([PLAIN.name, large.name])
    assert keys.tolist() == [PLAIN.key, large.key] == [int(name[:16], 16) for name in (PLAIN.name, large.name)]
    assert rooms.tolist() == [4 * 4096, 2**40 + 2 * 4096]
    assert [len(array) for array in keys_and_rooms([])] == [0, 0]


@pytest.mark.parametrize("other", ["mine.txt", "g" * 44, "A" + "a" * 43, "a " * 22, "é" * 44, "a" * 43])
def test_what_is_no_name_of_an_entry_is_left_out(other):
    names = [PLAIN.name, STRONG.name]
    assert names_of_entries([*names, other, "lock"]) == names_of_entries(names) == names
    assert names_of_entries([other]) == names_of_entries([]) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:SECRET@host:8080/d/a.npy?token=SECRET#SECRET", "https://host:8080/d/a.npy"),
        ("https://host?token=SECRET", "https://host"),
        ("s3://key:SECRET@bucket/d/a?b#c.npy", "s3://bucket/d/a?b#c.npy"),
        ("https://host/mail@example/a.npy", "https://host/mail@example/a.npy"),
        ("s3://bucket/d/a.npy", "s3://bucket/d/a.npy"),
    ],
)
def test_what_is_secret_in_a_url_is_left_out(url, shown):
    assert without_secrets(url) == shown


def test_another_secret_is_no_other_entry():
    signed = [Identity(url=f"https://h/a.npy?sig={secret}", size=1, version="1") for secret in ("SECRET", "SECRET2")]
    assert signed[0] == signed[1]
    assert "SECRET" not in repr(signed)


@pytest.mark.parametrize("name", ["", "..", ".record", ".record.new", "a\0"])
def test_what_cannot_be_the_name_of_a_file_in_the_cache_is_refused(name):
    with pytest.raises(ValueError, match="cannot be the name of a file in the cache"):
        Identity(url=f"s3://bucket/{name}", size=1)
    with pytest.raises(ValueError, match="cannot be the name of a file in the cache"):
        Identity(url="s3://bucket/a.columns", size=1, members=((name, 1),))


def test_a_size_below_zero_is_refused():
    with pytest.raises(ValueError, match="a size must be at least 0 bytes, got -1"):
        Identity(url="s3://bucket/a", size=-1)
