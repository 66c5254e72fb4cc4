"""The pictures of both kinds that a run learns from."""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pixace.errors import PixaceError
from pixace.folders import write_atomically
from pixace.opening import MAX_PIXELS, opened
from pixace.progress import Bar
from pixace.sources.finding import find_source
from pixace.style.pictures import PictureSet, load_pictures
from pixace.style.unpaired.config import UnpairedTraining

LOOKED_AT = 200  # pictures of a kind whose sizes are looked at


class Material(NamedTuple):
    """Squares of both kinds, of `training.loaded` pixels an edge."""

    a: PictureSet
    b: PictureSet

    def batch(self, step: int, training: UnpairedTraining) -> tuple[np.ndarray, np.ndarray]:
        """Those of a step, uint8 (B, L, L, 3) of each kind; the two kinds come in orders of their own."""
        size, seed = training.batch_size, training.seed
        return self.a.batch(step, size, seed), self.b.batch(step, size, seed + 1)

    def samples(self, training: UnpairedTraining) -> tuple[np.ndarray, np.ndarray]:
        """Pictures for sheets, uint8 (N, E, E, 3) of each kind: the middles of `n_samples` that are spread evenly."""
        count, edge = min(training.n_samples, len(self.a), len(self.b)), training.image_size
        start = (training.loaded - edge) // 2
        middle = slice(start, start + edge)
        rows = [np.linspace(0, len(kind) - 1, count).astype(int) for kind in self]
        return tuple(np.array(kind.rgb[row, middle, middle]) for kind, row in zip(self, rows, strict=True))  # type: ignore[return-value]


def load_material(training: UnpairedTraining, folder: Path) -> tuple[Material, list[str]]:
    """The pictures of a run, and lines about what is left out; the run's `folder` gets lists of it.

    Raises:
        PixaceError: a source is missing, holds no picture that can be read, or pictures that are too small.
    """
    kinds, warnings, sources = [], [], {"a": str(training.a), "b": str(training.b)}
    for name, source in sources.items():  # both, before either is read
        _check_sizes(name, source, training.image_size)
    for name, source in sources.items():
        with Bar(f"reading pictures of {name.upper()}") as bar:
            found = load_pictures(source, training.loaded, most=training.max_samples, progress=bar)
        if found.skipped:
            log = folder / f"skipped_{name}.txt"
            text = "".join(f"{picture}: {why}\n" for picture, why in found.skipped)
            write_atomically(log, lambda path, text=text: path.write_text(text, "utf8", "backslashreplace"))
            warnings.append(
                f"warning: pictures of --{name} that cannot be read and are left out: {len(found.skipped)}, "
                f"listed in {log}"
            )
        kinds.append(found)
    return Material(*kinds), warnings


def _check_sizes(name: str, source: str, needed: int) -> None:
    """Raise `PixaceError` where most pictures, of the first ones, are smaller than the squares to train on."""
    edges = []
    for picture in itertools.islice(find_source(source).pictures(), LOOKED_AT):
        try:
            if isinstance(picture.content, PixaceError):
                continue
            with opened(picture.content, MAX_PIXELS, timeout=20.0) as image:
                edges.append(min(image.size))
        except PixaceError:
            continue  # told when it is to be decoded
    small = [edge for edge in edges if edge < needed]
    if 2 * len(small) > len(edges):
        raise PixaceError(
            f"{len(small)} of {len(edges)} pictures of --{name}={source} have fewer pixels an edge than "
            f"--image_size={needed}, the fewest {min(small)}; give a smaller --image_size"
        )
