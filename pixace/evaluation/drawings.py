"""Drawn pictures: from the model, or from a folder, and how they compare with real ones and with training pictures."""

import os
from collections.abc import Callable

import numpy as np
from PIL import Image

from pixace.config import TokenizerConfig
from pixace.dataset import TokenSet, load_tokens
from pixace.evaluation.copies import judge, nearest
from pixace.evaluation.copy_sheet import copy_sheet
from pixace.evaluation.figures import Drawn
from pixace.evaluation.patches import PatchDistance, patch_distance
from pixace.progress import Bar
from pixace.sampling.model import Model
from pixace.tokenizer import Tokenizer

MOST_HELD_OUT = 1000  # pictures that copies are judged by; the distances of more would hardly move the percentile


def draw(model: Model, count: int, temperature: float, seed: int) -> np.ndarray:
    """`count` new pictures of the model, uint8 (count, S, S, 3)."""
    with Bar("drawing") as bar:
        return model.tokenizer.decode(model.sample(n=count, temperature=temperature, seed=seed, progress=bar))


def read_drawn(config: TokenizerConfig, folder: str | os.PathLike, most: int | None) -> np.ndarray:
    """Pictures in a folder as a model's tokens show them, uint8 (n, S, S, 3); `most` of them at most.

    Raises:
        PixaceError: if there is none that can be read.
    """
    with Bar("reading drawn pictures") as bar:
        found = load_tokens(folder, config, progress=bar)
    return Tokenizer(config).decode(np.asarray(found.tokens[:most]))


def compare(
    tokenizer: Tokenizer,
    drawn: np.ndarray,
    source: str,
    real: TokenSet,
    training: TokenSet | None,
    seed: int,
    say: Callable[[str], None],
) -> tuple[Drawn, Image.Image | None]:
    """The figures of drawn pictures, and the sheet of their nearest training pictures."""
    patches = _patches(tokenizer, drawn, real, seed)
    if patches is None:
        say("warning: fewer than 4 real or 2 drawn pictures: no sliced Wasserstein distance")
    if training is None:
        return Drawn(len(drawn), source, patches, None), None
    held_out = tokenizer.decode(np.asarray(real.tokens[:MOST_HELD_OUT]))
    with Bar("looking for copies") as bar:
        found = nearest(np.concatenate([drawn, held_out]), training.tokens, tokenizer, bar)
    distances = found.distance[:, 0]
    copies = judge(distances[: len(drawn)], distances[len(drawn) :], len(training))
    sheet = copy_sheet(drawn, training.tokens, found, tokenizer, copies)
    return Drawn(len(drawn), source, patches, copies), sheet


def _patches(tokenizer: Tokenizer, drawn: np.ndarray, real: TokenSet, seed: int) -> PatchDistance | None:
    count = min(len(drawn), len(real) // 2)
    if count < 2:
        return None
    one, other = (tokenizer.decode(np.asarray(real.tokens[i * count : (i + 1) * count])) for i in (0, 1))
    with Bar("comparing patches") as bar:
        bar(0, 1)
        result = patch_distance(drawn[:count], one, other, seed)
        bar(1, 1)
    return result
