"""Write the manifest of a set of pictures from an archive of it: names and SHA-256, as `sha256sum` writes them.

    python scripts/make_manifest.py emoji emoji.zip

The same pictures give the same bytes. `zcat pixace/zoo/emoji.sha256.gz` shows it.
"""

import argparse
import gzip
import hashlib
from pathlib import Path

import pixace.zoo
from pixace.zoo.datasets import pictures_in
from pixace.zoo.index import datasets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(datasets()))
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, help="the file to write (default: the one of the package)")
    arguments = parser.parse_args()
    dataset = datasets()[arguments.name]
    pictures = pictures_in(arguments.archive, dataset.folder)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in pictures}
    lines = [f"{sums[name]}  {name}\n" for name in sorted(sums)]
    target = arguments.out or Path(pixace.zoo.__path__[0]) / dataset.manifest
    target.write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
    print(f"{len(lines)} files in {target}, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
