"""Files from http(s) addresses to disk: resumed after a cut, checked, and named only when they are right."""

import errno
import http.client
import shutil
import time
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pixace.errors import PixaceError
from pixace.fetching.answers import check_told, fits, source_of
from pixace.fetching.checksums import check_file, disk_errors
from pixace.fetching.connecting import TOTAL_FACTOR, explain, open_url, within
from pixace.fetching.part_files import PartFile, Source
from pixace.progress import Progress, silent

TIMEOUT_S = 20.0  # of one wait for the server
CHUNK = 2**20  # bytes
ATTEMPTS = 4  # in a row that bring nothing new
PAUSE_S = 1.0  # before the second attempt; twice as long before each further one
LONGEST_PAUSE_S = 30.0
WORTH_A_RETRY = (408, 429, 500, 502, 503, 504)
SPARE_BYTES = 2**20  # of disk, beside the file itself


@dataclass(frozen=True)
class Download:
    """What came: size in bytes, SHA-256, and the commit that a hub says it is of."""

    size: int
    sha256: str
    commit: str | None


def download_file(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_S,
    progress: Progress = silent,
) -> Download:
    """Download `url` to `path`, which gets its name only when size and checksum are right.

    What has come lies in `path` + `.part`; after a cut, in this process or an earlier one, the rest of it is asked
    for, and a file that has changed in the meantime begins anew. One process at a time may do this for a `path`.

    Args:
        url: http or https; see `open_url` for redirects, of which none may leave https.
        path: the file; its folder is made. One that is there is replaced, in one step, when the new one is right.
        size, sha256: what it must have. A hub's own statement of both (X-Linked-Size, X-Linked-ETag) is checked too.
        headers: sent along, but Authorization to this host only.
        timeout: seconds that one wait may last. A cut or an answer that says "later" is tried `ATTEMPTS` times.
        progress: told of bytes.

    Raises:
        ChangedFile: the checksum is not `sha256`.
        PixaceError: any other failure, in one line; what had come is kept for the next time where it may be right.
    """
    part = PartFile(path)
    attempt, most = 1, part.size()
    while True:
        try:
            return _attempt(url, part, size, sha256, headers or {}, timeout, progress)
        except _Interrupted as interruption:
            attempt = 1 if part.size() > most else attempt + 1
            most = max(most, part.size())
            if attempt > ATTEMPTS:
                raise interruption.told from interruption.__cause__
            pause = min(max(interruption.pause, PAUSE_S * 2 ** (attempt - 2)), LONGEST_PAUSE_S)
            time.sleep(pause if attempt > 1 else 0.0)


class _Interrupted(Exception):
    """Something that may go better a second time; `told` is the error if it does not."""

    def __init__(self, told: PixaceError, pause: float = 0.0):
        self.told, self.pause = told, pause


def _attempt(
    url: str,
    part: PartFile,
    size: int | None,
    sha256: str | None,
    headers: Mapping[str, str],
    timeout: float,
    progress: Progress,
) -> Download:
    source = part.source(url)
    resumed = source is not None
    if source is None or source.total is None or part.size() != source.total:  # else: it ended before it was checked
        source, resumed = _transfer(url, part, source, size, sha256, headers, timeout, progress)
    else:
        check_told(url, source, size, sha256)
    try:
        found_size, found = check_file(part.file, size, sha256 or source.told_sha256, url)
    except PixaceError as error:
        part.discard()
        if resumed:  # the part may have been damaged where it lay: once more, as a whole
            raise _Interrupted(error) from None
        raise
    with disk_errors(part.path):
        part.finish()
    return Download(found_size, found, source.commit)


def _transfer(
    url: str,
    part: PartFile,
    known: Source | None,
    size: int | None,
    sha256: str | None,
    headers: Mapping[str, str],
    timeout: float,
    progress: Progress,
) -> tuple[Source, bool]:
    """Bring what is missing; returns what it is, and whether it was put behind an earlier part."""
    asked = dict(headers)
    if known is not None:
        asked |= {"Range": f"bytes={part.size()}-", "If-Range": str(known.validator)}
    late = PixaceError(f"{url} did not answer within {timeout * TOTAL_FACTOR:g} s; try again later")
    try:
        deadline = time.monotonic() + timeout * TOTAL_FACTOR
        answer = within(deadline, lambda: open_url(url, timeout, asked, stay_secure=True), late)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _failure(error, url, part, timeout) from error
    with answer.response as response:
        source = source_of(url, answer)
        check_told(url, source, size, sha256)
        goes_on = response.status == 206
        if goes_on and (known is None or not fits(answer, source, known, part.size())):
            part.discard()
            raise _Interrupted(PixaceError(f"{url}: the server sent another part of the file than was asked for"))
        with disk_errors(part.path):
            if not goes_on:
                part.begin(source)
            _check_room(part, source.total or size)
        _receive(response, url, part, source.total, size, timeout, progress)
    return source, goes_on


def _receive(
    response: http.client.HTTPResponse,
    url: str,
    part: PartFile,
    total: int | None,
    size: int | None,
    timeout: float,
    progress: Progress,
) -> None:
    """Write what comes behind the part; raises `_Interrupted` if it ends too early."""
    most = total if total is not None else size
    done = part.size()
    progress(done, most or 0)
    with disk_errors(part.path), open(part.file, "ab", buffering=0) as file:
        while True:
            try:
                chunk = response.read1(CHUNK)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise _failure(error, url, part, timeout) from error
            if not chunk:
                break
            done += len(chunk)
            if most is not None and done > most:
                part.discard()
                raise PixaceError(f"{url} has the wrong size: more than the {most:,} bytes that were expected came")
            file.write(chunk)
            progress(done, most or 0)
    if total is not None and done < total:
        raise _Interrupted(PixaceError(f"{url} broke off after {done:,} of {total:,} bytes; the same command goes on"))


def _failure(error: Exception, url: str, part: PartFile, timeout: float) -> Exception:
    """What to raise for an error of the network: worth another try, or for people."""
    told = explain(error, url, timeout)
    if isinstance(error, urllib.error.HTTPError):
        if error.code == 416:  # the part is longer than the file, which has changed
            part.discard()
            return _Interrupted(told)
        if error.code not in WORTH_A_RETRY:
            return told
        after = error.headers.get("Retry-After", "")
        return _Interrupted(told, float(after) if after.isdecimal() else 0.0)
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    passing = isinstance(cause, TimeoutError | ConnectionError | http.client.IncompleteRead)
    return _Interrupted(told) if passing and not isinstance(cause, ConnectionRefusedError) else told


def _check_room(part: PartFile, total: int | None) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.size() + SPARE_BYTES > free:
        raise OSError(errno.ENOSPC, f"the disk is full: {total - part.size():,} bytes are to come, {free:,} are free")
