"""What can be downloaded by name (`index.json`), and the entry that an address stands for.

A revision, size or checksum stands in the index only where it was seen in a public document, which `seen` names.
What is not known beforehand is recorded at the first download and held to from then on (`zoo/cache.py`).
"""

import hashlib
import json
import re
import urllib.parse
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from pixace.errors import ConfigError

HUB = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class File:
    """A file of an entry; size in bytes and SHA-256 where they are known beforehand."""

    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """Something to download.

    Attributes:
        name: what people call it; also the name of its folder in the cache.
        kind: `model`, a folder for `predict`, or `network`, files that style transfer and guidance read.
        source: `embedded`, `drive:ID`, `hf:OWNER/NAME[@REVISION]` or an http(s) address.
        files: what belongs to it; None where the source itself says (a published model).
        about_bytes: its size for people.
        tokenizer, card: of a model, how it sees pictures; and the page that tells about it.
        facts: what the importer must be told.
        seen: where revision, sizes and checksums were seen.
        address: what was asked for, where it is not of the index.
    """

    name: str
    kind: str
    source: str
    what: str = ""
    licence: str = "see its source"
    files: tuple[File, ...] | None = None
    about_bytes: int | None = None
    tokenizer: str | None = None
    card: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    seen: str = ""
    address: str = ""

    @property
    def called(self) -> str:
        """What people called it: a name of the index, or an address."""
        return self.address or self.name


@dataclass(frozen=True)
class Dataset:
    """Pictures to download: an archive, the folder in it that holds them, and the manifest of their checksums."""

    name: str
    what: str
    licence: str
    archive: str
    folder: str
    manifest: str
    about_bytes: int
    seen: str = ""


@cache
def _index() -> dict[str, Any]:
    return json.loads((files("pixace.zoo") / "index.json").read_text(encoding="utf8"))


def models() -> list[Entry]:
    """All entries of the index."""
    return [
        Entry(**{**raw, "files": tuple(File(**file) for file in raw.get("files", []))}) for raw in _index()["models"]
    ]


def datasets() -> dict[str, Dataset]:
    """All sets of pictures, by name."""
    return {raw["name"]: Dataset(**raw) for raw in _index()["datasets"]}


def find_entry(wanted: str) -> Entry:
    """The entry of a name in the index, or one made for an `hf:OWNER/NAME[@REVISION]` or http(s) address of a model.

    Raises:
        ConfigError: for anything else; lists the names.
    """
    for entry in models():
        if entry.name == wanted:
            return entry
    if page := re.fullmatch(r"https://huggingface\.co/([\w.-]+/[\w.-]+)/?", wanted, re.ASCII):
        wanted = f"hf:{page[1]}"
    if wanted.startswith("hf:"):
        if not (match := HUB.fullmatch(wanted)):
            raise ConfigError(f"{wanted!r} is not of the form hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
        revision = match["revision"] or "main"
        name = f"hf--{match['repository']}--{revision}".replace("/", "--")
        what = f"the model {match['repository']} on the Hugging Face hub"
        return Entry(name, "model", wanted, what, address=wanted)
    if wanted.startswith(("https://", "http://")):
        source = wanted.rstrip("/").removesuffix("/weights.safetensors")
        try:
            parts = urllib.parse.urlsplit(source)
            good = parts.hostname and not (parts.query or parts.fragment) and parts.port != 0
        except ValueError:  # of a bracket or a port that is none
            good = False
        if not good:
            raise ConfigError(f"{wanted!r} is no address of a model: it needs a host, and no ? or #")
        words = re.sub(r"[^\w.-]+", "-", f"{parts.hostname}{parts.path}", flags=re.ASCII).strip("-.")
        name = f"{words[-60:].lstrip('-.')}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        last = parts.path.rpartition("/")[2]
        single = (File(last),) if last.endswith(".safetensors") else None
        return Entry(name, "model", source, "a model on the web", files=single, address=wanted)
    known = ", ".join(entry.name for entry in models())
    raise ConfigError(f"there is no model {wanted!r} to download; there are {known}, hf:OWNER/NAME and https addresses")


def folder_name(wanted: str) -> str:
    """The name that a model's folder gets if no other is given: the last part of its name or address."""
    if match := HUB.fullmatch(wanted):
        return match["repository"].rpartition("/")[2]
    last = urllib.parse.urlsplit(wanted).path.rstrip("/").rpartition("/")[2]
    return urllib.parse.unquote(last).removesuffix(".safetensors")
