"""The image transformation network: its size, the sizes of what it draws, and how styles are mixed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixace.errors import ConfigError
from pixace.style.fast.config import TransformConfig
from pixace.style.fast.convolutions import MODES, convolve_to_double, convolve_to_few
from pixace.style.fast.network import (
    MOMENTUM,
    count_weights,
    init_weights,
    trained,
    transform,
    transform_batch,
    weight_table,
)

SMALL = {"width": 4, "n_residual": 1}
drawn_by = jax.jit(transform, static_argnums=1)


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), shape)


def only(count: int, styles: int = 1, index: int = 0) -> jax.Array:
    return jnp.tile(jnp.eye(styles)[index], (count, 1))


def varied(config: TransformConfig, seed: int = 0) -> dict[str, jax.Array]:
    """Weights whose styles differ, as they do after training."""
    weights = init_weights(config, seed)
    for i, name in enumerate(weights):
        if name.endswith((".scale", ".shift")):
            weights[name] += 0.5 * jax.random.normal(jax.random.key(i), weights[name].shape)
    return weights


@pytest.mark.subset
@pytest.mark.parametrize("upsample", ["interpolate", "transpose"])
def test_number_of_weights_is_that_of_the_source(upsample):
    config = TransformConfig(upsample_type=upsample)
    assert count_weights(config) == 1_677_635
    assert sum(weight.size for weight in init_weights(config, 0).values()) == 1_677_635


def test_what_other_networks_have_in_weights():
    of = lambda **options: count_weights(TransformConfig(**options))  # noqa: E731
    norms = 2 * (32 + 64 + 128 + 10 * 128 + 64 + 32)
    assert of(n_styles=3) == 1_677_635 + 2 * norms
    assert of(norm_type="batch") == 1_677_635  # running statistics are not trained
    assert of(norm_type="none") == 1_677_635 - norms // 2  # a bias in place of scale and shift
    assert of(skips=True) == 1_677_635 + 9 * (128 * 64 + 64 * 32) + 2 * (64 + 32)


@pytest.mark.parametrize("upsample", ["interpolate", "transpose"])
def test_output_has_the_size_of_the_input(upsample):
    """By shapes alone, for each edge from 1 to 40 beside some others."""
    config = TransformConfig(upsample_type=upsample, skips=True, **SMALL)
    weights = jax.eval_shape(lambda: init_weights(config, 0))
    for edge in range(1, 41):
        for other in (1 + edge % 7, 41 - edge):
            shape = jax.ShapeDtypeStruct((2, edge, other, 3), jnp.float32)
            mixture = jax.ShapeDtypeStruct((2, 1), jnp.float32)
            drawn = jax.eval_shape(lambda w, p, m: transform(w, config, p, m), weights, shape, mixture)
            assert (drawn.shape, drawn.dtype) == (shape.shape, jnp.float32)


@pytest.mark.parametrize(
    ("size", "padding"), [((1, 1), "reflect"), ((2, 9), "reflect"), ((5, 4), "zero"), ((3, 17), "replicate")]
)
def test_odd_sizes_are_computed(size, padding):
    config = TransformConfig(padding_mode=padding, **SMALL)
    drawn = drawn_by(varied(config), config, noise(1, *size, 3), only(1))
    assert drawn.shape == (1, *size, 3) and bool(jnp.isfinite(drawn).all())


def test_padding_to_whole_steps_stays_at_the_edge():
    """Without norms, what is beyond the edge does not reach the middle."""
    config = TransformConfig(norm_type="none", **SMALL)
    weights, picture = init_weights(config, 0), noise(1, 64, 64, 3)
    whole, cut = drawn_by(weights, config, picture, only(1)), drawn_by(weights, config, picture[:, :62], only(1))
    np.testing.assert_allclose(whole[:, :32], cut[:, :32], atol=1e-6)


PLAIN = partial(jax.lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest")


@pytest.mark.parametrize("padding", ["reflect", "zero", "replicate"])
@pytest.mark.parametrize("size", [(1, 4), (2, 3), (6, 5)])
def test_quick_convolutions_are_the_plain_ones(padding, size):
    values, kernel = noise(2, *size, 5), noise(3, 3, 5, 4, seed=1)
    around = lambda x, n: jnp.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), mode=MODES[padding])  # noqa: E731
    with jax.default_matmul_precision("highest"):
        found = {how: convolve_to_double(values, kernel, how, padding) for how in ("interpolate", "transpose")}
        large = noise(9, 9, 5, 3, seed=2)
        few = convolve_to_few(values, large, padding)
    repeated = values.repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(found["interpolate"], PLAIN(around(repeated, 1), kernel, (1, 1), "VALID"), atol=1e-5)
    transposed = PLAIN(values, kernel, (1, 1), ((1, 2), (1, 2)), lhs_dilation=(2, 2))
    np.testing.assert_allclose(found["transpose"], transposed, atol=1e-5)
    np.testing.assert_allclose(few, PLAIN(around(values, 4), large, (1, 1), "VALID"), atol=1e-4)


@pytest.mark.parametrize(("norm", "upsample"), [("batch", "transpose")])
def test_gradients_reach_every_weight(norm, upsample):
    config = TransformConfig(norm_type=norm, upsample_type=upsample, skips=True, **SMALL)
    weights, pictures = varied(config), noise(2, 16, 16, 3)

    @jax.jit
    @jax.grad
    def slope(changing):
        drawn, _ = transform_batch({**weights, **changing}, config, pictures, only(2))
        return jnp.square(drawn - pictures).mean()

    for name, gradient in slope(trained(weights)).items():
        assert bool(jnp.isfinite(gradient).all()) and float(jnp.abs(gradient).max()) > 0, name


def test_maps_are_those_of_torch(torch_like):
    """Against a plain NumPy version of the same layers, written from the definition of each."""
    for upsample in ("interpolate", "transpose"):
        config = TransformConfig(upsample_type=upsample, **SMALL)
        weights, picture = varied(config), noise(1, 12, 8, 3)
        with jax.default_matmul_precision("highest"):
            drawn = drawn_by(weights, config, picture, only(1))
        expected = torch_like(
            {k: np.asarray(w, np.float64) for k, w in weights.items()}, np.asarray(picture[0]), upsample
        )
        np.testing.assert_allclose(drawn[0], expected, atol=2e-4)


@pytest.fixture
def torch_like():
    def convolve(x, kernel, stride=1):
        edge = kernel.shape[0] // 2
        x = np.pad(x, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")
        rows, columns = ((n - 2 * edge - 1) // stride + 1 for n in x.shape[:2])
        out = np.zeros((rows, columns, kernel.shape[3]))
        for i in range(rows):
            for j in range(columns):
                y, z = i * stride, j * stride
                patch = x[y : y + 2 * edge + 1, z : z + 2 * edge + 1]
                out[i, j] = np.tensordot(patch, kernel, 3)
        return out

    def upsampled(x, kernel, how):
        if how == "interpolate":
            return convolve(x.repeat(2, 0).repeat(2, 1), kernel)
        out = np.zeros((2 * x.shape[0] + 2, 2 * x.shape[1] + 2, kernel.shape[3]))  # one more on each side, cut below
        for i in range(x.shape[0]):  # each value writes a 3x3 stamp, two apart: a transposed convolution
            for j in range(x.shape[1]):
                out[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.tensordot(x[i, j], kernel[::-1, ::-1], ([0], [2]))
        return out[1:-1, 1:-1]

    def normed(x, weights, name):
        mean, variance = x.mean((0, 1)), x.var((0, 1))
        return weights[f"{name}.scale"][0] * (x - mean) / np.sqrt(variance + 1e-5) + weights[f"{name}.shift"][0]

    def draw(weights, picture, how):
        relu = lambda x: np.maximum(x, 0)  # noqa: E731
        x = (picture - np.array((0.485, 0.456, 0.406))) / np.array((0.229, 0.224, 0.225))
        for name, stride in (("conv_in", 1), ("down1", 2), ("down2", 2)):
            x = relu(normed(convolve(x, weights[f"{name}.kernel"], stride), weights, name))
        inner = relu(normed(convolve(x, weights["residual0.first.kernel"]), weights, "residual0.first"))
        x = x + normed(convolve(inner, weights["residual0.second.kernel"]), weights, "residual0.second")
        for name in ("up1", "up2"):
            x = relu(normed(upsampled(x, weights[f"{name}.kernel"], how), weights, name))
        return convolve(x, weights["conv_out.kernel"]) + weights["conv_out.bias"]

    return draw


SEVERAL, ALONE = TransformConfig(n_styles=2, **SMALL), TransformConfig(**SMALL)


def with_styles(weights: dict[str, jax.Array], shares: jax.Array) -> dict[str, jax.Array]:
    """The weights of a network for the one style that a row of shares (1, S) mixes."""
    return {n: shares @ w if n.endswith((".scale", ".shift")) else w for n, w in weights.items()}


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0), (0.3, 0.7)])
def test_a_mixture_is_the_network_of_mixed_scales_and_shifts(shares):
    """One style of several is that style alone, and a blend is linear in what styles differ in."""
    weights, pictures, mixture = varied(SEVERAL), noise(2, 16, 16, 3), jnp.array([shares])
    expected = drawn_by(with_styles(weights, mixture), ALONE, pictures, only(2))
    np.testing.assert_allclose(drawn_by(weights, SEVERAL, pictures, mixture.repeat(2, 0)), expected, atol=1e-5)
    other = drawn_by(weights, SEVERAL, pictures, mixture[:, ::-1].repeat(2, 0))
    assert float(jnp.abs(other - expected).max()) > 0.01


def test_each_picture_of_a_batch_has_its_own_style_and_statistics():
    weights, pictures = varied(SEVERAL), noise(2, 16, 16, 3)
    together = drawn_by(weights, SEVERAL, pictures, jnp.eye(2))
    for i in range(2):
        same = drawn_by(weights, SEVERAL, jnp.stack([pictures[i]] * 2), only(2, 2, i))
        np.testing.assert_allclose(together[i], same[0], atol=1e-5)


def test_batch_norm_keeps_running_statistics():
    config, pictures = TransformConfig(norm_type="batch", **SMALL), noise(4, 16, 16, 3)
    weights = varied(config)
    trained_on, running = jax.jit(transform_batch, static_argnums=1)(weights, config, pictures, only(4))
    assert sorted(running) == sorted(set(weight_table(config)) - set(trained(weights)))
    kernel = weights["conv_in.kernel"]
    normalised = (pictures - jnp.array((0.485, 0.456, 0.406))) / jnp.array((0.229, 0.224, 0.225))
    padded = jnp.pad(normalised, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    maps = jax.lax.conv_general_dilated(padded, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(running["conv_in.mean"], MOMENTUM * maps.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    variance = (1 - MOMENTUM) + MOMENTUM * jnp.var(maps, axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(running["conv_in.variance"], variance, rtol=1e-4)
    # After many such batches they are the batch's own, and applying the network is what training did.
    settled = {name: (new - (1 - MOMENTUM) * weights[name]) / MOMENTUM for name, new in running.items()}
    drawn = drawn_by({**weights, **settled}, config, pictures, only(4))
    np.testing.assert_allclose(drawn, trained_on, atol=0.1)  # but for n - 1 in place of n
    assert float(jnp.abs(drawn_by(weights, config, pictures, only(4)) - trained_on).max()) > 0.5


@pytest.mark.parametrize(("output", "low", "high"), [("none", -1e9, 1e9), ("clamp", 0, 1), ("sigmoid", 0, 1)])
def test_output_function_holds_the_colours(output, low, high):
    config = TransformConfig(output_fn=output, **SMALL)
    weights = {n: 3 * w if n.startswith("conv_out") else w for n, w in varied(config).items()}
    drawn = drawn_by(weights, config, noise(2, 16, 16, 3), only(2))
    assert low <= float(drawn.min()) and float(drawn.max()) <= high
    assert output != "none" or not 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
    first = drawn_by(init_weights(config, 0), config, noise(2, 16, 16, 3), only(2))
    assert abs(float(first.mean()) - 0.5) < 0.3  # begins at grey, where a clamp lets gradients through


def test_bfloat16_is_near_float32():
    half = TransformConfig(dtype="bfloat16", **SMALL)
    weights, pictures = varied(half), noise(2, 16, 16, 3)
    apart = jnp.abs(drawn_by(weights, ALONE, pictures, only(2)) - drawn_by(weights, half, pictures, only(2)))
    assert 0 < float(apart.mean()) < 0.05


def test_initial_weights_hang_on_the_seed_alone():
    config = TransformConfig(**SMALL)
    first, again, other = (init_weights(config, seed) for seed in (1, 1, 2))
    assert all(jnp.array_equal(first[name], again[name]) for name in first)
    assert not jnp.array_equal(first["conv_in.kernel"], other["conv_in.kernel"])
    assert float(jnp.abs(first["conv_in.kernel"]).max()) <= (9 * 9 * 3) ** -0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"padding_mode": "mirror"}, "reflect, zero, replicate"),
        ({"upsample_type": "bilinear"}, "interpolate, transpose"),
        ({"norm_type": "layer"}, "instance, batch, none"),
        ({"output_fn": "tanh"}, "none, clamp, sigmoid"),
        ({"width": 0}, "width=0"),
        ({"n_residual": -1}, "n_residual=-1"),
        ({"n_styles": 0}, "0 styles"),
        ({"n_styles": 2, "norm_type": "none"}, "norm_type=none has no place for 2 styles"),
    ],
)
def test_what_makes_no_sense_is_told(options, said):
    with pytest.raises(ConfigError, match=said):
        TransformConfig(**options)
