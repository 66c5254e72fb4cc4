"""Addresses on the Hugging Face hub, and the token that is sent to it and to nobody else.

The hub's files come through the same downloader as all others: its answers carry size, checksum and commit in
headers, so that its own library would bring a second way of caching, locking and retrying, and 34 MB of packages.
"""

import os

from pixace.errors import ConfigError
from pixace.fetching.connecting import origin

ENDPOINT = "https://huggingface.co"


def endpoint() -> str:
    """The hub's address: `$HF_ENDPOINT`, or the public one."""
    address = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    if not address.startswith(("https://", "http://")):
        raise ConfigError(f"HF_ENDPOINT={address} is no http(s) address")
    return address


def hub_address(repository: str, revision: str, file: str) -> str:
    """Where a file of a repository is."""
    return f"{endpoint()}/{repository}/resolve/{revision.replace('/', '%2F')}/{file}"


def hub_headers(url: str) -> dict[str, str]:
    """`$HF_TOKEN`, if `url` is the hub's; nothing for other hosts."""
    token = os.environ.get("HF_TOKEN", "").strip()
    return {"Authorization": f"Bearer {token}"} if token and origin(url) == origin(endpoint()) else {}
