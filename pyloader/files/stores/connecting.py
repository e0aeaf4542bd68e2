"""A client of obstore for an address: options, variables of the environment, time limits."""

from __future__ import annotations

import base64
import os
import urllib.parse
from collections.abc import Mapping
from datetime import timedelta
from types import ModuleType
from typing import Any

from pyloader.errors import ForkError, StoreError, import_optional
from pyloader.files.stores.addresses import Address
from pyloader.files.stores.answers import KEYS_OF

__all__ = ["Client", "check_process", "obstore_client", "timeout_seconds"]

_READ_TIMEOUT_SECONDS = 20.0  # of silence; so that a try or two more fit into the minute after which a fetch gives up
_WRITE_TIMEOUT_SECONDS = 600.0
_FOR_THE_CLIENT = {
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "root_certificate",
    "user_agent",
}
# The options that say where a server is, and the variables that say it else; the first that is set counts.
_ENDPOINTS = {
    "s3": (
        ("endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url"),
        ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    ),
    "gs": (("base_url", "google_base_url"), ("GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST")),
    "az": (("endpoint", "azure_endpoint"), ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")),
}
_CONFIG_NAME = {"s3": "endpoint", "gs": "base_url", "az": "endpoint"}
_HEADERS = "PYLOADER_HTTP_HEADERS"  # a line for each: HOST NAME: VALUE
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

_process: int | None = None  # that has used obstore

Client = Any  # obstore's S3Store, GCSStore, AzureStore or HTTPStore


def check_process() -> None:
    """Raise in a child that was forked after obstore was used: its threads are not there, and a call would never end.

    Raises:
      ForkError: this is such a child.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        what = "a store was used in the process that this one was forked from, and cannot be used here any more."
        raise ForkError(what, 'Start processes with multiprocessing.get_context("spawn"), or fork before the first use')


def obstore_client(address: Address, options: Mapping[str, Any], *, writes: bool = False) -> Client:
    """Return the client of obstore for an address; nothing is sent yet.

    Args:
      address: With scheme s3, gs, az, http or https.
      options: The `storage_options`: what obstore's S3Config, GCSConfig or AzureConfig and its ClientConfig know, and
        `headers`, `timeout_seconds`.
      writes: For writing: the whole request has a time limit, and its answer none.

    Raises:
      StoreError: an option is unknown, or an endpoint is no address.
      MissingDependencyError: obstore is not installed.
    """
    store = import_optional("obstore.store", wanted_by=f"data at {address.scheme}://")
    check_process()
    config = {
        key: value for key, value in options.items() if key not in _FOR_THE_CLIENT | {"headers", "timeout_seconds"}
    }
    client = {key: value for key, value in options.items() if key in _FOR_THE_CLIENT}
    headers = {**_said_headers(address), **options.get("headers", {})}
    if address.user:
        headers["Authorization"] = f"Basic {base64.b64encode(urllib.parse.unquote(address.user).encode()).decode()}"
    if headers:
        client["default_headers"] = headers
    endpoint = _endpoint(address, config)
    if address.scheme == "http" or (endpoint and urllib.parse.urlsplit(endpoint).hostname in _LOOPBACK):
        client.setdefault("allow_http", True)
    seconds = timeout_seconds(options)
    if writes:
        client["timeout"] = timedelta(seconds=_WRITE_TIMEOUT_SECONDS)
    else:
        client |= {"timeout": timedelta(days=1000), "read_timeout": timedelta(seconds=seconds)}
    # The caller tries again, by a rule of its own; only the keys of a cloud's machines are asked for with these, too.
    retries = {"max_retries": 0, "retry_timeout": timedelta(seconds=seconds)}
    if endpoint:
        config[_CONFIG_NAME[address.scheme]] = endpoint
    return _made(store, address, config, {"client_options": client, "retry_config": retries})


def _said_headers(address: Address) -> dict[str, str]:
    """Return the headers that the environment says for the host of an address: commands and workers take no options.

    Raises:
      StoreError: what it says is no list of headers.
    """
    headers = {}
    for line in os.environ.get(_HEADERS, "").splitlines() if address.scheme in ("http", "https") else ():
        host, _, header = line.strip().partition(" ")
        name, colon, value = header.partition(":")
        if host and not (colon and name.strip()):
            what = f"cannot be opened: a line of {_HEADERS} is not HOST NAME: VALUE."
            raise StoreError(str(address), what, f'Write {_HEADERS}="huggingface.co Authorization: Bearer TOKEN"')
        if host == address.place:
            headers[name.strip()] = value.strip()
    return headers


def timeout_seconds(options: Mapping[str, Any]) -> float:
    """Return the option of this name, 20.0 by default.

    Raises:
      ValueError: it is no number above 0.
    """
    given = options.get("timeout_seconds", _READ_TIMEOUT_SECONDS)
    if not isinstance(given, int | float) or not 0 < given < 1e6:
        raise ValueError(f"timeout_seconds must be a number above 0, got {given!r}")
    return float(given)


def _made(store: ModuleType, address: Address, config: dict[str, Any], common: dict[str, Any]) -> Client:
    unknown: list[str] = sorted(config)
    try:
        if address.scheme in ("http", "https") and not config:
            return store.HTTPStore(f"{address}{f'?{address.query}' if address.query else ''}", **common)
        if address.scheme == "s3":
            config.setdefault("disable_bulk_delete", True)  # not all servers have it
            return store.S3Store(address.place, prefix=address.path or None, config=config, **common)
        if address.scheme == "gs":
            return store.GCSStore(address.place, prefix=address.path or None, config=config, **common)
        if address.scheme == "az":
            return store.AzureStore(address.place, prefix=address.path or None, config=config, **common)
    except Exception as exc:  # its text may hold keys
        unknown = [key for key in config if f"'{key}' is not valid" in str(exc)]
    if unknown:
        what = f"cannot be opened: there is no option {unknown[0]!r}."
        raise StoreError(str(address), what, f"What obstore's store for {address.scheme}:// takes is an option")
    keys = f", and at {KEYS_OF[address.scheme]}" if address.scheme in KEYS_OF else ""
    raise StoreError(str(address), "cannot be opened with these options.", f"Look at storage_options{keys}")


def _endpoint(address: Address, config: dict[str, Any]) -> str:
    """Take the endpoint out of the options, or of the environment.

    Raises:
      StoreError: it is no address; the error names the option or the variable.
    """
    names, variables = _ENDPOINTS.get(address.scheme, ((), ()))
    given = {key: config.pop(key) for key in list(config) if key.lower() in names}
    source, endpoint = next(iter(given.items()), ("", ""))
    if not given:
        source, endpoint = next(((name, os.environ[name]) for name in variables if os.environ.get(name)), ("", ""))
    if endpoint and urllib.parse.urlsplit(str(endpoint)).scheme not in ("http", "https"):
        raise StoreError(
            str(address), f"has a server that {source} does not name by an address.", "Write http://HOST:PORT"
        )
    return str(endpoint).rstrip("/")
