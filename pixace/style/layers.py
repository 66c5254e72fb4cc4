"""The layers of the VGG networks: their names, where they are, what they see of a picture, and sets of them.

A layer is `conv4_2` (the map before its ReLU), `relu4_2` (after it) or `pool4`: block 4, second convolution
(Simonyan and Zisserman, https://arxiv.org/abs/1409.1556). All convolutions are 3x3, all pools 2x2.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pixace.errors import ConfigError
from pixace.fields import require

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # of each block
NETWORKS = tuple(CONVOLUTIONS)
CHANNELS = (64, 128, 256, 512, 512)  # of each block's maps
GRID = 7  # cells an edge that the classifier sees of the last pool

Weighted = tuple[tuple[str, float], ...]  # layers with their weights

_NAME = re.compile(r"(conv|relu)(_?)([1-5])_([1-9])|(pool)([1-5])")


def layer_names(network: str = "vgg19") -> tuple[str, ...]:
    """All layers in the order of the network; their places are the indices of torchvision's `features`."""
    require(network in NETWORKS, f"network={network!r} is not known; choose one of {', '.join(NETWORKS)}")
    names: list[str] = []
    for block, count in enumerate(CONVOLUTIONS[network], 1):
        for i in range(1, count + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return tuple(names)


def parse_layer(text: str, network: str = "vgg19") -> str:
    """The name of a layer that is written in any of the usual ways.

    `conv4_2` is the map before the ReLU, `relu4_2` and `relu_4_2` after it; `conv_4_2` is too, as in the source
    project that writes it so. A number is an index of torchvision's `features`: of a convolution, its map before
    the ReLU. (A project whose ReLUs work in place finds the map after it there: write the index of the ReLU.)

    Raises:
        ConfigError: the network has no such layer; it says which it has.
    """
    names, wanted = layer_names(network), text.strip()
    if wanted.isdecimal() and int(wanted) < len(names):
        return names[int(wanted)]
    if match := _NAME.fullmatch(wanted):
        kind, underscore, block, place, pool, after = match.groups()
        kind = "relu" if underscore else kind
        name = f"{pool}{after}" if pool else f"{kind}{block}_{place}"
        if name in names:
            return name
    blocks = ", ".join(f"conv{block}_1 to {block}_{count}" for block, count in enumerate(CONVOLUTIONS[network], 1))
    raise ConfigError(
        f"{network} has no layer {text!r}; it has {blocks}, relu in place of conv for the maps after the ReLU, "
        f"pool1 to pool5, and 0 to {len(names) - 1} for torchvision's indices"
    )


def parse_layers(text: str, network: str = "vgg19") -> Weighted:
    """Layers with weights, such as `relu1_1:256,relu2_1:64`; a layer without a weight gets 1; no text, no layers.

    Raises:
        ConfigError: for a layer that the network lacks or that is given twice, or a weight that is not above 0.
    """
    found: dict[str, float] = {}
    for part in text.split(",") if text.strip() else ():
        name, colon, number = part.partition(":")
        layer = parse_layer(name, network)
        require(layer not in found, f"{text!r} names {layer} twice")
        try:
            found[layer] = float(number) if colon else 1.0
        except ValueError:
            found[layer] = math.nan
        require(0 < found[layer] < math.inf, f"{part.strip()!r}: the weight of a layer is a number above 0")
    return tuple(found.items())


@dataclass(frozen=True)
class LayerSet:
    """Layers that go together; the weights of the style layers add up to 1, and so do those of the content layers."""

    content: Weighted
    style: Weighted
    help: str

    @property
    def names(self) -> tuple[str, ...]:
        """All layers, in the order of the network."""
        return tuple(sorted({name for name, _ in self.content + self.style}, key=_place))


def _shares(weights: dict[str, float]) -> Weighted:
    """Weights that add up to 1."""
    total = sum(weights.values())
    return tuple((name, weight / total) for name, weight in weights.items())


def _even(*names: str) -> Weighted:
    return _shares(dict.fromkeys(names, 1.0))


LAYER_SETS = {
    "default": LayerSet(
        _even("relu4_2"),
        _shares({"relu1_1": 256, "relu2_1": 64, "relu3_1": 16, "relu4_1": 4, "relu5_1": 1}),
        "the first map of each block, fine ones first: smooth, detailed pictures",
    ),
    "shallow": LayerSet(
        _even("relu3_3"),
        _shares({"relu1_1": 256, "relu2_1": 64, "relu3_1": 16, "relu3_3": 4}),
        "nothing beyond block 3: little memory, small files of weights, texture rather than large shapes",
    ),
    "gatys": LayerSet(
        _even("relu4_2"),
        _even("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "the first map of each block, all alike, as in Gatys, Ecker and Bethge's paper",
    ),
    "blocks": LayerSet(
        _even("relu4_2"),
        _even("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        "late maps of blocks 1 to 4, all alike: usual with vgg16",
    ),
    "johnson": LayerSet(
        _even("relu3_3"),
        _even("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        "as blocks, with the content of relu3_3: for networks trained for one style (vgg16)",
    ),
    "article": LayerSet(
        _even("relu5_1"),
        _even("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "as gatys, with the content of relu5_1, which keeps less of it",
    ),
    "imstack": LayerSet(
        _even("conv4_2"),
        _even("relu2_1", "relu2_2", "relu3_1", "relu3_2", "conv4_1"),
        "middle maps, two of them before the ReLU: for stacks of layers (vgg16)",
    ),
}


def find_layer_set(name: str) -> LayerSet:
    """The set of that name; raises `ConfigError`, which lists them, for another."""
    require(name in LAYER_SETS, f"layers={name!r}: there is no such set of layers; there are {', '.join(LAYER_SETS)}")
    return LAYER_SETS[name]


def deepest(layers: Iterable[str]) -> str:
    """The last of some layers in the order of the network."""
    return max(layers, key=_place)


def ordered(layers: Iterable[str]) -> tuple[str, ...]:
    """Layers in the order of the network, each once."""
    return tuple(sorted(set(layers), key=_place))


def block_of(layer: str) -> int:
    """The block of a layer, 1 to 5."""
    return int(layer[4])


def channels(layer: str) -> int:
    """Channels of a layer's map."""
    return CHANNELS[block_of(layer) - 1]


def stride(layer: str) -> int:
    """Pixels of the picture to one step in a layer's map, down or across; also the smallest edge that it can see."""
    return 2 ** (block_of(layer) - (not layer.startswith("pool")))


def map_size(layer: str, size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a layer's map of a picture (H, W): pools leave out odd last rows and columns."""
    return size[0] // stride(layer), size[1] // stride(layer)


def radius(layer: str, network: str = "vgg19") -> int:
    """Pixels beyond its own cell, on each side, that a value of a layer depends on.

    The cell of row y is the rows y * stride to (y + 1) * stride - 1 of the picture; columns likewise. A convolution
    looks one step beyond, which is `stride` pixels; a pool looks at its own cell alone.
    """
    names = layer_names(network)
    until = names[: names.index(parse_layer(layer, network)) + 1]
    return sum(stride(name) for name in until if name.startswith("conv"))


def _place(layer: str) -> tuple[int, ...]:
    """What orders layers, in either network."""
    return (block_of(layer), 9, 0) if layer.startswith("pool") else (block_of(layer), int(layer[6]), layer[0] == "r")
