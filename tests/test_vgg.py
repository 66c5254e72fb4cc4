"""VGG networks: names of layers, maps and gradients as torch has them, and what a map sees of a picture."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden.make_torch import CASES, STYLE, WITH_GRADIENT, make_weights, picture

from pixace.errors import ConfigError
from pixace.images import open_picture
from pixace.style import layers as names
from pixace.style.layers import LAYER_SETS, layer_names, parse_layer, parse_layers
from pixace.style.vgg import CAFFE_MEAN, MEAN, STD, NetworkConfig, classify, features
from pixace.style.vgg_weights import load_network, random_weights

GOLDEN = Path(__file__).parent / "golden" / "torch_vgg.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def narrow(network: str) -> dict:
    """The weights of the golden networks, without their classifiers."""
    return {name: jax.tree.map(jnp.asarray, w) for name, w in make_weights(network).items() if name[:2] != "fc"}


def case(i: int, **more) -> NetworkConfig:
    name, pooling, rescale, padding, preprocessing = CASES[i]
    return NetworkConfig(name, pooling, rescale, padding, preprocessing, **more)


def close(found, expected, relative: float = 1e-4) -> None:
    """Equal within a share of the largest value."""
    np.testing.assert_allclose(found, expected, rtol=relative, atol=relative * np.abs(expected).max())


def sampled(values: jax.Array) -> np.ndarray:
    """Of a map (1, h, w, C), what the golden file keeps."""
    array = np.asarray(values[0])
    return np.concatenate([array.mean((0, 1)), array[::5, ::5].ravel()])


def gram_loss(weights: dict, pictures: jax.Array, config: NetworkConfig) -> jax.Array:
    total = jnp.zeros(())
    for values in features(weights, pictures, STYLE, config).values():
        flat = values.reshape(-1, values.shape[-1]).astype(jnp.float32)
        total += jnp.square(flat.T @ flat / flat.size).mean()
    return total


# ---- names


@pytest.mark.parametrize(
    ("text", "network", "name"),
    [
        ("conv4_2", "vgg19", "conv4_2"),
        ("relu4_2", "vgg16", "relu4_2"),
        ("conv_4_2", "vgg16", "relu4_2"),
        (" relu_4_2 ", "vgg19", "relu4_2"),
        ("conv3_4", "vgg19", "conv3_4"),
        ("conv_3_4", "vgg19", "relu3_4"),
        ("pool4", "vgg16", "pool4"),
        *(
            ("22", "vgg19", "relu4_2"),
            ("21", "vgg19", "conv4_2"),
            ("19", "vgg16", "conv4_2"),
            ("0", "vgg16", "conv1_1"),
        ),
        *(("30", "vgg16", "pool5"), ("36", "vgg19", "pool5"), ("29", "vgg19", "relu5_1"), ("28", "vgg16", "conv5_3")),
    ],
)
def test_a_layer_is_found_by_each_of_its_spellings(text, network, name):
    assert parse_layer(text, network) == name


def test_a_layer_that_is_not_there_is_refused_with_a_list():
    for text in ("conv3_4", "31", "conv6_1", "relu4_0", "conv4-2", "pool6", "-1", "", "relu_3_4"):
        with pytest.raises(ConfigError, match=r"vgg16 has no layer .*conv3_1 to 3_3, conv4_1 .*pool5"):
            parse_layer(text, "vgg16")
    with pytest.raises(ConfigError, match="vgg16, vgg19"):
        parse_layer("conv1_1", "vgg11")


def test_layers_with_weights_are_read_and_nonsense_is_refused():
    assert parse_layers("relu1_1:256, 6:0.5,conv_4_2") == (("relu1_1", 256.0), ("relu2_1", 0.5), ("relu4_2", 1.0))
    assert parse_layers(" ") == ()
    for text in ("relu1_1:", "relu1_1:x", "relu1_1:0", "relu1_1:-1", "relu1_1:nan", "relu1_1:inf", "relu1_1:1:2"):
        with pytest.raises(ConfigError, match="weight of a layer"):
            parse_layers(text)
    with pytest.raises(ConfigError, match="relu1_1 twice"):
        parse_layers("relu1_1,conv_1_1:3")
    with pytest.raises(ConfigError, match="no layer ''"):
        parse_layers("relu1_1,,relu2_1")


def test_sets_of_layers_are_of_both_networks_and_their_weights_add_up():
    for name, chosen in LAYER_SETS.items():
        assert names.find_layer_set(name) is chosen and chosen.help
        for weighted in (chosen.content, chosen.style):
            assert sum(weight for _, weight in weighted) == pytest.approx(1)
        for network in names.NETWORKS:
            assert set(chosen.names) <= set(layer_names(network))
    assert dict(LAYER_SETS["default"].style)["relu1_1"] == pytest.approx(256 / 341)
    assert names.deepest(LAYER_SETS["shallow"].names) == "relu3_3"
    with pytest.raises(ConfigError, match="default, shallow"):
        names.find_layer_set("deep")


@pytest.mark.parametrize("network", names.NETWORKS)
def test_order_channels_and_sizes_are_those_of_the_maps(network):
    every = layer_names(network)
    assert names.ordered(every[::-1] + every[:3]) == every
    assert names.deepest(["relu2_1", "pool2", "conv2_2"]) == "pool2"
    weights = jax.eval_shape(partial(random_weights, network))
    pictures = jax.ShapeDtypeStruct((2, 75, 70, 3), jnp.float32)
    found = jax.eval_shape(lambda w, p: features(w, p, every, NetworkConfig(network)), weights, pictures)
    for layer, values in found.items():
        assert values.shape == (2, *names.map_size(layer, (75, 70)), names.channels(layer))


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        *(("vgg19", "conv1_1"), ("vgg19", "pool1"), ("vgg16", "relu2_2"), ("vgg19", "relu3_4"), ("vgg16", "conv4_1")),
        *(("vgg19", "pool4"), ("vgg19", "relu5_1")),
    ],
)
def test_a_value_depends_on_its_cell_and_a_radius_round_it_and_on_nothing_else(network, layer):
    """Found by the gradient, with average pools, which leave no pixel out; then by changing pixels."""
    radius, stride = names.radius(layer, network), names.stride(layer)
    weights, config = narrow(network), NetworkConfig(network, pooling="average", preprocessing="none")
    cell = -(-radius // stride) + 1
    edge = (2 * cell + 1) * stride
    pictures = jnp.asarray(picture(edge, edge))
    value = jax.jit(lambda p: jnp.square(features(weights, p, (layer,), config)[layer][0, cell, cell]).sum())
    seen = np.abs(np.asarray(jax.grad(value)(pictures))[0]).max(-1) > 0
    first, end = cell * stride - radius, (cell + 1) * stride + radius
    for axis in (0, 1):
        rows = np.flatnonzero(seen.any(axis))
        assert (rows[0], rows[-1]) == (first, end - 1)
    inside = np.zeros((edge, edge, 1), bool)
    inside[first:end, first:end] = True
    assert value(jnp.where(inside, pictures, 1 - pictures)) == value(pictures)
    assert value(pictures.at[0, cell * stride, cell * stride].add(0.5)) != value(pictures)


# ---- maps and gradients


@pytest.mark.subset
@pytest.mark.parametrize("i", range(len(CASES)))
def test_all_maps_equal_those_of_torch(golden, i):
    """Both networks; three pools; both paddings and preprocessings; before and after each ReLU."""
    config = case(i)
    every = layer_names(config.name)
    found = jax.jit(lambda w, p: features(w, p, every, config))(narrow(config.name), picture())
    assert {f"{i}.{layer}" for layer in every} <= golden.keys()
    for layer in every:
        close(sampled(found[layer]), golden[f"{i}.{layer}"])


@pytest.mark.parametrize("i", WITH_GRADIENT)
def test_the_gradient_of_a_style_loss_equals_that_of_torch(golden, i):
    config = case(i)
    loss, gradient = jax.jit(jax.value_and_grad(lambda p: gram_loss(narrow(config.name), p, config)))(picture())
    close(loss, golden[f"{i}.loss"])
    close(gradient[0], golden[f"{i}.gradient"])


def test_a_root_of_nothing_has_a_gradient():
    """Where a convolution gives nothing above 0, cells of the l2 pool are empty."""
    weights = jax.tree.map(lambda w: -jnp.abs(w), random_weights("vgg19", until="conv2_1"))
    config = NetworkConfig(pooling="l2", preprocessing="none")
    pool = lambda p: features(weights, p, ("pool1",), config)["pool1"]  # noqa: E731
    assert not pool(picture()).any()
    assert np.isfinite(jax.jit(jax.grad(lambda p: jnp.square(pool(p) - 1).sum()))(picture())).all()


def test_nothing_beyond_the_deepest_layer_is_needed_or_computed():
    weights = random_weights("vgg19", until="relu2_1")
    assert list(weights) == ["conv1_1", "conv1_2", "conv2_1"]
    traced = str(jax.make_jaxpr(lambda p: features(weights, p, ("relu1_1", "conv2_1"), NetworkConfig()))(picture()))
    assert traced.count("conv_general_dilated[") == 3
    with pytest.raises(ConfigError, match="no conv2_2, which relu2_2 needs"):
        features(weights, picture(), ("relu2_2",), NetworkConfig())
    with pytest.raises(ConfigError, match="vgg16 has no layer 'relu3_4'"):
        features(weights, picture(), ("relu3_4",), NetworkConfig("vgg16"))


@pytest.mark.parametrize(("layer", "least"), [("conv1_1", 1), ("pool1", 2), ("relu5_1", 16), ("pool5", 32)])
def test_pictures_that_are_too_small_are_refused_with_the_smallest_size(layer, least):
    weights, config = narrow("vgg19"), NetworkConfig()
    fitting = jax.ShapeDtypeStruct((1, least, least, 3), jnp.float32)
    assert jax.eval_shape(lambda p: features(weights, p, (layer,), config), fitting)[layer].shape[1:3] == (1, 1)
    if least > 1:
        with pytest.raises(ConfigError, match=f"40x{least - 1} pixels are too small for {layer}.* at least {least}"):
            features(weights, jnp.ones((1, least - 1, 40, 3)), (layer,), config)


def test_pictures_of_a_batch_do_not_see_each_other():
    weights, config = narrow("vgg16"), NetworkConfig("vgg16")
    pair = np.concatenate([picture(seed=1), picture(seed=2)])
    maps = jax.jit(lambda p: features(weights, p, ("relu3_1",), config)["relu3_1"])
    for i in (0, 1):
        close(maps(pair)[i], maps(pair[i : i + 1])[0], 1e-5)


def test_bfloat16_is_near_and_float32_is_as_exact_as_asked():
    weights, layers = narrow("vgg19"), ("relu1_2", "relu3_4")

    def maps(dtype: str, pictures: np.ndarray) -> dict:
        return features(weights, pictures, layers, NetworkConfig(dtype=dtype))

    exact, rough = (jax.jit(partial(maps, dtype))(picture()) for dtype in ("float32", "bfloat16"))
    for layer in layers:
        assert rough[layer].dtype == jnp.bfloat16 and exact[layer].dtype == jnp.float32
        error = np.abs(np.asarray(rough[layer], np.float32) - np.asarray(exact[layer])).mean()
        assert 0 < error < 0.02 * np.abs(np.asarray(exact[layer])).mean()
    assert "Precision.HIGHEST" not in str(jax.make_jaxpr(partial(maps, "float32"))(picture()))
    with jax.default_matmul_precision("highest"):
        assert "Precision.HIGHEST" in str(jax.make_jaxpr(partial(maps, "float32"))(picture()))


def test_the_configuration_is_static_and_checked():
    assert hash(NetworkConfig()) == hash(NetworkConfig())
    for wrong in (dict(name="vgg11"), dict(pooling="mean"), dict(padding="same"), dict(preprocessing="bgr")):
        with pytest.raises(ConfigError, match="is not known"):
            NetworkConfig(**wrong)
    with pytest.raises(ConfigError, match="no classifier"):
        classify(narrow("vgg19"), picture(), NetworkConfig())


# ---- true weights


@pytest.fixture
def true(shared):
    """The true network, as far as relu3_4."""
    return partial(load_network, shared / "weights" / "vgg19_conv1_1_to_conv3_4.npz")


def photographs(shared: Path, count: int, edge: int = 160) -> np.ndarray:
    paths = sorted((shared / "data" / "photos").rglob("*.jpg"))[:count]
    return np.stack([np.asarray(open_picture(path).resize((edge, edge)), np.float32) / 255 for path in paths])


def test_both_preprocessings_are_one_affine_map_of_the_colours_apart(true, shared):
    """The first convolution, turned to RGB and torchvision's units, sees what the original sees of Caffe's."""
    network = true(layers=["relu2_1"], padding="replicate")
    first = {name: np.asarray(value, np.float64) for name, value in network.weights["conv1_1"].items()}
    bgr = first["kernel"][:, :, ::-1]  # for RGB now
    units = 255 * np.array(STD)[:, None]
    shift = (bgr * (255 * np.array(MEAN) - np.array(CAFFE_MEAN)[::-1])[:, None]).sum((0, 1, 2))
    turned = {"kernel": jnp.asarray(bgr * units, jnp.float32), "bias": jnp.asarray(first["bias"] + shift, jnp.float32)}
    config = replace(network.config, preprocessing="torchvision")
    layers, pictures = ("conv1_1", "relu2_1"), photographs(shared, 1)
    other = features({**network.weights, "conv1_1": turned}, pictures, layers, config)
    for layer, values in network.features(pictures, layers).items():
        close(other[layer], values)


def test_the_true_network_is_as_active_as_it_should_be_and_knows_a_texture_again(true, shared):
    """Maps in VGG19's usual range, and second moments by which each half of a picture finds its other half."""
    network = true(layers=["relu3_1"])
    assert network.config.preprocessing == "caffe" and network.config.name == "vgg19"
    pictures = photographs(shared, 4)
    maps = jax.jit(lambda p: network.features(p, ("relu1_1", "relu2_1", "relu3_1")))(pictures)
    for layer, low, high in (("relu1_1", 10, 40), ("relu2_1", 60, 250), ("relu3_1", 70, 280)):
        assert low < maps[layer].mean() < high
        assert 0.2 < (maps[layer] == 0).mean() < 0.7
    halves = np.split(np.asarray(maps["relu3_1"], np.float64), 2, axis=2)
    moments = [np.einsum("bhwc,bhwd->bcd", half, half).reshape(4, -1) for half in halves]
    left, right = (moment / np.linalg.norm(moment, axis=1, keepdims=True) for moment in moments)
    assert ((left @ right.T).argmax(1) == np.arange(4)).all()
