"""A web server for this computer alone: the page, and a JSON interface to the work behind it.

    GET  /                    the page
    GET  /api/settings        what can be chosen
    POST /api/jobs            {"content": base64, "style": base64, "settings": {...}}: begin; 409 while another runs
    GET  /api/jobs/current    how far it is
    GET  /api/preview.png     the picture so far
    POST /api/stop            end after this step
    GET  /api/result.png      the result

A page from elsewhere that is open in the same browser must be able neither to read nor to start anything: whatever
does not come under this server's own name (Host, against rebinding of names) or from its own page (Origin) is refused.
"""

import base64
import contextlib
import json
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from pixace.errors import ConfigError, PixaceError
from pixace.style.ui.jobs import Busy, Studio, preview_png
from pixace.style.ui.settings import describe_settings

ADDRESS = "127.0.0.1"
MAX_BYTES = 96 * 2**20  # of a request: two pictures of 36 MB
DRAIN_BYTES = 4 * MAX_BYTES  # of a request that is too large are read, so that the browser comes to see the answer
TIMEOUT_S = 60.0  # a browser that says nothing for so long is given up
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class StyleServer(ThreadingHTTPServer):
    """The server; `serve_forever` runs it, each request in a thread of its own."""

    def __init__(self, studio: Studio, port: int = 8765):
        """Take the port, 0 for any that is free; raises `PixaceError` if it cannot be had."""
        self.studio = studio
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise PixaceError(f"port {port}: {error.strerror or error}; choose another with --port") from None
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}
        if self.server_port == 80:
            self.hosts |= {ADDRESS, "localhost"}

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Refused(Exception):
    """A request that is answered with an error: its status, and a line."""

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT_S
    server_version, sys_version = "pixace", ""

    @property
    def _own(self) -> StyleServer:
        assert isinstance(self.server, StyleServer)
        return self.server

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are of no interest in the terminal."""

    def _get(self, path: str) -> None:
        studio = self._own.studio
        job = studio.job
        if path == "/":
            self._send(files("pixace.style.ui").joinpath("page.html").read_bytes(), "text/html; charset=utf-8")
        elif path == "/api/settings":
            chosen = {"chosen_layers": studio.layers, "max_bytes": MAX_BYTES}
            self._send_json({**describe_settings(), **chosen})
        elif path == "/api/jobs/current":
            self._send_json(job.report() if job else {"number": 0, "state": "idle"})
        elif path == "/api/preview.png" and job and job.preview is not None:
            self._send(preview_png(job.preview), "image/png")
        elif path == "/api/result.png" and job and job.result is not None:
            self._send(job.result, "image/png")
        else:
            raise _Refused(404, "there is nothing here")

    def _post(self, path: str) -> None:
        if path == "/api/stop":
            self._own.studio.stop()
            self._send_json({})
        elif path == "/api/jobs":
            asked = _parse(self._body())
            try:
                job = self._own.studio.start(*asked)
            except Busy as error:
                raise _Refused(409, str(error)) from None
            self._send_json(job.report(), 202)
        else:
            raise _Refused(404, "there is nothing here")

    def _respond(self, answer: Callable[[str], None]) -> None:
        """Answer a request, whatever fails; what of it is left unread then is read, for the browser reads last."""
        length = self.headers.get("Content-Length", "0")
        self._unread = int(length) if length.isascii() and length.isdecimal() else -1
        with contextlib.suppress(OSError):  # the browser may have gone
            try:
                self._check_origin()
                answer(urlsplit(self.path).path)
            except OSError:
                raise
            except _Refused as error:
                self._send_json({"error": str(error)}, error.status)
            except PixaceError as error:
                self._send_json({"error": str(error)}, 400)
            except Exception as error:
                traceback.print_exc()
                self._send_json({"error": f"{type(error).__name__} (more in the terminal)"}, 500)
            rest = min(self._unread, DRAIN_BYTES)
            while rest > 0 and (piece := self.rfile.read(min(rest, 2**20))):
                rest -= len(piece)

    def _check_origin(self) -> None:
        hosts = self._own.hosts
        if self.headers.get("Host", "") not in hosts:
            raise _Refused(403, f"open {self._own.url} in a browser on this computer")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            raise _Refused(403, "pages from elsewhere may ask for nothing here")

    def _body(self) -> bytes:
        """The content of a request, which must be JSON: a form of a page from elsewhere cannot send that."""
        if self.headers.get_content_type() != "application/json":
            raise _Refused(415, "application/json is needed")
        if self._unread < 0 or "Content-Length" not in self.headers:
            raise _Refused(411, "Content-Length is needed")
        if self._unread > MAX_BYTES:
            raise _Refused(413, f"the pictures are too large: together they may have {MAX_BYTES // 4 * 3 / 1e6:.0f} MB")
        length, self._unread = self._unread, 0
        return self.rfile.read(length)

    def _send_json(self, content: dict[str, Any], status: int = 200) -> None:
        self._send(json.dumps(content).encode(), "application/json", status)

    def _send(self, content: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _parse(body: bytes) -> tuple[bytes, bytes, dict[str, Any]]:
    """Content, style and settings of a job; raises `ConfigError` where the request has another form."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise ConfigError("the request is no JSON") from None
    names = {"content", "style", "settings"}
    if not isinstance(asked, dict) or asked.keys() != names or not isinstance(asked["settings"], dict):
        raise ConfigError("content, style and settings are needed, and nothing else")
    try:
        content, style = (base64.b64decode(asked[name], validate=True) for name in ("content", "style"))
    except (TypeError, ValueError):
        raise ConfigError("content and style must be pictures, each a file in base64") from None
    return content, style, asked["settings"]
