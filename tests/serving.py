"""A web server on this computer that keeps files as a good one does, and misbehaves where a test tells it to."""

import contextlib
import hashlib
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Answer:
    """How one request is answered; as it stands, with the file."""

    status: int | None = None  # an error, or a redirect to `location`
    location: str = ""
    cut: int | None = None  # the connection breaks after so many bytes
    stall: int | None = None  # it hangs after so many bytes
    trickle: float = 0.0  # seconds before each thousand bytes
    hold: threading.Event | None = None  # after 3000 bytes it waits for this
    length: int | None = None  # what is announced instead of the true length
    ranges: bool = True
    etag: bool = True
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """`files` by path; `answers` are used up one a request, `always` holds for the others."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, deque[Answer]] = {}
        self.always: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client may have gone
                    server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def put(self, path: str, content: bytes, *answers: Answer, always: Answer | None = None) -> str:
        """Serve a file; returns its address."""
        self.files[path] = content
        self.answers[path] = deque(answers)
        self.always[path] = always or Answer()
        return self.url + path

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of each request for a path."""
        return [headers for name, headers in self.requests if name == path]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.requests.append((path, dict(handler.headers)))
        queue = self.answers.get(path)
        how = queue.popleft() if queue else self.always.get(path, Answer())
        content = self.files.get(path) if how.body is None else how.body
        if how.status is not None or content is None:
            handler.send_response(how.status or 404)
            for name, value in how.headers.items():
                handler.send_header(name, value)
            if how.location:
                handler.send_header("Location", how.location)
            handler.end_headers()
            return
        etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        asked, begin = handler.headers.get("Range"), 0
        if asked and how.ranges and handler.headers.get("If-Range") in (None, etag):
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(content):
                handler.send_response(416)
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        if how.etag:
            handler.send_header("ETag", etag)
        if how.length != -1:
            handler.send_header("Content-Length", str(len(content) - begin if how.length is None else how.length))
        for name, value in how.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        self._send(handler, content[begin:], how)

    def _send(self, handler: BaseHTTPRequestHandler, content: bytes, how: Answer) -> None:
        whole = how.cut is how.stall is None
        end = len(content) if whole else int(how.cut if how.cut is not None else how.stall or 0)
        for i in range(0, end, 1000):
            if how.trickle and self.over.wait(how.trickle):
                return
            if how.hold is not None and i >= 3000:
                how.hold.wait(100)
            handler.wfile.write(content[i : min(i + 1000, end)])
            handler.wfile.flush()
        if how.stall is not None:
            self.over.wait(20)

    def close(self) -> None:
        """Let go of clients that hang, and of the port."""
        self.over.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch):
    """A `Server`; no proxy and no token of the user's stand between."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "PIXACE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pixace.fetching.files.PAUSE_S", 0.01)
    server = Server()
    yield server
    server.close()
