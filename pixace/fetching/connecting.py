"""Opening http and https addresses: which redirects are followed, how long is waited, and what each failure means."""

import errno
import http.client
import socket
import ssl
import string
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, Any, TypeVar

from pixace.errors import PixaceError
from pixace.fetching.public_hosts import PrivateAddress, public_handlers

USER_AGENT = "pixace"
TOTAL_FACTOR = 3  # opening may last this many times `timeout`, which bounds each single wait
HINTS = {  # of the answers that say more than that the address is wrong
    401: "it is for those who sign in; a token in HF_TOKEN is sent to the Hugging Face hub",
    403: "it is not for everybody, or its licence must be accepted on the site first",
    404: "there is nothing; check the address",
    410: "it is gone for good",
    429: "too many requests came from here; wait a while",
    **dict.fromkeys((500, 502, 503, 504), "the fault is the server's; try again later"),
}

Result = TypeVar("Result")


class NotThere(PixaceError):
    """The server says that there is no such file."""


@dataclass
class Answer:
    """An open response, and the headers of the redirects on the way to it."""

    response: http.client.HTTPResponse
    redirects: list[Message] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """A header from the first address that named it: what the host itself says of a file stored elsewhere."""
        for headers in (*self.redirects, self.response.headers):
            if (value := headers.get(name)) is not None:
                return value
        return None


def open_url(
    url: str,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    *,
    stay_secure: bool = False,
    public_only: bool = False,
) -> Answer:
    """The open answer to a GET request of `url`; raises what urllib raises.

    Redirects are followed as long as they stay on http and https. An Authorization header is never sent on to
    another host.

    Args:
        url: the address; spaces and letters beyond ASCII are escaped.
        timeout: seconds that one wait may last.
        headers: sent along.
        stay_secure: whether a redirect from https to http is an error.
        public_only: whether hosts that are this computer or in a private network are an error.
    """
    redirects = _Redirects(stay_secure)
    # Not urllib's default opener: that one would also follow a redirect to ftp.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        *(public_handlers() if public_only else (urllib.request.HTTPHandler(), urllib.request.HTTPSHandler())),
        redirects,
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(ascii_url(url), headers={"User-Agent": USER_AGENT, **(headers or {})})
    return Answer(opener.open(request, timeout=timeout), redirects.seen)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, stay_secure: bool):
        self.stay_secure, self.seen = stay_secure, []

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        following: Any = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if self.stay_secure and origin(req.full_url)[0] == "https" and origin(newurl)[0] == "http":
            raise urllib.error.URLError("it redirects from https to an address without protection")
        if following is not None and origin(newurl) != origin(req.full_url):
            following.remove_header("Authorization")
        self.seen.append(headers)
        return following


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of an address: who gets what is sent to it."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def ascii_url(url: str) -> str:
    """`url` as it may be sent: spaces and letters beyond ASCII escaped. Raises ValueError for other URLs."""
    parts = urllib.parse.urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("only addresses like https://host/picture.png can be fetched")
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode("ascii")
    path, query = (urllib.parse.quote(part, safe=string.punctuation) for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))


def within(deadline: float, work: Callable[[], Result], late: PixaceError) -> Result:
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


def explain(error: Exception, url: str, timeout: float) -> PixaceError:
    """What `error`, met while fetching `url`, means and what to do about it, in one line."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        reason = str(error.reason).partition("\n")[0]
        hint = HINTS.get(error.code, "check the address")
        kind = NotThere if error.code in (404, 410) else PixaceError
        return kind(f"{url}: the server answered {error.code} {reason}; {hint}")
    if isinstance(error, PrivateAddress):
        return PixaceError(f"{url} is refused: {error.reason}; --allow_local fetches it nevertheless")
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
    if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return PixaceError(f"{url} cannot be reached; check the network connection")
    detail = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, ValueError | http.client.InvalidURL):
        return PixaceError(f"{url} is not a valid address: {detail}")
    return PixaceError(f"{url} could not be fetched: {detail}; check the address and the network connection")
