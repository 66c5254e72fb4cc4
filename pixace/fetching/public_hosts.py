"""Addresses that a stranger may name: those of the public Internet, not of this computer or the network it is in."""

import http.client
import ipaddress
import socket
import urllib.error
import urllib.parse
import urllib.request
from typing import Any


class PrivateAddress(urllib.error.URLError):
    """The host is on this computer or in a private network."""


def check_public(host: str) -> None:
    """Raises `PrivateAddress` if a host's name stands for an address that is not public; unknown names pass."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return
    for address in found:
        _check(host, address)


def public_handlers() -> tuple[urllib.request.BaseHandler, ...]:
    """Handlers for urllib that open http and https addresses, redirects too, of public hosts alone.

    The address is looked at again when it is connected to, so that a name cannot change what it stands for in the
    meantime; where a proxy connects, the proxy decides what the name stands for.
    """
    return _PublicHttp(), _PublicHttps()


def _check(host: str, address: str) -> None:
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None) or ip
    if not inner.is_global or inner.is_multicast:
        raise PrivateAddress(f"{host} is this computer or in a private network")


def _connect(address: tuple[str, int], *given: Any, **named: Any) -> socket.socket:
    """`socket.create_connection`, to one of the addresses that were checked."""
    host, port = address
    failure: OSError | None = None
    for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        where = str(entry[4][0])
        _check(host, where)
        try:
            return socket.create_connection((where, port), *given, **named)
        except OSError as error:
            failure = error
    raise failure or OSError(f"{host} has no address")


class _HttpConnection(http.client.HTTPConnection):
    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self._create_connection = _connect


class _HttpsConnection(http.client.HTTPSConnection):
    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self._create_connection = _connect


def _proxied(request: urllib.request.Request) -> bool:
    return request.has_proxy() or bool(getattr(request, "_tunnel_host", None))


def _host(request: urllib.request.Request) -> str:
    return urllib.parse.urlsplit(request.full_url).hostname or ""


class _PublicHttp(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        check_public(_host(req))
        return self.do_open(http.client.HTTPConnection if _proxied(req) else _HttpConnection, req)  # type: ignore[arg-type]


class _PublicHttps(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        check_public(_host(req))
        return self.do_open(http.client.HTTPSConnection if _proxied(req) else _HttpsConnection, req)  # type: ignore[arg-type]
