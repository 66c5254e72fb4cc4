"""Do drawn pictures have the structure of real ones, at each scale? The sliced Wasserstein distance of patches.

After Karras et al. 2018 (arXiv:1710.10196, section 5): patches of 7x7 pixels from the levels of Laplacian pyramids,
normalised channel by channel, projected onto random directions; along each the distance of the two sets is the mean
difference of their sorted values. Differences from the paper, made for pictures of 16x16 pixels and the like:

* levels go down as long as a patch fits in one, and where they have few places a patch is taken at each;
* both sets are normalised by the mean and deviation of the real one, so that wrong colours and contrast count.

Distances are in deviations of the real patches, times 1,000. Their size depends on the number of pictures: beside
each stands the distance of two sets of real pictures of the same number, which is what perfect drawings would have.

Legend: N pictures a side, S edge of a level, P patches a picture, M patches, D numbers a patch, K directions.
"""

from dataclasses import dataclass

import numpy as np

PATCH = 7
PATCHES_A_PICTURE, MOST_PATCHES = 128, 2**16  # of a picture at most, and of a level in all
DIRECTIONS, DIRECTIONS_AT_ONCE = 512, 32
PICTURES_AT_ONCE = 256


@dataclass(frozen=True)
class Level:
    """One level of the pyramid: its edge in pixels, and distances times 1,000."""

    edge: int
    distance: float
    baseline: float


@dataclass(frozen=True)
class PatchDistance:
    """Distances of drawn from real pictures, `pictures` on each side, by level and on average.

    `baseline` is the distance of as many other real pictures from the same real ones.
    """

    pictures: int
    levels: tuple[Level, ...]
    distance: float
    baseline: float


def patch_distance(drawn: np.ndarray, real: np.ndarray, others: np.ndarray, seed: int = 0) -> PatchDistance:
    """How far `drawn` is from `real`, beside how far `others`, real too, are; all uint8 (N, S, S, 3).

    The same seed gives the same patches and directions, so the same result.
    """
    levels = []
    for number, (x, reference, y) in enumerate(zip(*(patches(p, seed) for p in (drawn, real, others)), strict=True)):
        mean, deviation = reference.mean(axis=(0, 2), keepdims=True), reference.std(axis=(0, 2), keepdims=True)
        deviation[deviation == 0] = 1.0
        sides = [((side - mean) / deviation).reshape(len(side), -1) for side in (x, reference, y)]
        directions = random_directions(sides[0].shape[1], DIRECTIONS, np.random.default_rng([seed, number]))
        distance, baseline = (1000 * sliced_wasserstein(sides[1], side, directions) for side in sides[::2])
        levels.append(Level(-(-drawn.shape[1] // 2**number), distance, baseline))
    distance = float(np.mean([level.distance for level in levels]))
    baseline = float(np.mean([level.baseline for level in levels]))
    return PatchDistance(len(real), tuple(levels), distance, baseline)


def random_directions(width: int, count: int, random: np.random.Generator) -> np.ndarray:
    """`count` directions, spread evenly over the sphere: unit columns of a float32 (width, count)."""
    directions = random.standard_normal((width, count))
    return (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, directions: np.ndarray) -> float:
    """The 1-Wasserstein distance of two point sets (M, D), of one size, averaged over `directions` (D, K)."""
    total = 0.0
    for start in range(0, directions.shape[1], DIRECTIONS_AT_ONCE):
        part = directions[:, start : start + DIRECTIONS_AT_ONCE]
        along_a, along_b = (np.sort((x @ part).T) for x in (a, b))
        total += float(np.abs(along_a - along_b).mean(dtype=np.float64)) * part.shape[1]
    return total / directions.shape[1]


def laplacian_pyramid(pictures: np.ndarray) -> list[np.ndarray]:
    """Levels of pictures, float32 (N, S, S, 3), finest first: each what the next, of half the edge, cannot hold.

    The last is the small picture that remains; a level is at least as large as a patch, or the only one.
    """
    levels = []
    while (pictures.shape[1] + 1) // 2 >= PATCH:
        smaller = _blur(_blur(pictures, 1), 2)[:, ::2, ::2]
        levels.append(pictures - _enlarged(smaller, pictures.shape[1]))
        pictures = smaller
    return [*levels, pictures]


def _blur(
    x: np.ndarray, axis: int, weights: tuple[float, ...] = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
) -> np.ndarray:
    pads = [(2, 2) if i == axis else (0, 0) for i in range(x.ndim)]
    padded = np.moveaxis(np.pad(x, pads, mode="reflect"), axis, 0)
    length = x.shape[axis]
    mixed = sum(np.float32(w) * padded[i : i + length] for i, w in enumerate(weights))
    return np.moveaxis(np.asarray(mixed), 0, axis)


def _enlarged(small: np.ndarray, edge: int) -> np.ndarray:
    """Pictures (N, s, s, 3) at twice the edge: zeros between the pixels, then blurred with four times the weight."""
    spread = np.zeros((len(small), edge, edge, small.shape[3]), np.float32)
    spread[:, ::2, ::2] = 4 * small
    return _blur(_blur(spread, 1), 2)


def patches(pictures: np.ndarray, seed: int) -> list[np.ndarray]:
    """Patches of each level of pictures, uint8 (N, S, S, 3): float32 (M, 3, size * size), `MOST_PATCHES` at most.

    Where there are more places in a level than are needed, the seed chooses: in sets of one size the same places.
    """
    pictures, random = pictures[:MOST_PATCHES], np.random.default_rng(seed)
    most = min(PATCHES_A_PICTURE, max(1, MOST_PATCHES // len(pictures)))
    found = []
    for start in range(0, len(pictures), PICTURES_AT_ONCE):
        pyramid = laplacian_pyramid(pictures[start : start + PICTURES_AT_ONCE].astype(np.float32))
        found.append([_some_patches(level, most, random) for level in pyramid])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _some_patches(level: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    size = min(PATCH, level.shape[1])
    windows = np.lib.stride_tricks.sliding_window_view(level, (size, size), axis=(1, 2))
    n, along = windows.shape[:2]
    places = np.argsort(random.random((n, along**2)), axis=1)[:, :most]
    row, column = np.divmod(places, along)
    return windows[np.arange(n)[:, None], row, column].reshape(-1, 3, size * size)
