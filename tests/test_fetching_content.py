"""Downloads: right content, and each way in which a server or a network fails ends soon, as one line."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pixace.errors import ConfigError, PixaceError
from pixace.fetching.content import fetch_bytes

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def over() -> threading.Event:
    """Set when the test is over: what servers that hang wait for."""
    return threading.Event()


@pytest.fixture
def serve(monkeypatch, over):
    """Starts a local server that answers each GET with `answer(handler)`; returns an address on it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client may have gone
                    answer(self)

            def log_message(self, *args: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/picture.png"

    yield start
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def failure(url: str, **options: float) -> str:
    """The message with which fetching `url` fails."""
    with pytest.raises(PixaceError) as caught:
        fetch_bytes(url, **options)
    message = str(caught.value)
    assert "\n" not in message and url in message
    return message


def test_content_and_type_arrive(serve):
    content = bytes(range(256)) * 1000
    url = serve(lambda h: send(h, content, Content_Type="Image/PNG; charset=x", Content_Length=str(len(content))))
    assert fetch_bytes(url) == (content, "image/png")


def test_content_without_length_and_type_arrives(serve):
    assert fetch_bytes(serve(lambda h: send(h, b"abc"))) == (b"abc", "")


def test_chunked_content_arrives(serve):
    url = serve(lambda h: send(h, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Transfer_Encoding="chunked"))
    # The server names HTTP/1.0, for which the header still counts.
    assert fetch_bytes(url)[0] == b"abcde"


def test_user_agent_is_pixace(serve):
    assert fetch_bytes(serve(lambda h: send(h, h.headers["User-Agent"].encode())))[0] == b"pixace"


def test_spaces_and_letters_beyond_ascii_are_escaped(serve):
    url = serve(lambda h: send(h, h.path.encode()))
    assert fetch_bytes(url + "/ü b%20c?d=é&e=1#part")[0] == b"/picture.png/%C3%BC%20b%20c?d=%C3%A9&e=1"


def test_redirect_is_followed(serve):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/there":
            send(handler, b"found")
        else:
            send(handler, b"", 302, Location="/there")

    assert fetch_bytes(serve(answer))[0] == b"found"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/picture.png"])
def test_redirect_away_from_http_is_refused(serve, target):
    message = failure(serve(lambda h: send(h, b"", 302, Location=target)))
    assert "302" in message or "unknown url type" in message


def test_endless_redirect_ends(serve):
    assert "302" in failure(serve(lambda h: send(h, b"", 302, Location=h.path)))


@pytest.mark.parametrize(("status", "words"), [(404, "404 Not Found"), (500, "500 Internal Server Error")])
def test_http_status_is_named(serve, status, words):
    assert words in failure(serve(lambda h: send(h, b"<html>sorry</html>", status)))


def test_server_that_hangs_is_given_up_after_timeout(serve, over):
    url = serve(lambda h: over.wait(20))
    start = time.monotonic()
    assert "did not answer within 0.3 s" in failure(url, timeout=0.3)
    assert time.monotonic() - start < 3


def test_server_that_hangs_amid_content_is_given_up_after_timeout(serve, over):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"some", Content_Length="100")
        over.wait(20)

    start = time.monotonic()
    assert "did not answer within 0.3 s" in failure(serve(answer), timeout=0.3)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("part", ["headers", "content"])
def test_server_that_trickles_is_given_up_after_the_total_time(serve, over, part):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if part == "content":
            send(handler, b"", Content_Length="1000")
        else:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        while not over.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    start = time.monotonic()
    assert "did not finish within 0.9 s" in failure(serve(answer), timeout=0.3)
    assert 0.8 < time.monotonic() - start < 3


def test_no_thread_stays_behind_after_a_trickle(serve, over):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"", Content_Length="1000")
        while not over.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    url, before = serve(answer), set(threading.enumerate())
    failure(url, timeout=0.1)
    mine = [t for t in threading.enumerate() if t not in before and t.name == "pixace-fetch"]
    for thread in mine:
        thread.join(2)
    assert not any(thread.is_alive() for thread in mine)


def test_announced_size_above_limit_is_refused_before_content_comes(serve, over):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"", Content_Length=str(10**12))
        over.wait(20)

    start = time.monotonic()
    assert "larger than the limit of 1,000 bytes" in failure(serve(answer), max_bytes=1000)
    assert time.monotonic() - start < 3


def test_real_size_above_limit_is_refused_without_announcement(serve, over):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"")
        while not over.is_set():
            handler.wfile.write(b"x" * 10_000)

    assert "larger than the limit of 100,000 bytes" in failure(serve(answer), max_bytes=100_000)


def test_content_of_exactly_the_limit_arrives(serve):
    url = serve(lambda h: send(h, b"x" * 1000))
    assert len(fetch_bytes(url, max_bytes=1000)[0]) == 1000
    assert "limit of 999 bytes" in failure(url, max_bytes=999)


def test_content_shorter_than_announced_is_an_error(serve):
    assert "broke off after 4 of 100 bytes" in failure(serve(lambda h: send(h, b"some", Content_Length="100")))


def test_chunk_shorter_than_announced_is_an_error(serve):
    assert "broke the connection off" in failure(serve(lambda h: send(h, b"ff\r\nabc", Transfer_Encoding="chunked")))


def test_server_that_says_nothing_is_an_error(serve):
    assert "broke the connection off" in failure(serve(lambda h: None))


def test_server_that_speaks_no_http_is_an_error(serve):
    assert "could not be fetched" in failure(serve(lambda h: h.wfile.write(b"220 mail ready\r\n")))


def test_refused_connection_is_named(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refused" in failure(f"http://127.0.0.1:{port}/a.png", timeout=2)


def test_unknown_host_is_named(monkeypatch):
    def missing(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", missing)
    assert "name was not found" in failure("http://nowhere.invalid/a.png", timeout=2)


def test_slow_name_look_up_ends(monkeypatch, over):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: over.wait(20) and [])
    start = time.monotonic()
    assert "did not finish within 0.3 s" in failure("http://slow.invalid/a.png", timeout=0.1)
    assert time.monotonic() - start < 3
    over.set()


@pytest.mark.parametrize(
    "url", ["ftp://host/a.png", "file:///etc/passwd", "http://", "http://[", "a.png", "http://h:x/"]
)
def test_what_is_no_http_address_is_refused(url):
    assert "not a valid address" in failure(url)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_timeout_must_be_above_zero(timeout):
    with pytest.raises(ConfigError, match="timeout"):
        fetch_bytes("http://127.0.0.1/", timeout=timeout)
