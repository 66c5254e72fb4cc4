"""Colours of the content kept in style transfer: luminance alone is transferred, or the style's colours are moved.

After Gatys et al., Preserving Color in Neural Artistic Style Transfer, https://arxiv.org/abs/1606.05897.
Pictures are float32 (H, W, 3), RGB in [0, 1]; the two of a call may differ in size where nothing else is said.
"""

from collections.abc import Callable

import numpy as np

from pixace.fields import require

YUV = np.array([[0.299, 0.587, 0.114], [-0.147, -0.288, 0.436], [0.615, -0.515, -0.1]])  # rows: Y, U, V of RGB
MATCHES = ("transport", "pca", "cholesky")
VARIANCE_FLOOR = 1e-5  # on the diagonal of the covariance of colours


def keep_luminance(result: np.ndarray, content: np.ndarray, clip: bool = True) -> np.ndarray:
    """The luminance Y of the result with the colours U and V of the content, which has its size.

    Where that is no colour that can be shown, `clip` cuts it to [0, 1], and U and V with it.
    """
    yuv = np.asarray(content, np.float64) @ YUV.T
    yuv[..., 0] = np.asarray(result, np.float64) @ YUV[0]
    return _finished(yuv @ np.linalg.inv(YUV).T, clip)


def grey_pair(content: np.ndarray, style: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Content and style in grey, (H, W, 3) each, the style's luminance moved to the mean of the content's.

    That may leave [0, 1]. What is made of the pair gets its colours back from `keep_luminance`.
    """
    grey, other = (np.asarray(picture, np.float64) @ YUV[0] for picture in (content, style))
    other = other + (grey.mean() - other.mean())
    first, second = (np.repeat(y[..., None], 3, -1).astype(np.float32) for y in (grey, other))
    return first, second


def match_colours(picture: np.ndarray, to: np.ndarray, mode: str = "transport", clip: bool = True) -> np.ndarray:
    """The picture with its colours moved so that their mean and covariance are those of `to`.

    The map of colours is linear: x -> A (x - mean) + mean of `to`, with A S A^T = T for the covariances S and T.

    Args:
        picture: whose colours move.
        to: whose mean and covariance they get.
        mode: which A: `transport` moves colours least (optimal transport of Gaussians), `pca` is the product of the
            symmetric roots T^1/2 S^-1/2, `cholesky` that of the triangular ones.
        clip: cut the colours to [0, 1], which changes both again.

    Raises:
        ConfigError: the mode is not known.
    """
    require(mode in MATCHES, f"match={mode!r} is not known; choose one of {', '.join(MATCHES)}")
    mean, own = _mean_and_covariance(picture)
    wanted_mean, wanted = _mean_and_covariance(to)
    if mode == "cholesky":
        matrix = np.linalg.cholesky(wanted) @ np.linalg.inv(np.linalg.cholesky(own))
    elif mode == "pca":
        matrix = _on_eigenvalues(wanted, np.sqrt) @ _on_eigenvalues(own, lambda values: values**-0.5)
    else:
        root, inverse = _on_eigenvalues(own, np.sqrt), _on_eigenvalues(own, lambda values: values**-0.5)
        matrix = inverse @ _on_eigenvalues(root @ wanted @ root, np.sqrt) @ inverse
    return _finished((np.asarray(picture, np.float64) - mean) @ matrix.T + wanted_mean, clip)


def _mean_and_covariance(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    colours = np.asarray(picture, np.float64).reshape(-1, 3)
    mean = colours.mean(0)
    return mean, (colours - mean).T @ (colours - mean) / len(colours) + VARIANCE_FLOOR * np.eye(3)


def _on_eigenvalues(matrix: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A symmetric positive matrix with a function of its eigenvalues in their place."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * function(values)) @ vectors.T


def _finished(colours: np.ndarray, clip: bool) -> np.ndarray:
    return (np.clip(colours, 0, 1) if clip else colours).astype(np.float32)
