"""A small object store on loopback, for tests and figures: it counts, it can be slow, and it fails as it is told.

    with StoreServer() as server:
        server.put("bucket/chunks/a.jsonl", b"...")
        open_store("s3://bucket/chunks", storage_options=server.s3_options)   # or as f"{server.url}/bucket/chunks"
        server.requests["GET bucket/chunks/a.jsonl"], server.bytes_sent["bucket/chunks/a.jsonl"]

        server.heard[-1]                                                      # its first line, and its headers

The same objects are served as S3 (path-style: GET, HEAD, PUT, DELETE, ListObjectsV2), as Google Cloud Storage (which
asks for the same, and compares generations) and over plain HTTP.  GET and HEAD know Range, If-Match and
If-Unmodified-Since; PUT knows `If-None-Match: *`, If-Match and x-goog-if-generation-match.  Signatures are not checked.

    server.page_size = 2                                          # names in one answer to a listing
    server.latency_seconds = 0.05                                 # before each answer
    server.bytes_per_second = 100e6                               # of all answers together
    server.has_ranges = False                                     # Range is ignored, as by `python -m http.server`
    server.headers_left_out = {"ETag"}                            # of all answers
    server.headers_ignored = {"If-Match", "If-None-Match"}        # of all requests

    server.add_fault("bucket/a", status=503, headers={"Retry-After": "2"}, times=3)
    server.add_fault("bucket/a", close_at=1000)                   # the connection ends after 1000 bytes of the body
    server.add_fault("bucket/a", stall_at=1000, go_on=event)      # nothing more comes until the event is set
    server.add_fault("*", status=403, after=10, times=None)       # from the 11th matching request on, for ever
    server.add_fault("bucket/a", before=lambda: server.put("bucket/a", b"changed"))
    server.add_fault("bucket/a", body=lambda data: bytes(len(data)))          # wrong bytes
    server.add_fault("bucket/a", chance=0.05, times=None, close_at=10)        # of 5% of the requests, drawn by `seed`

A fault may name a `method`, too.  The first fault that matches a request is used for it.  `Fault.used` counts.

As a process of its own, for figures:  python tests/support/store_server.py DIRECTORY [--latency S] [--rate BYTES]
It prints its address, serves the files below DIRECTORY under their relative names, and GET /.counts tells its counts.
"""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import fnmatch
import hashlib
import itertools
import json
import random
import re
import socket
import threading
import time
import urllib.parse
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from store_faults import Fault

BLOCK_BYTES = 2**18
ACCESS_KEY, SECRET_KEY = "AKIATESTTESTTEST", "planted-secret-of-the-test"


@dataclass
class Held:
    """One object: its bytes, or the file that has them."""

    data: bytes | Path
    etag: str
    modified: float
    size: int
    generation: str


