"""Clients of obstore: variables of the environment, options, forked children."""

from __future__ import annotations

import os
import re
import signal

import pytest
from store_server import StoreServer

from pyloader.errors import StoreError
from pyloader.files.stores import open_store
from scripts import start_script

FORKS = """
    import os, sys
    from store_server import StoreServer
    from pyloader.errors import ForkError
    from pyloader.files.stores import open_store
    assert "obstore" not in sys.modules, "imported before it is used"

    def ask_in_child(ask):
        child = os.fork()
        if child == 0:
            try:
                print(ask(), flush=True)
            except ForkError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)

    with StoreServer() as server:
        server.put("bucket/a", b"bytes")
        ask_in_child(lambda: open_store("s3://bucket", storage_options=server.s3_options).read("a"))
        store = open_store("s3://bucket", storage_options=server.s3_options)
        print(store.read("a"), flush=True)
        ask_in_child(lambda: store.read("a"))
        ask_in_child(lambda: open_store("s3://bucket", storage_options=server.s3_options).read("a"))
"""


@pytest.mark.slow
def test_a_child_that_was_forked_after_the_first_use_raises_and_one_from_before_it_reads(tmp_path):
    script = start_script(tmp_path, FORKS)
    try:
        said, errors = script.communicate(timeout=60)
    finally:
        if script.poll() is None:
            os.killpg(script.pid, signal.SIGKILL)  # with a child that hangs
    lines = said.splitlines()
    assert lines[:2] == ["b'bytes'", "b'bytes'"], errors
    assert len(lines) == 4
    assert all("forked" in line and 'get_context("spawn")' in line for line in lines[2:])


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
def test_endpoint_and_keys_come_from_the_usual_variables(monkeypatch, variable):
    with StoreServer() as server:
        server.put("bucket/a", b"bytes")
        monkeypatch.setenv(variable, server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFROMTHEVARIABLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "eu-west-9")
        assert open_store("s3://bucket").read("a") == b"bytes"
        assert re.search(r"Credential=AKIAFROMTHEVARIABLE/\d+/eu-west-9/", server.heard[-1][1]["authorization"])


def test_an_option_goes_before_a_variable(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with StoreServer() as server:
        server.put("bucket/a", b"bytes")
        assert open_store("s3://bucket", storage_options=server.s3_options).read("a") == b"bytes"


def test_an_endpoint_that_is_no_address_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(StoreError, match=r"AWS_ENDPOINT_URL does not name.*http://HOST:PORT"):
        open_store("s3://bucket")


def test_plain_http_is_taken_on_this_machine_and_elsewhere_only_if_the_user_says_so(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid")
    keys = {"access_key_id": "1", "secret_access_key": "2"}
    with pytest.raises(StoreError, match=r"over plain http://.*storage_options=\{'allow_http': True\}"):
        open_store("s3://bucket", storage_options=keys).head("a")


@pytest.mark.parametrize("address", ["s3://bucket", "gs://bucket", "az://container", "https://host"])
def test_an_unknown_option_is_named(monkeypatch, address):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    with pytest.raises(StoreError, match="there is no option 'reigon'"):
        open_store(address, storage_options={"reigon": "us-east-1"})


@pytest.mark.parametrize(
    ("address", "variable"),
    [("az://container", "AZURE_STORAGE_ACCOUNT_NAME"), ("gs://b", "GOOGLE_APPLICATION_CREDENTIALS")],
)
def test_what_lacks_in_the_environment_is_named(monkeypatch, address, variable):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/keys.json")
    with pytest.raises(StoreError, match=variable):
        open_store(address)


@pytest.mark.parametrize("seconds", [0, -1, "20", None])
def test_a_time_limit_is_a_number(seconds):
    with pytest.raises(ValueError, match=r"timeout_seconds must be a number above 0, got"):
        open_store("https://host", storage_options={"timeout_seconds": seconds})


def test_headers_for_a_host_come_from_the_environment_and_go_to_no_other(monkeypatch):
    with StoreServer() as server, StoreServer() as other:
        for one in (server, other):
            one.put("data/a", b"bytes")
        host = server.url.removeprefix("http://")
        monkeypatch.setenv("PYLOADER_HTTP_HEADERS", f"\n{host} Authorization: Bearer SECRET\n{host} X-More:1\n")
        for one in (server, other):
            assert open_store(f"{one.url}/data").read("a") == b"bytes"
        assert open_store(f"{server.url}/data", storage_options={"headers": {"X-More": "2"}}).read("a") == b"bytes"
        said = [(headers.get("authorization"), headers.get("x-more")) for _, headers in server.heard]
        assert said == [("Bearer SECRET", "1"), ("Bearer SECRET", "2")]
        assert "SECRET" not in str(other.heard)


@pytest.mark.parametrize("said", ["huggingface.co", "huggingface.co Bearer SECRET", "Authorization: Bearer SECRET"])
def test_what_is_no_header_for_a_host_is_an_error_that_shows_nothing_of_it(monkeypatch, said):
    monkeypatch.setenv("PYLOADER_HTTP_HEADERS", said)
    with pytest.raises(StoreError, match="HOST NAME: VALUE") as caught:
        open_store("https://huggingface.co/datasets")
    assert "SECRET" not in str(caught.value)
