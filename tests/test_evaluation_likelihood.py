"""Likelihood and bits a dimension: against hand-computed cases and against the model's own log-probabilities."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import pixace.evaluation.cells as cells
from pixace.config import RunConfig, TokenizerConfig
from pixace.dataset import load_tokens
from pixace.evaluation.cells import cell_bits, cell_sizes, count_cells
from pixace.evaluation.fidelity import Fidelity
from pixace.evaluation.likelihood import Estimate, Likelihood, Losses, batch_size_for, measure_losses, position_losses
from pixace.sampling.filters import make_settings
from pixace.sampling.model import Model
from pixace.sampling.naive import generate_naive
from pixace.sheets import save_picture
from pixace.tokenizer import Tokenizer

SMALL = TokenizerConfig(bitdepth=(2, 2, 2), image_size=6)


@pytest.mark.parametrize("arch", ["base", "trax"])
def test_a_model_without_output_weights_has_ln_v_nats_a_token(arch):
    config = tiny.tiny_config(arch, tokenizer=SMALL)
    parameters = tiny.tiny_parameters(config)
    bias = None if parameters.output_bias is None else jnp.zeros_like(parameters.output_bias)
    parameters = dataclasses.replace(parameters, output=jnp.zeros_like(parameters.output), output_bias=bias)
    found = Likelihood.of(measure_losses(parameters, config, tiny.random_tokens(config, 5), 2))
    assert found.nats_a_token.mean == pytest.approx(math.log(66), rel=1e-6)
    assert found.bits_a_pixel.mean == pytest.approx(math.log2(66), rel=1e-6)
    assert found.perplexity == pytest.approx(66, rel=1e-5)
    assert found.nats_a_token.error == pytest.approx(0, abs=1e-6)


@pytest.mark.subset
@pytest.mark.parametrize("name", list(tiny.MODELS))
def test_losses_agree_with_log_probs_token_by_token(name):
    config = tiny.tiny_config(tokenizer=SMALL, **tiny.MODELS[name])
    parameters = tiny.tiny_parameters(config)
    tokens = tiny.random_tokens(config, 5)
    log_probs = Model(RunConfig(SMALL, config), parameters).log_probs(tokens)
    of_token = -np.take_along_axis(log_probs, tokens[..., None].astype(int), axis=-1)[..., 0]
    hits = log_probs.argmax(-1) == tokens
    found = measure_losses(parameters, config, tokens, batch_size=2)
    np.testing.assert_allclose(found.nats, of_token.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.by_position, of_token.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.right, hits.mean(axis=1))
    np.testing.assert_allclose(position_losses(parameters, config, tokens[3:], 2), of_token[3:], rtol=1e-4, atol=1e-5)


def test_what_the_slow_sampler_draws_greedily_is_wholly_right():
    config = tiny.tiny_config(tokenizer=TokenizerConfig(bitdepth=(2, 2, 2), image_size=4))
    parameters = tiny.tiny_parameters(config)
    never = jnp.zeros(config.vocab_size).at[:2].set(-100.0)  # reserved ids are never drawn
    parameters = dataclasses.replace(parameters, output_bias=never)
    empty = np.zeros((2, config.n_positions), np.uint16)
    drawn = generate_naive(parameters, config, empty, 0, make_settings(2, temperature=0.0), seed=0)
    mixed = np.concatenate([drawn, drawn])
    mixed[3, -1] = 2 if mixed[3, -1] != 2 else 3
    found = Likelihood.of(measure_losses(parameters, config, mixed, 4))
    assert found.picture_accuracy.mean == 0.75
    assert found.accuracy.mean == pytest.approx(1 - 1 / (4 * 16))


def test_the_batch_size_changes_nothing_and_progress_counts_pictures():
    config = tiny.tiny_config(tokenizer=SMALL)
    parameters, tokens, seen = tiny.tiny_parameters(config), tiny.random_tokens(config, 7), []
    whole = measure_losses(parameters, config, tokens, batch_size_for(config, 7))
    parts = measure_losses(parameters, config, tokens, 3, lambda done, total, text="": seen.append((done, total)))
    np.testing.assert_allclose(whole.nats, parts.nats, rtol=1e-5)
    np.testing.assert_allclose(whole.by_position, parts.by_position, rtol=1e-5)
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_batches_are_as_large_as_asked_or_as_pictures_allow():
    small, large = (tiny.tiny_config(tokenizer=TokenizerConfig(image_size=size)) for size in (16, 512))
    assert batch_size_for(small, 1000) == 64 and batch_size_for(small, 10) == 10 and batch_size_for(small, 1000, 3) == 3
    assert batch_size_for(large, 1000) == 1


def test_figures_of_known_losses():
    found = Likelihood.of(Losses(np.array([1.0, 2.0, 3.0]) * math.log(2), np.array([1.0, 0.5, 1.0]), np.zeros(4)))
    assert found.bits_a_pixel.mean == pytest.approx(2)
    assert found.bits_a_pixel.error == pytest.approx(1 / math.sqrt(3))  # deviation 1 of three pictures
    assert found.bits_a_dimension_of_tokens.mean == pytest.approx(2 / 3)
    assert found.perplexity == pytest.approx(4)
    assert found.accuracy.mean == pytest.approx(2.5 / 3) and found.picture_accuracy.mean == pytest.approx(2 / 3)
    assert Estimate.of(np.array([3.0])) == Estimate(3.0, None)


@pytest.mark.subset
def test_cells_of_one_bit_a_channel_halve_each_channel():
    sizes = count_cells(TokenizerConfig(tokenizer="rgb", bitdepth=(1, 1, 1)))
    assert sizes.tolist() == [0, 0, *[128**3] * 8]


def test_cells_of_rgb_are_products_of_intervals():
    sizes = count_cells(TokenizerConfig(tokenizer="rgb", bitdepth=(5, 3, 1)))

    def widths(bits: int) -> np.ndarray:
        return np.bincount([round(v / 255 * (2**bits - 1)) for v in range(256)])

    assert widths(5)[:2].tolist() == [5, 8]  # 0 to 4, 5 to 12
    expected = widths(1)[:, None, None] * widths(3)[:, None] * widths(5)
    np.testing.assert_array_equal(sizes[2:], expected.reshape(-1))


@pytest.mark.parametrize("bits", [(1, 1, 1), (4, 3, 3), (5, 4, 4)])
def test_cells_of_hsv_fill_the_cube_layer_by_layer_of_value(bits):
    sizes = count_cells(TokenizerConfig(bitdepth=bits))
    assert sizes.sum() == 2**24 and sizes[:2].tolist() == [0, 0]
    codes = np.array([round(v / 255 * (2 ** bits[2] - 1)) for v in range(256)])
    largest = np.arange(256)
    layers = np.bincount(codes, weights=(largest + 1) ** 3 - largest**3)  # so many colours have this largest channel
    np.testing.assert_array_equal(sizes[2:].reshape(2 ** bits[2], -1).sum(axis=1), layers)


def test_cells_of_the_usual_depth_are_those_known():
    sizes = count_cells(TokenizerConfig(bitdepth=(5, 4, 4)))
    assert (sizes > 0).sum() == 7763 and sizes[sizes > 0].min() == 1 and sizes.max() == 11873
    full = sizes[sizes > 0]
    assert (full * np.log2(full)).sum() / 2**24 == pytest.approx(11.93, abs=0.005)


def test_a_uniform_model_over_all_colours_has_eight_bits_a_dimension():
    config = TokenizerConfig(tokenizer="rgb", bitdepth=(1, 1, 1), image_size=4)
    sizes, random = count_cells(config), np.random.default_rng(0)
    tokens = Tokenizer(config).encode_rgb(random.integers(0, 256, (3, 16, 3), np.uint8))
    np.testing.assert_allclose((math.log2(8) + cell_bits(tokens, sizes)) / 3, 8.0)


def test_cell_bits_are_the_mean_over_a_pictures_tokens():
    sizes = np.array([0, 0, 1, 4, 16])
    np.testing.assert_allclose(cell_bits(np.array([[2, 3, 4, 4], [2, 2, 2, 3]]), sizes), [10 / 4, 2 / 4])


def test_cells_are_counted_once_and_again_where_the_file_is_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path))
    config, seen = TokenizerConfig(tokenizer="rgb", bitdepth=(2, 1, 1)), []
    first = cell_sizes(config, lambda done, total, text="": seen.append(done))
    assert seen[-1] == 256
    with monkeypatch.context() as patch:
        patch.setattr(cells, "count_cells", lambda *_: pytest.fail("counted again"))
        np.testing.assert_array_equal(cell_sizes(config), first)
    (file,) = (tmp_path / "cells").iterdir()
    for content in (b"", file.read_bytes()[:-8]):
        file.write_bytes(content)
        np.testing.assert_array_equal(cell_sizes(config), first)
    np.save(file, first + 1)
    np.testing.assert_array_equal(cell_sizes(config), first)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path / "file"))
    assert cell_sizes(TokenizerConfig(tokenizer="rgb", bitdepth=(1, 1, 1))).sum() == 2**24


def test_psnr_is_of_the_error_over_all_pictures_not_the_mean_of_theirs(tmp_path):
    from PIL import Image

    for name, grey in (("black", 0), ("dark", 64)):  # with one bit a channel both become black
        save_picture(Image.new("RGB", (4, 4), (grey,) * 3), tmp_path / f"{name}.png")
    tokens = load_tokens(tmp_path, TokenizerConfig(tokenizer="rgb", bitdepth=(1, 1, 1), image_size=4))
    found = Fidelity.of(tokens)
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / (64**2 / 2)))
    assert found.lowest == pytest.approx(10 * math.log10(255**2 / 64**2)) and found.highest == math.inf