class StoreServer(ThreadingHTTPServer):
    """The server; a context that ends all its threads and connections."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, Held] = {}
        self.requests: Counter[str] = Counter()
        self.bytes_sent: Counter[str] = Counter()
        self.heard: deque[tuple[str, dict[str, str]]] = deque(maxlen=1000)
        self.faults: list[Fault] = []
        self.page_size = 1000
        self.latency_seconds = 0.0
        self.bytes_per_second: float | None = None
        self.has_ranges = True
        self.headers_left_out: set[str] = set()
        self.headers_ignored: set[str] = set()
        self.lock = threading.RLock()
        self.ends = threading.Event()
        self._random = random.Random(seed)
        self._generations = itertools.count(1_700_000_000_000_000)
        self._connections: set[socket.socket] = set()
        self._next_send = 0.0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="store-server")

    @property
    def url(self) -> str:
        """The address over plain HTTP: object "bucket/a" is at url + "/bucket/a"."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def s3_options(self) -> dict[str, str]:
        """The `storage_options` for s3:// addresses."""
        return {
            "endpoint": self.url,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }

    @property
    def gs_options(self) -> dict[str, str]:
        """The `storage_options` for gs:// addresses."""
        return {"base_url": self.url, "bearer_token": SECRET_KEY}

    def put(self, name: str, data: bytes | Path) -> Held:
        """Store an object, and return it."""
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        about = f"{data} {size}".encode() if isinstance(data, Path) else data
        held = Held(data, f'"{hashlib.md5(about).hexdigest()}"', time.time(), size, str(next(self._generations)))
        with self.lock:
            self.objects[name] = held
        return held

    def put_directory(self, directory: Path, bucket: str) -> None:
        """Store all files below a directory; they are read when they are asked for."""
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                self.put(f"{bucket}/{path.relative_to(directory).as_posix()}".lstrip("/"), path)

    def add_fault(self, name: str, **what: Any) -> Fault:
        """Let something go wrong with the object(s) `name`, a pattern of fnmatch; see Fault."""
        fault = Fault(name, **what)
        with self.lock:
            self.faults.append(fault)
        return fault

    def fault_of(self, method: str, name: str) -> Fault | None:
        """Return what goes wrong with this request."""
        with self.lock:
            for fault in self.faults:
                if fnmatch.fnmatchcase(name, fault.name) and fault.method in ("*", method):
                    fault.seen += 1
                    is_due = fault.seen > fault.after and (fault.times is None or fault.used < fault.times)
                    if is_due and (fault.chance >= 1 or self._random.random() < fault.chance):
                        fault.used += 1
                        return fault
        return None

    def wait_for_turn(self, num_bytes: int) -> None:
        """Wait until so many bytes may be sent."""
        if self.bytes_per_second:
            with self.lock:
                start = max(self._next_send, time.monotonic())
                self._next_send = start + num_bytes / self.bytes_per_second
            self.ends.wait(start - time.monotonic())

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone."""

    def __enter__(self) -> StoreServer:
        self._thread.start()
        return self

    def serve_in_background(self) -> None:
        """Begin, in threads that keep no script from ending; tests do not count them as left behind."""
        self.daemon_threads = self._thread.daemon = True
        self._thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        threading.current_thread().name = "store-server"
        super().process_request_thread(request, client_address)

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the server and all its connections."""
        self.ends.set()
        self.shutdown()
        self._thread.join()
        with self.lock:
            for fault in self.faults:
                if fault.go_on is not None:
                    fault.go_on.set()
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()  # joins the threads of the connections


