"""Small downloads into memory, such as pictures given by address, with limits on time and size."""

import http.client
import time

from pixace.errors import ConfigError, PixaceError
from pixace.fetching.connecting import TOTAL_FACTOR, explain, open_url, within

CHUNK = 2**16  # bytes


def fetch_bytes(
    url: str, *, timeout: float = 20.0, max_bytes: int = 64 * 2**20, public_only: bool = False
) -> tuple[bytes, str]:
    """Content and content type (lower case, no parameters, "" if the server names none) of an http(s) address.

    Args:
        url: address; redirects are followed as long as they stay on http and https.
        timeout: seconds that one wait for the server may last; the whole transfer, from the look-up of the
            name to the last byte, may last `TOTAL_FACTOR` times as long.
        max_bytes: largest content that is accepted, by the server's announcement and by what really comes.
        public_only: hosts that are this computer or in a private network are an error.

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
            with open_url(url, timeout, public_only=public_only).response as response:
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return _read(response, url, deadline, max_bytes, late), kind
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise explain(error, url, timeout) from error

    return within(deadline, transfer, late)


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
