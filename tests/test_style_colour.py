"""Colours of the content kept, and sizes from coarse to fine."""

import numpy as np
import pytest

from pixace.errors import ConfigError
from pixace.style.colour import MATCHES, YUV, grey_pair, keep_luminance, match_colours
from pixace.style.scales import scale_ladder, scale_sizes, size_at


def picture(height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
    """Correlated colours of some mean."""
    random = np.random.default_rng(seed)
    mixing = 0.08 * random.standard_normal((3, 3))
    colours = random.standard_normal((height, width, 3)) @ mixing + random.uniform(0.3, 0.7, 3)
    return np.clip(colours, 0, 1).astype(np.float32)


def mean_and_covariance(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = colours.reshape(-1, 3).astype(np.float64)
    return rows.mean(0), np.cov(rows.T, bias=True)


def test_luminance_of_the_result_and_colours_of_the_content():
    result, content = picture(seed=1), picture(seed=2)
    found = keep_luminance(result, content, clip=False)
    assert found.dtype == np.float32
    y, u, v = np.moveaxis(found @ YUV.T, -1, 0)
    np.testing.assert_allclose(y, result @ [0.299, 0.587, 0.114], atol=1e-6)
    np.testing.assert_allclose(u, content @ [-0.147, -0.288, 0.436], atol=1e-6)
    np.testing.assert_allclose(v, content @ [0.615, -0.515, -0.1], atol=1e-6)
    np.testing.assert_allclose(keep_luminance(content, content), content, atol=1e-6)
    bright = keep_luminance(np.ones_like(content), content)
    assert bright.max() == 1 and keep_luminance(np.ones_like(content), content, clip=False).max() > 1


def test_grey_pairs_have_one_mean_and_go_back_to_colours():
    content, style = picture(seed=1), 0.5 * picture(7, 9, seed=2)
    grey, moved = grey_pair(content, style)
    assert grey.shape == content.shape and moved.shape == style.shape and moved.dtype == np.float32
    for pair in (grey, moved):
        np.testing.assert_array_equal(pair[..., 0], pair[..., 1])
        np.testing.assert_array_equal(pair[..., 0], pair[..., 2])
    np.testing.assert_allclose(moved.mean(), grey.mean(), atol=1e-6)
    np.testing.assert_allclose(moved[..., 0].std(), (style @ YUV[0]).std(), rtol=1e-5)
    np.testing.assert_allclose(keep_luminance(grey, content), content, atol=1e-6)


@pytest.mark.parametrize("mode", MATCHES)
def test_matched_colours_have_the_mean_and_the_covariance_wanted(mode):
    style, content = picture(seed=1), picture(25, 11, seed=2)
    found = match_colours(style, content, mode, clip=False)
    assert found.shape == style.shape and found.dtype == np.float32
    for got, wanted in zip(mean_and_covariance(found), mean_and_covariance(content), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)
    np.testing.assert_allclose(match_colours(content, content, mode), content, atol=1e-5)
    np.testing.assert_array_equal(match_colours(style, content, mode), np.clip(found, 0, 1))


def test_transport_moves_colours_least():
    style, content = picture(seed=1), picture(seed=2)
    moved = {mode: np.square(match_colours(style, content, mode, clip=False) - style).mean() for mode in MATCHES}
    assert moved["transport"] < min(moved["pca"], moved["cholesky"])


@pytest.mark.parametrize("mode", MATCHES)
def test_pictures_without_colours_are_matched_too(mode):
    flat, grey = np.full((4, 5, 3), 0.25, np.float32), np.repeat(picture()[..., :1], 3, -1)
    np.testing.assert_allclose(match_colours(grey, flat, mode), 0.25, atol=0.02)
    np.testing.assert_allclose(
        match_colours(flat, grey, mode), np.broadcast_to(grey.mean((0, 1)), flat.shape), atol=1e-6
    )
    found = match_colours(picture(seed=3), grey, mode, clip=False)
    for got, wanted in zip(mean_and_covariance(found), mean_and_covariance(grey), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_an_unknown_match_is_told():
    with pytest.raises(ConfigError, match=r"match='mean'.*transport, pca, cholesky"):
        match_colours(picture(), picture(), "mean")


@pytest.mark.parametrize(
    ("smallest", "largest", "ladder"),
    [
        (128, 512, [128, 181, 256, 362, 512]),
        (128, 500, [177, 250, 354, 500]),
        (256, 256, [256]),
        (300, 256, [256]),
        (1, 4, [1, 2, 3, 4]),
    ],
)
def test_scales_rise_by_the_root_of_two(smallest, largest, ladder):
    assert scale_ladder(smallest, largest) == ladder


def test_sizes_keep_the_shape():
    assert scale_sizes((300, 512), 128) == [(75, 128), (106, 181), (150, 256), (212, 362), (300, 512)]
    assert scale_sizes((512, 512), 600) == [(512, 512)]
    assert size_at(100, (2, 4000)) == (1, 100)
    with pytest.raises(ConfigError, match="from 0 to 5"):
        scale_ladder(0, 5)
