"""How files name the weights of VGG networks, and these weights in one form: kernels HWIO, classifiers (in, out).

Two namings are known: torchvision's, as `features.N.weight` with OIHW kernels (timm has it too, but for the names
of the classifier), with or without batch normalisation; and Keras's, as `block1_conv1_kernel`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pixace.errors import PixaceError
from pixace.style.layers import CHANNELS, GRID, NETWORKS, block_of, layer_names
from pixace.weight_files.stored import Stored

BATCHNORM_EPS = 1e-5
HIDDEN, CLASSES = 4096, 1000
_TORCH = re.compile(r"((?:features\.)?)(\d+)\.weight")
_KERAS = re.compile(r"block(\d)_conv(\d)_kernel")
_FC_PLACES = {"fc6": ("classifier.0", "pre_logits.fc1"), "fc7": ("classifier.3", "pre_logits.fc2")}
_FC_PLACES["fc8"] = ("classifier.6", "head.fc")

Read = Callable[[], dict[str, np.ndarray]]  # gives a layer's kernel and bias


@dataclass(frozen=True)
class Found:
    """What a file holds: which network, the colours it wants, and what reads each layer's weights."""

    network: str
    preprocessing: str
    layers: dict[str, Read] = field(default_factory=dict)


def recognise(arrays: dict[str, Stored], likely: str = "vgg19") -> Found:
    """The VGG network that arrays belong to.

    Up to the third convolution of block 3 both networks are alike; `likely` is then the one that is meant.

    Raises:
        PixaceError: they belong to none.
    """
    networks = sorted(NETWORKS, key=lambda name: name != likely)
    if any(_KERAS.fullmatch(name) for name in arrays):
        return _keras(arrays, networks)
    places = {int(m[2]): m[1] + m[2] for name in arrays if (m := _TORCH.fullmatch(name)) and _rank(arrays, name) == 4}
    normalised = any(name.endswith(".running_mean") for name in arrays)
    for network in networks:
        expected = _torch_places(network, normalised)
        if places and sorted(places) == list(expected.values())[: len(places)]:
            found = Found(network, "torchvision")
            for layer, place in list(expected.items())[: len(places)]:
                after = places[place].removesuffix(str(place)) + str(place + 1) if normalised else None
                found.layers[layer] = _torch_convolution(arrays, layer, places[place], after)
            found.layers.update(_torch_classifier(arrays))
            return found
    names = ", ".join(list(arrays)[:4]) or "no arrays"
    raise PixaceError(
        f"its arrays ({names} ...) are not those of VGG16 or VGG19 as torchvision, timm or Keras have them"
    )


def _rank(arrays: dict[str, Stored], name: str) -> int:
    return len(arrays[name].shape)


def _torch_places(network: str, normalised: bool) -> dict[str, int]:
    """The index in `features` of each convolution; a normalisation is one more module after it."""
    places, place = {}, 0
    for layer in layer_names(network):
        if layer.startswith("conv"):
            places[layer] = place
            place += normalised
        place += 1
    return places


def _inputs(layer: str) -> int:
    if layer == "conv1_1":
        return 3
    return CHANNELS[block_of(layer) - 1 - layer.endswith("_1")]


def _array(arrays: dict[str, Stored], name: str, *shapes: tuple[int, ...]) -> np.ndarray:
    """An array, float32, of one of these shapes."""
    if name not in arrays:
        raise PixaceError(f"{name} is missing")
    if arrays[name].shape not in shapes:
        raise PixaceError(f"{name} has the shape {arrays[name].shape}; a VGG network has {shapes[0]} there")
    values = arrays[name].read().astype(np.float32)
    if not np.isfinite(values).all():
        raise PixaceError(f"{name} holds values that are no finite numbers")
    return values


def _keras(arrays: dict[str, Stored], networks: list[str]) -> Found:
    layers = {f"conv{m[1]}_{m[2]}" for name in arrays if (m := _KERAS.fullmatch(name))}
    for network in networks:
        convolutions = [name for name in layer_names(network) if name.startswith("conv")]
        if layers == set(convolutions[: len(layers)]):
            found = Found(network, "caffe")
            for layer in convolutions[: len(layers)]:
                found.layers[layer] = _keras_convolution(arrays, layer)
            return found
    raise PixaceError(f"its {len(layers)} convolutions are not the first ones of VGG16 or VGG19")


def _keras_convolution(arrays: dict[str, Stored], layer: str) -> Read:
    prefix, outputs = f"block{layer[4]}_conv{layer[6]}", CHANNELS[block_of(layer) - 1]

    def read() -> dict[str, np.ndarray]:
        kernel = _array(arrays, f"{prefix}_kernel", (3, 3, _inputs(layer), outputs))
        return {"kernel": kernel, "bias": _array(arrays, f"{prefix}_bias", (outputs,))}

    return read


def _torch_convolution(arrays: dict[str, Stored], layer: str, place: str, normalisation: str | None) -> Read:
    outputs = CHANNELS[block_of(layer) - 1]

    def read() -> dict[str, np.ndarray]:
        kernel = _array(arrays, f"{place}.weight", (outputs, _inputs(layer), 3, 3)).transpose(2, 3, 1, 0)
        bias = _array(arrays, f"{place}.bias", (outputs,))
        if normalisation is not None:  # y = (x - mean) * gain + shift becomes part of the convolution
            parts = ("weight", "bias", "running_mean", "running_var")
            scale, shift, mean, variance = (_array(arrays, f"{normalisation}.{part}", (outputs,)) for part in parts)
            gain = scale / np.sqrt(variance + BATCHNORM_EPS)
            kernel, bias = kernel * gain, (bias - mean) * gain + shift
        return {"kernel": kernel, "bias": bias}

    return read


def _torch_classifier(arrays: dict[str, Stored]) -> dict[str, Read]:
    """Readers of fc6, fc7 and fc8, if the file has them; fc6 takes its inputs row by row, the channels of each cell."""
    sizes = {"fc6": (CHANNELS[-1], GRID, HIDDEN), "fc7": (HIDDEN, 1, HIDDEN), "fc8": (HIDDEN, 1, CLASSES)}
    places = {name: [place for place in _FC_PLACES[name] if f"{place}.weight" in arrays] for name in sizes}
    if not all(places.values()):
        return {}

    def reader(name: str) -> Read:
        depth, edge, outputs = sizes[name]
        place, inputs = places[name][0], depth * edge * edge

        def read() -> dict[str, np.ndarray]:
            weights = _array(arrays, f"{place}.weight", (outputs, inputs), (outputs, depth, edge, edge))
            kernel = weights.reshape(outputs, depth, edge, edge).transpose(2, 3, 1, 0).reshape(inputs, outputs)
            return {"kernel": kernel, "bias": _array(arrays, f"{place}.bias", (outputs,))}

        return read

    return {name: reader(name) for name in sizes}