class _Handler(BaseHTTPRequestHandler):
    server: StoreServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 2**16

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer_one()

    def do_GET(self) -> None:
        self._answer_one()

    def do_PUT(self) -> None:
        self._answer_one()

    def do_DELETE(self) -> None:
        self._answer_one()

    def _answer_one(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        name, query = urllib.parse.unquote(url.path).strip("/"), urllib.parse.parse_qs(url.query)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for ignored in self.server.headers_ignored:
            del self.headers[ignored]
        if name == ".counts":
            counts = {"requests": self.server.requests, "bytes_sent": self.server.bytes_sent}
            return self._send(200, json.dumps(counts).encode(), name)
        is_list = self.command == "GET" and "list-type" in query
        label = f"LIST {name}" if is_list else f"{self.command} {name}"
        with self.server.lock:
            self.server.requests[label] += 1
            self.server.heard.append((self.requestline, dict(self.headers)))
        self.server.ends.wait(self.server.latency_seconds)
        fault = self.server.fault_of("LIST" if is_list else self.command, name)
        if fault is not None and fault.before is not None:
            fault.before()
        if fault is not None and fault.status is not None:
            return self._refuse(fault.status, fault.message, dict(fault.headers), name)
        if is_list:
            return self._list(name, query)
        if self.command == "PUT":
            return self._put(name, data)
        if self.command == "DELETE":
            with self.server.lock:
                self.server.objects.pop(name, None)
            return self._send(204, b"", name)
        return self._get(name, fault)

    def _get(self, name: str, fault: Fault | None) -> None:
        held = self.server.objects.get(name)
        if held is None:
            return self._refuse(404, "NoSuchKey", {}, name)
        headers = {"ETag": held.etag, "x-goog-generation": held.generation}
        headers |= {"Last-Modified": email.utils.formatdate(held.modified, usegmt=True)}
        if self._differs(held):
            return self._refuse(412, "PreconditionFailed", headers, name)
        start, stop, status = 0, held.size, 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked and self.server.has_ranges:
            first, last = asked.groups()
            start = int(first) if first else max(0, held.size - int(last))
            stop = min(held.size, int(last) + 1) if first and last else held.size
            if start >= stop:
                return self._refuse(416, "InvalidRange", headers, name)
            headers["Content-Range"], status = f"bytes {start}-{stop - 1}/{held.size}", 206
        if isinstance(held.data, Path):
            with open(held.data, "rb") as file:
                file.seek(start)
                body = file.read(stop - start)
        else:
            body = held.data[start:stop]
        if fault is not None and fault.body is not None:
            body = fault.body(body)
        return self._send(status, body, name, headers, fault)

    def _differs(self, held: Held) -> bool:
        wanted = self.headers.get("If-Match")
        if wanted is not None:
            return wanted != "*" and held.etag not in wanted.split(", ")
        since = self.headers.get("If-Unmodified-Since")
        return since is not None and int(held.modified) > email.utils.parsedate_to_datetime(since).timestamp()

    def _put(self, name: str, data: bytes) -> None:
        with self.server.lock:
            held = self.server.objects.get(name)
            if self.headers.get("If-None-Match") == "*" and held is not None:
                return self._refuse(412, "PreconditionFailed", {}, name)
            if "If-Match" in self.headers and held is None:
                return self._refuse(404, "NoSuchKey", {}, name)
            if held is not None and self._differs(held):
                return self._refuse(412, "PreconditionFailed", {}, name)
            wanted = self.headers.get("x-goog-if-generation-match")
            if wanted not in (None, "0" if held is None else held.generation):
                return self._refuse(412, "PreconditionFailed", {}, name)
            held = self.server.put(name, data)
        return self._send(200, b"", name, {"ETag": held.etag, "x-goog-generation": held.generation})

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        def of(key: str) -> str:
            return query.get(key, [""])[0]

        start = f"{bucket}/{of('prefix')}"
        after = of("continuation-token") or of("start-after")
        with self.server.lock:
            held = sorted(item for item in self.server.objects.items() if item[0].startswith(start))
        names = [(name.removeprefix(f"{bucket}/"), one) for name, one in held]
        later = [(name, one) for name, one in names if name > after]
        page = later[: self.server.page_size]
        rows = [f"<Name>{bucket}</Name><KeyCount>{len(page)}</KeyCount>"]
        for name, one in page:
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(one.modified))
            rows.append(f"<Contents><Key>{escape(name)}</Key><LastModified>{when}</LastModified>")
            rows.append(f"<ETag>{escape(one.etag)}</ETag><Size>{one.size}</Size></Contents>")
        if len(later) > len(page):
            rows.append(f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>")
        rows.append(f"<IsTruncated>{str(len(later) > len(page)).lower()}</IsTruncated>")
        text = f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>{"".join(rows)}</ListBucketResult>'
        self._send(200, text.encode(), bucket, {"Content-Type": "application/xml"})

    def _refuse(self, status: int, code: str, headers: dict[str, str], name: str) -> None:
        """Say no, with all that a careless server tells: the address and the headers as they came."""
        said = f"{self.path} {self.headers.get('Authorization')}"
        text = f"<Error><Code>{code}</Code><Message>{escape(said)}</Message></Error>"
        self._send(status, text.encode(), name, headers)

    def _send(
        self, status: int, body: bytes, name: str, headers: Mapping[str, str] | None = None, fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            if key not in self.server.headers_left_out:
                self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        whole = memoryview(body)
        close_at = len(body) if fault is None or fault.close_at is None else fault.close_at
        stall_at = None if fault is None else fault.stall_at
        sent = 0
        while sent < min(len(body), close_at):
            if stall_at is not None and sent >= stall_at:
                stall_at = None
                self.wfile.flush()
                (fault.go_on or self.server.ends).wait()  # type: ignore[union-attr]
            ends = [len(body), close_at, sent + BLOCK_BYTES, *([stall_at] if stall_at is not None else [])]
            block = whole[sent : min(ends)]
            self.server.wait_for_turn(len(block))
            sent += len(block)
            with self.server.lock:  # before a client that has them may look
                self.server.bytes_sent[name] += len(block)
            self.wfile.write(block)
        if close_at < len(body):
            self.close_connection = True


def main() -> None:
    """Serve a directory until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--rate", type=float, help="bytes per second, of all answers together")
    given = parser.parse_args()
    with StoreServer() as server, contextlib.suppress(KeyboardInterrupt):
        server.latency_seconds, server.bytes_per_second = given.latency, given.rate
        server.put_directory(given.directory, "")
        print(server.url, flush=True)  # noqa: T201
        while input():
            pass


if __name__ == "__main__":
    with contextlib.suppress(EOFError):
        main()
