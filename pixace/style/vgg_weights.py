"""Weights of VGG networks: downloaded, from a file, or random for tests."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.style.layers import CHANNELS, LAYER_SETS, NETWORKS, block_of, deepest, layer_names, ordered, parse_layer
from pixace.style.naming import Found, recognise
from pixace.style.vgg import Network, NetworkConfig, Weights
from pixace.weight_files.listing import list_arrays
from pixace.weight_files.stored import about

CLASSIFIER = ("fc6", "fc7", "fc8")


def load_network(
    source: str | os.PathLike = "vgg19",
    *,
    layers: Sequence[str] = (),
    classifier: bool = False,
    pooling: str = "max",
    rescale: bool = True,
    padding: str = "zero",
    preprocessing: str | None = None,
    dtype: str = "float32",
    offline: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> Network:
    """A network with the weights that some layers need; no others are read.

    Args:
        source: vgg19 or vgg16, downloaded when it is first asked for; or a file with torchvision's or timm's names
            (`.safetensors`; `.pth` and `.pt`, of which nothing is run; with batch normalisation, too, which becomes
            part of the convolutions) or with Keras's (`.npz`).
        layers: those that will be asked for; () for all that the file has.
        classifier: have fc6, fc7 and fc8, too, which take most of the space.
        pooling, rescale, padding, dtype: see `NetworkConfig`.
        preprocessing: None for what the weights need: caffe with Keras's names, torchvision with others.
        offline: download nothing (default: as the environment says).
        say: takes lines for people (default: printed on standard error).

    Raises:
        ConfigError: an option or layer is not known.
        PixaceError: there is no such file, it is damaged or lacks layers, or the download fails.
    """
    config = NetworkConfig("vgg19", pooling, rescale, padding, preprocessing or "torchvision", dtype)
    if source in NETWORKS:  # what is wrong is said before anything is downloaded
        _parsed(layers, str(source))
    path = _find(source, offline, say)
    with about(path):
        found = recognise(list_arrays(path), likely="vgg16" if "vgg16" in path.name.lower() else "vgg19")
    config = replace(config, name=found.network, preprocessing=preprocessing or found.preprocessing)
    needed = _needed(found, layers, classifier, path)
    with about(path):
        return Network({name: _on_device(found.layers[name](), dtype) for name in needed}, config)


def _find(source: str | os.PathLike, offline: bool | None, say: Callable[[str], None] | None) -> Path:
    """The file that is meant, downloaded if it must be."""
    if source not in NETWORKS:
        path = expanded(source)
        if not path.is_file():
            raise PixaceError(f"there is no file of weights {path}; {' and '.join(NETWORKS)} can be downloaded")
        return path
    from pixace.zoo.download import needed_network

    return next(iter(needed_network(str(source), offline=offline, say=say).values()))


def _needed(found: Found, layers: Sequence[str], classifier: bool, path: Path) -> list[str]:
    """The names of the weights to read; raises if the file lacks some."""
    names = layer_names(found.network)
    has = [name for name in names if name in found.layers]
    wanted = _parsed(layers, found.network)
    last = "pool5" if classifier else deepest(wanted or has)
    needed = [name for name in names[: names.index(last) + 1] if name.startswith("conv")]
    get = f"`pixace download {found.network}` fetches all of them, then --network={found.network}"
    if lacking := [name for name in needed if name not in has]:
        text = f"{path} has the layers up to {has[-1]}"
        if classifier:
            raise PixaceError(f"{text}, and no classifier; {get}")
        beyond = [layer for layer in wanted if names.index(layer) >= names.index(lacking[0])]
        shallow = deepest(LAYER_SETS["shallow"].names).replace("relu", "conv") in has
        ways = f"--layers=shallow needs no more, or {get}" if shallow else get
        raise PixaceError(f"{text}, which is not enough for {', '.join(beyond)}; {ways}")
    if classifier and not set(CLASSIFIER) <= found.layers.keys():
        raise PixaceError(f"{path} has no classifier (fc6, fc7, fc8); {get}")
    return [*needed, *(CLASSIFIER if classifier else ())]


def _parsed(layers: Sequence[str], network: str) -> tuple[str, ...]:
    return ordered(parse_layer(layer, network) for layer in layers)


def _on_device(arrays: dict[str, np.ndarray], dtype: str) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array, dtype) for name, array in arrays.items()}


def random_weights(name: str = "vgg19", seed: int = 0, until: str = "pool5") -> Weights:
    """Random weights up to a layer, spread after He et al. (https://arxiv.org/abs/1502.01852): for tests alone.

    They need no download, but what they see in a picture means nothing.
    """
    random, weights, inputs = np.random.default_rng(seed), {}, 3
    names = layer_names(name)
    for layer in names[: names.index(parse_layer(until, name)) + 1]:
        if layer.startswith("conv"):
            outputs = CHANNELS[block_of(layer) - 1]
            kernel = random.standard_normal((3, 3, inputs, outputs), np.float32)
            kernel *= np.sqrt(2 / (9 * inputs)).astype(np.float32)
            bias = 0.1 * random.standard_normal(outputs, np.float32)
            weights[layer] = _on_device({"kernel": kernel, "bias": bias}, "float32")
            inputs = outputs
    return weights
