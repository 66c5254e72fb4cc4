"""Downloads: what comes over http and https, with limits on time and size and errors that say what to do."""

import http.client
import socket
import ssl
import string
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from pixace.errors import ConfigError, PixaceError

USER_AGENT = "pixace"
TOTAL_FACTOR = 3  # a whole transfer may last this many times `timeout`, which bounds each single wait
CHUNK = 2**16  # bytes

Result = TypeVar("Result")


def fetch_bytes(url: str, *, timeout: float = 20.0, max_bytes: int = 64 * 2**20) -> tuple[bytes, str]:
    """Content and content type (lower case, no parameters, "" if the server names none) of an http(s) address.

    Args:
        url: address; redirects are followed as long as they stay on http and https.
        timeout: seconds that one wait for the server may last; the whole transfer, from the look-up of the
            name to the last byte, may last `TOTAL_FACTOR` times as long.
        max_bytes: largest content that is accepted, by the server's announcement and by what really comes.

    Raises:
        PixaceError: naming the address, what went wrong and what to do.
        ConfigError: `timeout` is not above 0.
    """
    if not timeout > 0:
        raise ConfigError(f"timeout={timeout}: it must be above 0 seconds")
    late = PixaceError(
        f"{url} did not finish within {timeout * TOTAL_FACTOR:g} s; try again later or give a file on this computer"
    )
    deadline = time.monotonic() + timeout * TOTAL_FACTOR

    def transfer() -> tuple[bytes, str]:
        try:
            with _open(url, timeout) as response:
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return _read(response, url, deadline, max_bytes, late), kind
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise _explain(error, url, timeout) from error

    return _within(deadline, transfer, late)


def _within(deadline: float, work: Callable[[], Result], late: PixaceError) -> Result:
    """The result of `work()`, or its exception; raises `late` once `time.monotonic()` passes `deadline`.

    A socket's time-out bounds one wait only, and neither the look-up of a name nor a server that sends its
    headers drop by drop. So the work runs in a thread of its own, which is left behind when it is late.
    """
    results: list[Result] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # raised again below, in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="pixace-fetch", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if failures:
        raise failures[0]
    if not results:
        raise late
    return results[0]


def _open(url: str, timeout: float) -> http.client.HTTPResponse:
    """The open response to a GET request of `url`. Raises what urllib raises."""
    # Not urllib's default opener: that one would also follow a redirect to ftp.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(_ascii_url(url), headers={"User-Agent": USER_AGENT})
    return opener.open(request, timeout=timeout)


def _ascii_url(url: str) -> str:
    """`url` as it may be sent: spaces and letters beyond ASCII escaped. Raises ValueError for other URLs."""
    parts = urllib.parse.urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("only addresses like https://host/picture.png can be fetched")
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode("ascii")
    path, query = (urllib.parse.quote(part, safe=string.punctuation) for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))


def _read(response: http.client.HTTPResponse, url: str, deadline: float, max_bytes: int, late: PixaceError) -> bytes:
    """The body of `response`, complete and not larger than `max_bytes`."""
    length = response.headers.get("Content-Length", "")
    expected = int(length) if length.isdecimal() else None
    content = bytearray()
    while True:
        if max(expected or 0, len(content)) > max_bytes:
            raise PixaceError(f"{url} is larger than the limit of {max_bytes:,} bytes; give a smaller file")
        # `read1` returns after one wait, so that the deadline is looked at between any two of them.
        chunk = response.read1(CHUNK)
        if not chunk:
            break
        content += chunk
        if time.monotonic() > deadline:
            raise late
    if expected is not None and len(content) != expected:
        raise PixaceError(f"{url} broke off after {len(content):,} of {expected:,} bytes; try again")
    return bytes(content)


def _explain(error: Exception, url: str, timeout: float) -> PixaceError:
    """What `error`, met while fetching `url`, means and what to do about it, in one line."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        reason = str(error.reason).partition("\n")[0]
        return PixaceError(f"{url}: the server answered {error.code} {reason}; check the address")
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return PixaceError(f"{url} did not answer within {timeout:g} s; try again later or check the network")
    if isinstance(cause, socket.gaierror):
        return PixaceError(f"{url}: the host's name was not found; check the address and the network connection")
    if isinstance(cause, ConnectionRefusedError):
        return PixaceError(f"{url}: the connection was refused; check the address and that its server runs")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return PixaceError(f"{url}: its certificate is not valid ({cause.verify_message}); check the address")
    if isinstance(cause, http.client.IncompleteRead | ConnectionError):
        return PixaceError(f"{url}: the server broke the connection off before the end; try again")
    detail = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, ValueError | http.client.InvalidURL):
        return PixaceError(f"{url} is not a valid address: {detail}")
    return PixaceError(f"{url} could not be fetched: {detail}; check the address and the network connection")
