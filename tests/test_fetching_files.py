"""Files to disk: each way in which a server, a network, a disk or a person breaks a download off, and what is left."""

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from serving import Answer

from pixace.errors import PixaceError
from pixace.fetching import files as downloading
from pixace.fetching.checksums import ChangedFile
from pixace.fetching.files import ATTEMPTS, download_file

CONTENT = np.random.default_rng(0).bytes(100_000)
OTHER = np.random.default_rng(1).bytes(100_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


def fails(url: str, path: Path, **options) -> str:
    """The one line with which a download fails."""
    with pytest.raises(PixaceError) as caught:
        download_file(url, path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.subset
def test_a_file_comes_whole_with_size_and_sum(server, tmp_path):
    url, seen = server.put("/a.bin", CONTENT), []
    got = download_file(
        url, tmp_path / "sub" / "a.bin", progress=lambda done, total, text="": seen.append((done, total))
    )
    assert (got.size, got.sha256, got.commit) == (len(CONTENT), SUM, None)
    assert (tmp_path / "sub" / "a.bin").read_bytes() == CONTENT and names(tmp_path / "sub") == ["a.bin"]
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_of_unknown_length_comes_whole(server, tmp_path):
    url = server.put("/a.bin", CONTENT, Answer(length=-1))
    assert download_file(url, tmp_path / "a.bin", sha256=SUM).size == len(CONTENT)


def test_after_cuts_only_the_rest_is_asked_for(server, tmp_path):
    url = server.put("/a.bin", CONTENT, Answer(cut=30_000), Answer(cut=50_000))
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM
    assert [headers.get("Range") for headers in server.asked("/a.bin")] == [None, "bytes=30000-", "bytes=80000-"]


def test_a_later_call_goes_on_where_an_earlier_one_broke_off(server, tmp_path):
    url = server.put("/a.bin", CONTENT, Answer(cut=60_000), *[Answer(status=503)] * ATTEMPTS)
    assert "503" in fails(url, tmp_path / "a.bin")
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM
    assert server.asked("/a.bin")[-1]["Range"] == "bytes=60000-" and names(tmp_path) == ["a.bin"]


def test_a_file_that_changed_between_two_tries_begins_anew(server, tmp_path):
    url = server.put("/a.bin", OTHER, Answer(cut=60_000), *[Answer(status=503)] * ATTEMPTS)
    fails(url, tmp_path / "a.bin")
    server.put("/a.bin", CONTENT)
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM


def test_a_file_that_became_shorter_begins_anew(server, tmp_path):
    url = server.put("/a.bin", OTHER, Answer(cut=60_000), *[Answer(status=503)] * ATTEMPTS)
    fails(url, tmp_path / "a.bin")
    server.put("/a.bin", CONTENT[:50_000], Answer(status=416))
    download_file(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT[:50_000]


@pytest.mark.parametrize("lacking", [{"ranges": False}, {"etag": False}])
def test_a_server_without_ranges_or_etags_begins_anew(server, tmp_path, lacking):
    url = server.put("/a.bin", CONTENT, Answer(cut=60_000, **lacking), always=Answer(**lacking))
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM


def test_another_part_than_the_one_asked_for_begins_anew(server, tmp_path):
    wrong = Answer(status=206, headers={"Content-Range": "bytes 5-99999/100000", "Content-Length": "0"})
    url = server.put("/a.bin", CONTENT, Answer(cut=60_000), wrong)
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM
    assert "Range" not in server.asked("/a.bin")[-1]


def test_a_part_that_was_damaged_on_disk_is_fetched_again(server, tmp_path):
    url = server.put("/a.bin", CONTENT, Answer(cut=60_000), *[Answer(status=503)] * ATTEMPTS)
    fails(url, tmp_path / "a.bin")
    part = tmp_path / "a.bin.part"
    part.write_bytes(b"?" + part.read_bytes()[1:])
    assert download_file(url, tmp_path / "a.bin", sha256=SUM).sha256 == SUM


def test_a_part_of_another_address_is_not_gone_on_with(server, tmp_path):
    first = server.put("/a.bin", OTHER, Answer(cut=60_000), *[Answer(status=503)] * ATTEMPTS)
    fails(first, tmp_path / "a.bin")
    download_file(server.put("/b.bin", CONTENT), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_whole_part_that_was_not_yet_named_is_checked_and_named(server, tmp_path, monkeypatch):
    url = server.put("/a.bin", CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(downloading, "check_file", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            download_file(url, tmp_path / "a.bin")
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM and len(server.requests) == 1


def test_cuts_without_end_are_given_up_and_what_came_stays(server, tmp_path):
    url = server.put("/a.bin", CONTENT, Answer(cut=60_000), always=Answer(cut=0))
    assert "broke off after 60,000 of 100,000 bytes" in fails(url, tmp_path / "a.bin")
    assert len(server.requests) == 1 + ATTEMPTS and (tmp_path / "a.bin.part").stat().st_size == 60_000


def test_a_server_that_stalls_is_left_and_asked_for_the_rest(server, tmp_path):
    url = server.put("/a.bin", CONTENT, Answer(stall=40_000))
    assert download_file(url, tmp_path / "a.bin", timeout=0.3).sha256 == SUM
    assert server.asked("/a.bin")[1]["Range"] == "bytes=40000-"


def test_a_server_that_only_stalls_is_given_up_soon(server, tmp_path):
    url = server.put("/a.bin", CONTENT, always=Answer(stall=0))
    began = time.monotonic()
    assert "did not answer within 0.2 s" in fails(url, tmp_path / "a.bin", timeout=0.2)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("length", [99_000, 101_000])
def test_a_server_that_lies_about_the_size_leaves_no_file(server, tmp_path, length):
    url = server.put("/a.bin", CONTENT, always=Answer(length=length, ranges=False))
    assert "bytes" in fails(url, tmp_path / "a.bin", size=len(CONTENT), sha256=SUM)
    assert "a.bin" not in names(tmp_path)


def test_more_bytes_than_expected_are_not_taken(server, tmp_path):
    url = server.put("/a.bin", CONTENT, always=Answer(length=-1))
    assert "wrong size: more than the 5,000 bytes" in fails(url, tmp_path / "a.bin", size=5_000)
    assert names(tmp_path) == []


def test_a_wrong_size_is_known_before_anything_comes(server, tmp_path):
    url = server.put("/a.bin", CONTENT, always=Answer(stall=0))
    message = fails(url, tmp_path / "a.bin", size=5)
    assert "wrong size: the server has 100,000 bytes, 5 were expected" in message and names(tmp_path) == []


def test_wrong_bytes_do_not_replace_a_good_file(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    url = server.put("/a.bin", OTHER)
    with pytest.raises(ChangedFile) as caught:
        download_file(url, tmp_path / "a.bin", sha256=SUM)
    other = hashlib.sha256(OTHER).hexdigest()
    assert caught.value.found == other and SUM in str(caught.value) and other in str(caught.value)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("status", "words", "requests"),
    [
        (404, "404 Not Found; there is nothing", 1),
        (403, "403 Forbidden; it is not for everybody", 1),
        (401, "HF_TOKEN", 1),
        (429, "429 Too Many Requests; too many requests came from here", ATTEMPTS),
        (500, "500 Internal Server Error; the fault is the server's", ATTEMPTS),
        (418, "418", 1),
    ],
)
def test_an_answer_that_is_no_file_is_named_and_only_passing_ones_are_tried_again(
    server, tmp_path, status, words, requests
):
    (tmp_path / "a.bin").write_bytes(b"good")
    url = server.put("/a.bin", CONTENT, always=Answer(status=status))
    assert words in fails(url, tmp_path / "a.bin") and len(server.requests) == requests
    assert (tmp_path / "a.bin").read_bytes() == b"good" and names(tmp_path) == ["a.bin"]


def test_a_server_that_says_when_to_come_back_is_listened_to(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    busy = [Answer(status=429, headers={"Retry-After": "7"}), Answer(status=503, headers={"Retry-After": "9999"})]
    url = server.put("/a.bin", CONTENT, *busy)
    download_file(url, tmp_path / "a.bin")
    assert pauses[:2] == [7.0, downloading.LONGEST_PAUSE_S]


def test_redirects_are_followed_but_not_away_from_http(server, tmp_path):
    there = server.put("/there.bin", CONTENT)
    url = server.put("/a.bin", b"", always=Answer(status=302, location=there))
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/a"):
        url = server.put("/away.bin", b"", always=Answer(status=302, location=target))
        assert "302" in fails(url, tmp_path / "b.bin") or "unknown url type" in fails(url, tmp_path / "b.bin")
    assert names(tmp_path) == ["a.bin"]


def test_a_redirect_from_https_to_http_is_refused():
    from email.message import Message
    from urllib.error import URLError
    from urllib.request import Request

    from pixace.fetching.connecting import _Redirects

    def redirect(stay_secure: bool):
        handler = _Redirects(stay_secure)
        return handler.redirect_request(Request("https://a/"), None, 302, "Found", Message(), "http://a/")

    assert redirect(False) is not None
    with pytest.raises(URLError, match="without protection"):
        redirect(True)


def test_a_token_stays_with_the_host_it_is_for(server, tmp_path):
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.put("/same.bin", CONTENT)
    server.put("/other.bin", CONTENT)
    token = {"Authorization": "Bearer secret"}
    for path, location in (("/a", "/same.bin"), ("/b", elsewhere + "/other.bin")):
        url = server.put(path, b"", always=Answer(status=307, location=location))
        download_file(url, tmp_path / "a.bin", headers=token)
    assert server.asked("/a")[0]["Authorization"] == server.asked("/same.bin")[0]["Authorization"] == "Bearer secret"
    assert server.asked("/b")[0]["Authorization"] == "Bearer secret"
    assert "Authorization" not in server.asked("/other.bin")[0]


def test_what_a_hub_says_of_a_file_is_held_against_it(server, tmp_path):
    there = server.put("/blob", OTHER)
    told = {"X-Linked-ETag": f'"{SUM}"', "X-Linked-Size": str(len(CONTENT)), "X-Repo-Commit": "c0ffee"}
    url = server.put("/a.bin", b"", always=Answer(status=302, location=there, headers=told))
    assert "not the expected file" in fails(url, tmp_path / "a.bin")
    server.put("/blob", CONTENT)
    assert download_file(url, tmp_path / "a.bin").commit == "c0ffee"
    asked = len(server.asked("/blob"))
    assert "0" * 64 in fails(url, tmp_path / "b.bin", sha256="0" * 64)
    assert len(server.asked("/blob")) == asked + 1 and not (tmp_path / "b.bin.part").exists(), "known beforehand"


def test_no_network_is_told(monkeypatch, tmp_path):
    def missing(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", missing)
    assert "name was not found" in fails("https://nowhere.invalid/a", tmp_path / "a")
    assert names(tmp_path) == []


def test_a_disk_without_room_is_known_before_anything_comes(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=50_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    url = server.put("/a.bin", CONTENT)
    assert "the disk is full: 100,000 bytes are to come, 50,000 are free" in fails(url, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_errors_of_the_disk_are_told_in_a_line_and_what_came_is_kept(server, tmp_path, monkeypatch):
    url, real = server.put("/a.bin", CONTENT), open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            self.file.write(data[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:

        def opened(path, mode="r", **options):
            return Full(real(path, mode, **options)) if mode == "ab" else real(path, mode)

        patch.setattr(downloading, "open", opened, raising=False)
        message = fails(url, tmp_path / "a.bin")
    assert "the disk is full; what has come is kept" in message and "a.bin" not in names(tmp_path)
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM
    assert server.asked("/a.bin")[-1]["Range"] == "bytes=1000-"


def test_a_folder_that_cannot_be_made_is_told(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "cannot write" in fails(server.put("/a.bin", CONTENT), tmp_path / "file" / "a.bin")


def test_a_killed_process_leaves_a_part_that_the_next_one_goes_on_with(server, tmp_path):
    url = server.put("/a.bin", CONTENT, Answer(trickle=0.02))
    code = "import sys; from pathlib import Path; from pixace.fetching.files import download_file as d; "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "d(sys.argv[1], Path(sys.argv[2]))", url, tmp_path / "a.bin"]
    )
    part, until = tmp_path / "a.bin.part", time.monotonic() + 60
    while not part.exists() or part.stat().st_size < 5_000:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    come = part.stat().st_size
    assert not (tmp_path / "a.bin").exists() and 0 < come < len(CONTENT)
    assert download_file(url, tmp_path / "a.bin").sha256 == SUM
    assert server.asked("/a.bin")[-1]["Range"] == f"bytes={come}-" and names(tmp_path) == ["a.bin"]
