"""What the tests of downloads share: models and networks on the test server, as hosts have them."""

import hashlib
from pathlib import Path

from serving import Answer

from pixace.zoo.index import Entry, File


def serve(server, folder: Path, under: str, **options) -> str:
    """All files of a folder at addresses under `under`; returns that of the folder."""
    for file in folder.iterdir():
        server.put(f"{under}/{file.name}", file.read_bytes(), **options)
    return server.url + under


def put(server, path: str, content: bytes, *answers: Answer, commit: str = "", linked: bool = False) -> None:
    """A file of the hub: the address of the file answers with a redirect to where its bytes are, on another host."""
    told = {"X-Repo-Commit": commit} if commit else {}
    if linked:
        told |= {"X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}
    server.put("/blob" + path, content, *answers)
    there = server.url.replace("127.0.0.1", "localhost") + "/blob" + path
    server.put(path, b"", always=Answer(status=302, location=there, headers=told))


def network(monkeypatch, server, *files: File, source: str = "", name: str = "net") -> None:
    """Put a network into the index."""
    entry = Entry(name, "network", source or server.url + "/net", files=files)
    monkeypatch.setattr("pixace.zoo.index.models", lambda: [entry])


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
