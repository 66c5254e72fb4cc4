"""How well pictures agree with texts and with other pictures, in the eyes of a CLIP.

Legend: N pictures, M texts and reference pictures, S entries of the space.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from pixace.clip.encoding import AT_ONCE, picture_vectors
from pixace.clip.model import Clip
from pixace.clip.views import view
from pixace.errors import PixaceError, naming
from pixace.folders import cache_folder, write_atomically
from pixace.opening import open_picture


@dataclass(frozen=True)
class Rating:
    """Similarities of pictures.

    Attributes:
        pictures: names of the N that could be read.
        columns: the texts, then the names of the reference pictures.
        similarities: float32 (N, M), 100 times the cosine of the angle between the vectors.
        skipped: for each that could not be read, its name and why.
    """

    pictures: list[str]
    columns: list[str]
    similarities: np.ndarray
    skipped: list[tuple[str, str]]


def rate(
    clip: Clip,
    pictures: Sequence[str],
    texts: Sequence[str] = (),
    references: Sequence[str] = (),
    *,
    cached: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Rating:
    """Similarities of pictures, files or http(s) addresses, to texts and reference pictures.

    Args:
        clip: whose eyes.
        pictures, texts, references: what is compared.
        cached: keep vectors of pictures in pixace's cache, under their content and the CLIP's weights.
        progress: is called as (pictures done, pictures in all, text).

    Raises:
        PixaceError: no picture, or not each reference, can be read.
    """
    total = len(pictures) + len(references)
    store = _Store(clip) if cached else None
    found, skipped = _vectors(clip, pictures, store, lambda done: progress(done, total, "looking at pictures"))
    others, unread = _vectors(
        clip, references, store, lambda done: progress(len(pictures) + done, total, "looking at references")
    )
    for name, why in unread:
        raise PixaceError(f"the reference {naming(name, why)}")
    if not found:
        raise PixaceError(f"no picture could be read: {skipped[0][1] if skipped else 'none was given'}")
    columns = [np.asarray(clip.encode_text(list(texts)))] if texts else []
    if others:
        columns.append(np.stack(list(others.values())))
    similarities = 100 * np.stack(list(found.values())) @ np.concatenate(columns).T
    return Rating(list(found), [*texts, *others], similarities.astype(np.float32), skipped)


def _vectors(
    clip: Clip, names: Sequence[str], store: "_Store | None", tell: Callable[[int], None]
) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """The vector (S,) of each picture that can be read, and what cannot."""
    found: dict[str, np.ndarray] = {}
    skipped: list[tuple[str, str]] = []
    names = list(dict.fromkeys(names))
    for start in range(0, len(names), AT_ONCE):
        views = {}
        for name in names[start : start + AT_ONCE]:
            try:
                seen = view(open_picture(name), clip.image_size)
            except PixaceError as error:
                skipped.append((name, str(error)))
                continue
            known = store.read(seen) if store else None
            if known is None:
                views[name] = seen
            else:
                found[name] = known
        if views:
            vectors = picture_vectors(clip, np.stack(list(views.values())))
            for (name, seen), vector in zip(views.items(), vectors, strict=True):
                found[name] = vector
                if store:
                    store.write(seen, vector)
        tell(min(start + AT_ONCE, len(names)))
    return {name: found[name] for name in names if name in found}, skipped


class _Store:
    """Vectors on disk."""

    def __init__(self, clip: Clip):
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(clip.weights["image"])]
        mark = hashlib.sha256(repr((clip.config, clip.dtype)).encode())
        for leaf in leaves:
            mark.update(np.ascontiguousarray(leaf.reshape(-1)[:: max(1, leaf.size // 64)]).tobytes())
        self.folder = cache_folder() / "clip" / mark.hexdigest()[:16]

    def _path(self, seen: np.ndarray) -> Path:
        return self.folder / f"{hashlib.sha256(seen.tobytes()).hexdigest()}.npy"

    def read(self, seen: np.ndarray) -> np.ndarray | None:
        """The vector of a view, if it is there."""
        try:
            return np.load(self._path(seen), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def write(self, seen: np.ndarray, vector: np.ndarray) -> None:
        """Keep the vector of a view."""

        def save(beside: str | os.PathLike) -> None:
            with open(beside, "wb") as file:
                np.save(file, vector)

        write_atomically(self._path(seen), save)
