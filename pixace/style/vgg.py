"""VGG16 and VGG19 as pure functions: feature maps of pictures, and the scores of the 1000 classes of ImageNet.

Legend: B pictures, H, W their size, h, w size of a map, C its channels.
Simonyan and Zisserman, https://arxiv.org/abs/1409.1556.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pixace.errors import ConfigError
from pixace.fields import check_choices, option, require
from pixace.style.layers import GRID, NETWORKS, block_of, deepest, layer_names, stride
from pixace.style.winograd import convolve

Weights = dict[str, dict[str, jax.Array]]  # {"conv1_1": {"kernel": (3, 3, in, out), "bias": (out,)}, ...}

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]: torchvision
CAFFE_MEAN = (103.939, 116.779, 123.68)  # of BGR in [0, 255]: Caffe and Keras
POOLING_FACTORS = {"max": 1.0, "average": 2.0, "l2": 0.78}  # keep the size of activations: style-transfer-pytorch
# How much larger maps are than with torchvision's colours: Caffe's reach 255, and divided by a deviation of 0.225 they
# would be torchvision's. Maps grow with the colours, losses with their square or fourth power.
MAP_SCALES = {"torchvision": 1.0, "caffe": 255 * 0.225, "none": 1.0}


@dataclass(frozen=True)
class NetworkConfig:
    """What the weights are for, and how they are applied."""

    name: str = option("vgg19", "the network", NETWORKS)
    pooling: str = option("max", "what pools do: max, as in training, average, or l2", ("max", "average", "l2"))
    rescale: bool = option(True, "multiply what average and l2 pools give, so that maps stay as large as with max")
    padding: str = option(
        "zero", "what the first convolution sees beyond the edge; replicate leaves fewer traces", ("zero", "replicate")
    )
    preprocessing: str = option(
        "torchvision", "the colours that the weights were trained on", ("torchvision", "caffe", "none")
    )
    dtype: str = option("float32", "number format of the maps", ("float32", "bfloat16"))

    def __post_init__(self) -> None:
        check_choices(self)


@partial(jax.tree_util.register_dataclass, data_fields=["weights"], meta_fields=["config"])
@dataclass(frozen=True)
class Network:
    """Weights and what they are for; a pytree whose leaves are the weights."""

    weights: Weights
    config: NetworkConfig

    def features(self, pictures: jax.Array, layers: tuple[str, ...]) -> dict[str, jax.Array]:
        """`features` with these weights."""
        return features(self.weights, pictures, layers, self.config)


def features(
    weights: Weights, pictures: jax.Array, layers: tuple[str, ...], config: NetworkConfig
) -> dict[str, jax.Array]:
    """The maps of some layers, each (B, h, w, C) in `config.dtype`; nothing beyond the deepest of them is computed.

    Products of float32 are as exact as `jax.default_matmul_precision` says.

    Args:
        weights: those of `config.name`, at least up to the deepest layer.
        pictures: (B, H, W, 3) RGB in [0, 1].
        layers: names such as relu4_2 (`parse_layer`).
        config: how they are computed.

    Raises:
        ConfigError: the network has no such layer or the weights stop before it, or the pictures are too small.
    """
    names = layer_names(config.name)
    require(bool(layers), "no layer is asked for")
    for layer in layers:
        require(layer in names, f"{config.name} has no layer {layer!r}")
    last = deepest(layers)
    least = stride(last)
    require(
        min(pictures.shape[1:3]) >= least,
        f"pictures of {pictures.shape[2]}x{pictures.shape[1]} pixels are too small for {last}: "
        f"each edge needs at least {least}",
    )
    needed = [name for name in names[: names.index(last) + 1] if name.startswith("conv")]
    for name in needed:
        require(name in weights, f"the weights have no {name}, which {last} needs")
    found: dict[str, jax.Array] = {}
    values = preprocess(pictures, config)
    for block in range(1, block_of(last) + 1):
        own = {name: weights[name] for name in needed if block_of(name) == block}
        wanted = tuple(name for name in layers if block_of(name) == block)
        values, maps = _block(own, values, block=block, wanted=wanted, last=last, config=config)
        found.update(maps)
    return {layer: found[layer] for layer in layers}


def alike_features(
    weights: Weights, pictures: jax.Array, layers: tuple[str, ...], config: NetworkConfig
) -> dict[str, jax.Array]:
    """`features`, as large with Caffe's colours as with torchvision's: one weight of a loss then fits both."""
    scale = MAP_SCALES[config.preprocessing]
    found = features(weights, pictures, layers, config)
    return found if scale == 1 else {layer: values / scale for layer, values in found.items()}


def preprocess(pictures: jax.Array, config: NetworkConfig) -> jax.Array:
    """Pictures (B, H, W, 3), RGB in [0, 1], as the colours that the network was trained on, in `config.dtype`."""
    if config.preprocessing == "torchvision":
        pictures = (pictures - jnp.array(MEAN)) / jnp.array(STD)
    elif config.preprocessing == "caffe":
        pictures = 255 * pictures[..., ::-1] - jnp.array(CAFFE_MEAN)
    return pictures.astype(config.dtype)


def _block(
    weights: Weights, values: jax.Array, *, block: int, wanted: tuple[str, ...], last: str, config: NetworkConfig
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """One block, its pool included, or what of it comes before `last`; and its maps that are wanted."""
    maps: dict[str, jax.Array] = {}
    for name in layer_names(config.name):
        if block_of(name) != block:
            continue
        if name.startswith("conv"):
            padding = config.padding if name == "conv1_1" else "zero"
            values = _convolve(values, weights[name], padding, config.dtype)
        elif name.startswith("relu"):
            values = jax.nn.relu(values)
        else:
            values = pool(values, config)
        if name in wanted:
            maps[name] = values
        if name == last:
            break
    return values, maps


def _convolve(values: jax.Array, weights: dict[str, jax.Array], padding: str, dtype: str) -> jax.Array:
    """A 3x3 convolution of values (B, h, w, in) that keeps their size."""
    kernel, bias = weights["kernel"].astype(dtype), weights["bias"].astype(dtype)
    if padding == "zero":
        return convolve(values, kernel) + bias
    values = jnp.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return lax.conv_general_dilated(values, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias


def pool(values: jax.Array, config: NetworkConfig) -> jax.Array:
    """Values (B, h, w, C) at half their size; an odd last row or column is left out."""
    count, height, width, depth = values.shape[0], values.shape[1] // 2, values.shape[2] // 2, values.shape[3]
    cells = values[:, : 2 * height, : 2 * width].reshape(count, height, 2, width, 2, depth)
    if config.pooling == "max":
        # Less memory and time with its gradient than a maximum over two axes, or a window, takes.
        rows = jnp.maximum(cells[:, :, 0], cells[:, :, 1])
        out = jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])
    elif config.pooling == "average":
        out = cells.mean((2, 4))
    else:
        squares = jnp.square(cells).sum((2, 4))
        empty = squares == 0  # whose root has no gradient
        out = jnp.where(empty, 0, jnp.sqrt(jnp.where(empty, 1, squares)))
    return out * jnp.array(POOLING_FACTORS[config.pooling], out.dtype) if config.rescale else out


def classify(weights: Weights, pictures: jax.Array, config: NetworkConfig) -> jax.Array:
    """Scores (B, 1000) of the classes of ImageNet, before the softmax, float32.

    Args:
        weights: whole, with fc6, fc7 and fc8 (`load_network(classifier=True)`).
        pictures: (B, H, W, 3) RGB in [0, 1]; 224x224 is what the network was trained on.
        config: with max pooling and zero padding it is the network as trained.

    Raises:
        ConfigError: there is no classifier in the weights, or the pictures are smaller than 32x32.
    """
    if not {"fc6", "fc7", "fc8"} <= weights.keys():
        raise ConfigError("the weights have no classifier (fc6, fc7, fc8), which naming classes needs")
    values = features(weights, pictures, ("pool5",), config)["pool5"]
    rows, columns = (_averages(edge) for edge in values.shape[1:3])
    values = jnp.einsum("yh,bhwc,xw->byxc", rows, values, columns, precision="highest")
    values = values.reshape(len(values), -1)
    for name in ("fc6", "fc7", "fc8"):
        values = values @ weights[name]["kernel"] + weights[name]["bias"]
        values = values if name == "fc8" else jax.nn.relu(values)
    return values.astype(jnp.float32)


def _averages(edge: int) -> np.ndarray:
    """What averages `edge` rows in 7 cells, float32 (7, edge): torch's adaptive pool."""
    cells, rows = np.arange(GRID)[:, None], np.arange(edge)
    inside = (rows >= cells * edge // GRID) & (rows < -(-(cells + 1) * edge // GRID))
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)
