"""Has a model learnt, or only remembered? The nearest training picture of each drawn one.

Distances are root mean squares over all pixels and channels of the decoded tokens at the model's size, in levels of
255; a training picture and its mirror image count as one. How near is suspicious, pictures that the model has not
seen tell: they too have training pictures near by, but never because of the model.

Legend: Q pictures asked about, N training pictures, S edge.
"""

import math
from dataclasses import dataclass

import numpy as np

from pixace.progress import Progress, silent
from pixace.tokenizer import Tokenizer

TRAINING_AT_ONCE, ASKED_AT_ONCE = 512, 1024  # pictures at most, of
NUMBERS_AT_ONCE = 2**22  # values: 32 MiB
PERCENT = 1.0  # of held-out pictures that lie nearer than what is called suspicious
SURE = 1e-3  # a larger share of drawn pictures is chance with at most this probability


@dataclass(frozen=True)
class Neighbours:
    """The two nearest training pictures of each picture, nearest first: arrays (Q, 2).

    `index` is their row (-1: there is none), `distance` in levels of 255 (inf: none), `mirrored` whether the mirror
    image is the nearer one.
    """

    index: np.ndarray
    distance: np.ndarray
    mirrored: np.ndarray


@dataclass(frozen=True)
class Copies:
    """What the distances say. `near` is the share of drawn pictures nearer than `threshold` to a training picture,
    `chance` that which is expected of a model that copies nothing; `duplicates` counts those at distance 0."""

    drawn: int
    training_pictures: int
    held_out_pictures: int
    median: float
    held_out_median: float
    threshold: float
    near: float
    chance: float
    duplicates: int
    held_out_duplicates: int
    verdict: str


def nearest(
    pictures: np.ndarray, training: np.ndarray, tokenizer: Tokenizer, progress: Progress = silent
) -> Neighbours:
    """The nearest of the training pictures, given as tokens (N, T), to each of `pictures`, uint8 (Q, S, S, 3).

    Exact: sums of squares of whole numbers in float64. By blocks of matrix products.
    """
    index, distance = np.full((len(pictures), 2), -1), np.full((len(pictures), 2), np.inf)
    mirrored = np.zeros((len(pictures), 2), bool)
    size = math.prod(pictures.shape[1:])
    n_asked, n_training = (min(n, max(1, NUMBERS_AT_ONCE // size)) for n in (ASKED_AT_ONCE, TRAINING_AT_ONCE))
    for first in range(0, len(pictures), n_asked):
        rows = slice(first, first + n_asked)
        asked = pictures[rows]
        both = np.stack([asked, asked[:, :, ::-1]]).reshape(2, len(asked), size).astype(np.float64)
        squares = (asked.reshape(len(asked), size).astype(np.float64) ** 2).sum(axis=1)
        for start in range(0, len(training), n_training):
            block = tokenizer.decode(np.asarray(training[start : start + n_training]))
            flat = block.reshape(len(block), size).astype(np.float64)
            products = both @ flat.T  # (2, Q, block)
            flipped = products[1] > products[0]  # the larger product is the smaller distance
            apart = squares[:, None] + (flat**2).sum(axis=1) - 2 * products.max(axis=0)
            numbers = np.broadcast_to(np.arange(start, start + len(block)), apart.shape)
            so_far = np.concatenate([distance[rows], apart], axis=1)
            order = np.argsort(so_far, axis=1, kind="stable")[:, :2]
            distance[rows] = np.take_along_axis(so_far, order, axis=1)
            for best, new in ((index, numbers), (mirrored, flipped)):
                best[rows] = np.take_along_axis(np.concatenate([best[rows], new], axis=1), order, axis=1)
            progress(first * len(training) + (start + len(block)) * len(asked), len(pictures) * len(training))
    return Neighbours(index, np.sqrt(distance / size), mirrored)


def judge(drawn: np.ndarray, held_out: np.ndarray, training_pictures: int) -> Copies:
    """Compare the distances of drawn and of held-out pictures, (Q,) each, from their nearest training pictures."""
    threshold = float(np.percentile(held_out, PERCENT))
    n, near = len(held_out), int((drawn < threshold).sum())
    # Of n held-out pictures the percentile lies at this share of all such pictures, on average: more than 1 % if few.
    chance = (PERCENT / 100 * (n - 1) + 1) / (n + 1)
    duplicates, held_out_duplicates = int((drawn == 0).sum()), int((held_out == 0).sum())
    return Copies(
        drawn=len(drawn),
        training_pictures=training_pictures,
        held_out_pictures=n,
        median=float(np.median(drawn)),
        held_out_median=float(np.median(held_out)),
        threshold=threshold,
        near=near / len(drawn),
        chance=chance,
        duplicates=duplicates,
        held_out_duplicates=held_out_duplicates,
        verdict=_verdict(len(drawn), near, chance, duplicates, held_out_duplicates, n, threshold),
    )


def _verdict(
    drawn: int,
    near: int,
    chance: float,
    duplicates: int,
    held_out_duplicates: int,
    held_out: int,
    threshold: float,
) -> str:
    if 2 * held_out_duplicates > held_out:
        return "cannot tell: most of the pictures to compare with are training pictures themselves"
    usual = (held_out_duplicates + 1) / (held_out + 1)
    if duplicates and (not held_out_duplicates or at_least(duplicates, drawn, usual) < SURE):
        return f"{duplicates} of {drawn} drawn pictures are training pictures, pixel by pixel"
    if at_least(near, drawn, chance) < SURE:
        return "the model draws near copies of training pictures more often than chance: look at the nearest ones"
    if at_least(drawn, drawn, chance) >= SURE:  # were they all near
        return "too few pictures to tell: draw more, or give more to compare with"
    if threshold == 0:  # nothing can be nearer
        return "no more duplicates than among held-out pictures; these are too often duplicates to tell more"
    return "no sign of copying"


def at_least(count: int, trials: int, chance: float) -> float:
    """The probability of `count` or more successes in `trials`, each of probability `chance` (binomial)."""
    if count == 0 or chance >= 1:
        return 1.0

    def exactly(k: int) -> float:
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        return math.exp(ways + k * math.log(chance) + (trials - k) * math.log1p(-chance))

    return min(1.0, math.fsum(map(exactly, range(count, trials + 1))))
