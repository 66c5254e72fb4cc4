"""What a server's answer says of the file that it sends, and whether that is the file that was meant."""

import re

from pixace.errors import PixaceError
from pixace.fetching.checksums import wrong_sum
from pixace.fetching.connecting import Answer
from pixace.fetching.part_files import Source


def source_of(url: str, answer: Answer) -> Source:
    """The file that is sent: what to ask for again, its size and, where a hub tells them, its SHA-256 and commit."""
    headers = answer.response.headers
    if answer.response.status == 206:
        total = headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = answer.header("X-Linked-Size") or headers.get("Content-Length", "")
    etag = headers.get("ETag", "")
    told = (answer.header("X-Linked-ETag") or "").strip('"')
    return Source(
        url,
        etag if etag.startswith('"') else headers.get("Last-Modified"),
        int(total) if total.isdecimal() else None,
        told if re.fullmatch("[0-9a-f]{64}", told) else None,
        answer.header("X-Repo-Commit"),
    )


def fits(answer: Answer, new: Source, known: Source, begun: int) -> bool:
    """Whether what is sent goes on where the part ends, and is of the same file."""
    starts = answer.response.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
    same = new.validator in (None, known.validator) and new.told_sha256 == known.told_sha256
    return starts and same and new.total == known.total


def check_told(url: str, source: Source, size: int | None, sha256: str | None) -> None:
    """Raise if the host itself says that this is another file than the expected one."""
    if sha256 is not None and source.told_sha256 not in (None, sha256):
        raise wrong_sum(url, str(source.told_sha256), sha256)
    if None not in (size, source.total) and source.total != size:
        raise PixaceError(f"{url} has the wrong size: the server has {source.total:,} bytes, {size:,} were expected")
