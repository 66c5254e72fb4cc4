"""Addresses in files from strangers: none leads to this computer or the network it is in."""

import io
import socket

import pytest
from pictures import smooth
from serving import Answer

from pixace.errors import PixaceError
from pixace.fetching import public_hosts
from pixace.opening import open_picture

PRIVATE = ("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.5.5", "169.254.169.254", "0.0.0.0", "[::1]", "[fe80::1]")
DISGUISED = ("[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "localhost", "[fd00::1]", "224.0.0.1", "100.64.0.1")


def png_bytes():
    smooth(4, 4).save(kept := io.BytesIO(), "PNG")
    return kept.getvalue()


@pytest.mark.parametrize("host", PRIVATE + DISGUISED)
def test_a_private_host_is_refused_before_anything_is_sent(host, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it was connected to"))
    with pytest.raises(PixaceError, match=r"refused: .* private network; --allow_local"):
        open_picture(f"http://{host}:8000/a.png", public_only=True)


def test_the_same_address_is_fetched_where_strangers_have_no_say(server):
    assert open_picture(server.put("/a.png", png_bytes())).size == (4, 4)


def test_a_redirect_to_this_computer_is_refused(server, monkeypatch):
    inner = server.put("/inner.png", png_bytes())
    server.put("/outer.png", b"", Answer(status=302, location=inner))
    port = server.url.rpartition(":")[2]
    monkeypatch.setattr(public_hosts, "_check", _all_but("127.0.0.1", {"localhost"}))
    with pytest.raises(PixaceError, match="private network"):
        open_picture(f"http://localhost:{port}/outer.png", public_only=True)
    assert server.asked("/outer.png") and not server.asked("/inner.png")


def test_a_name_that_changes_its_address_between_looking_and_connecting_is_refused(server, monkeypatch):
    """A public address at the first question, this computer's at the second."""
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 0))]]
    asked = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: answers.pop() if answers else asked("127.0.0.1", *a, **k)
    )
    url = server.put("/a.png", png_bytes()).replace("127.0.0.1", "rebinding.example")
    with pytest.raises(PixaceError, match="private network"):
        open_picture(url, public_only=True)
    assert not server.asked("/a.png")


def _all_but(address, hosts):
    checked = public_hosts._check

    def check(host, found):
        if host not in hosts:
            checked(host, found)

    return check
