"""How files name the weights of a CLIP, the sizes that they tell, and the weights in one form.

Two namings are known. OpenAI's own, which OpenCLIP and CLOOB (https://arxiv.org/abs/2110.11316) share, says
`visual.transformer.resblocks.0.attn.in_proj_weight`; CLOOB's has `module.` before it. The hub's, of the transformers
library, says `vision_model.encoder.layers.0.self_attn.q_proj.weight` and knows vision transformers alone. Kernels
come as (out, in) or (out, in, h, w), and leave as (in, out) or (h, w, in, out).
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pixace.clip.config import HEAD, ClipConfig, ResnetConfig, TextConfig, VitConfig
from pixace.errors import PixaceError
from pixace.weight_files.stored import Stored

BATCHNORM_EPS = 1e-5
Arrays = Mapping[str, Stored]
_HUB = {  # the hub's names of a block's parts, and ours
    "norm1": "layer_norm1",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}
_OPENAI = {"norm1": "ln_1", "out": "attn.out_proj", "norm2": "ln_2", "up": "mlp.c_fc", "down": "mlp.c_proj"}


def recognise(arrays: Arrays) -> tuple[ClipConfig, dict[str, Any]]:
    """The sizes of the CLIP that arrays belong to, and its weights, float32, as `model.clip_shapes` lists them.

    Raises:
        PixaceError: they belong to none, or one of them is missing or has another shape.
    """
    found = {name.removeprefix("module."): array for name, array in arrays.items()}
    if "vision_model.embeddings.patch_embedding.weight" in found:
        return _hub(_Reader(found))
    if "visual.conv1.weight" in found and "token_embedding.weight" in found:
        return _openai(_Reader(found))
    names = ", ".join(list(found)[:4]) or "no arrays"
    raise PixaceError(
        f"its arrays ({names} ...) are not those of a CLIP as OpenAI, OpenCLIP, CLOOB or the hub have them"
    )


class _Reader:
    """Arrays by name; what is missing is an error that says so."""

    def __init__(self, arrays: Mapping[str, Stored]):
        self.arrays = arrays

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.arrays:
            raise PixaceError(f"{name} is missing")
        return self.arrays[name].shape

    def array(self, name: str) -> np.ndarray:
        self.shape(name)
        values = self.arrays[name].read().astype(np.float32)
        if not np.isfinite(values).all():
            raise PixaceError(f"{name} holds values that are no finite numbers")
        return values

    def dense(self, name: str) -> dict[str, np.ndarray]:
        return {"kernel": self.array(f"{name}.weight").T, "bias": self.array(f"{name}.bias")}

    def norm(self, name: str) -> dict[str, np.ndarray]:
        return {"scale": self.array(f"{name}.weight"), "bias": self.array(f"{name}.bias")}

    def count(self, pattern: str) -> int:
        """How many numbers stand where a pattern has its group: they must be 0, 1, 2 ..."""
        numbers = {int(m[1]) for name in self.arrays if (m := re.match(pattern, name))}
        if numbers != set(range(len(numbers))):
            raise PixaceError(f"of the weights {pattern.replace(chr(92), '')} some are missing")
        return len(numbers)


def _edge(count: int, name: str) -> int:
    """The edge of a square of `count` places and one more."""
    edge = round(max(count - 1, 0) ** 0.5)
    if edge * edge != count - 1:
        raise PixaceError(f"{name} has {count} rows, which are not a square and one more")
    return edge


def _hub(reader: _Reader) -> tuple[ClipConfig, dict[str, Any]]:
    def block(prefix: str) -> dict[str, Any]:
        parts = {ours: getattr(reader, "norm" if "norm" in ours else "dense") for ours in _HUB}
        return {ours: parts[ours](f"{prefix}.{theirs}") for ours, theirs in _HUB.items()}

    def blocks(tower: str) -> list[dict[str, Any]]:
        prefix = f"{tower}.encoder.layers"
        return [block(f"{prefix}.{i}") for i in range(reader.count(rf"{prefix}\.(\d+)\."))]

    picture, words = "vision_model.embeddings", "text_model.embeddings"
    image = {
        "patches": reader.array(f"{picture}.patch_embedding.weight").transpose(2, 3, 1, 0),
        "class": reader.array(f"{picture}.class_embedding").reshape(-1),
        "positions": reader.array(f"{picture}.position_embedding.weight"),
        "norm_in": reader.norm("vision_model.pre_layrnorm"),  # spelt so
        "blocks": blocks("vision_model"),
        "norm_out": reader.norm("vision_model.post_layernorm"),
        "projection": reader.array("visual_projection.weight").T,
    }
    text = {
        "tokens": reader.array(f"{words}.token_embedding.weight"),
        "positions": reader.array(f"{words}.position_embedding.weight"),
        "blocks": blocks("text_model"),
        "norm_out": reader.norm("text_model.final_layer_norm"),
        "projection": reader.array("text_projection.weight").T,
    }
    return _config(_vit_config(image), text), {"image": image, "text": text}


def _openai(reader: _Reader) -> tuple[ClipConfig, dict[str, Any]]:
    text = {
        "tokens": reader.array("token_embedding.weight"),
        "positions": reader.array("positional_embedding"),
        "blocks": _openai_blocks(reader, "transformer.resblocks"),
        "norm_out": reader.norm("ln_final"),
        "projection": reader.array("text_projection"),
    }
    if "visual.layer1.0.conv1.weight" in reader.arrays:
        image = _openai_resnet(reader)
        width = image["stem"][2]["kernel"].shape[-1]
        edge = 32 * _edge(len(image["pool"]["positions"]), "visual.attnpool.positional_embedding")
        tower: VitConfig | ResnetConfig = ResnetConfig(edge, width, tuple(len(stage) for stage in image["stages"]))
    else:
        image = {
            "patches": reader.array("visual.conv1.weight").transpose(2, 3, 1, 0),
            "class": reader.array("visual.class_embedding"),
            "positions": reader.array("visual.positional_embedding"),
            "norm_in": reader.norm("visual.ln_pre"),
            "blocks": _openai_blocks(reader, "visual.transformer.resblocks"),
            "norm_out": reader.norm("visual.ln_post"),
            "projection": reader.array("visual.proj"),
        }
        tower = _vit_config(image)
    return _config(tower, text), {"image": image, "text": text}


def _openai_blocks(reader: _Reader, prefix: str) -> list[dict[str, Any]]:
    blocks = []
    for i in range(reader.count(rf"{prefix}\.(\d+)\.")):
        place = f"{prefix}.{i}"
        kernels = np.split(reader.array(f"{place}.attn.in_proj_weight"), 3)
        biases = np.split(reader.array(f"{place}.attn.in_proj_bias"), 3)
        block: dict[str, Any] = {
            name: {"kernel": kernel.T, "bias": bias}
            for name, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True)
        }
        for ours, theirs in _OPENAI.items():
            block[ours] = (reader.norm if "norm" in ours else reader.dense)(f"{place}.{theirs}")
        blocks.append(block)
    return blocks


def _openai_resnet(reader: _Reader) -> dict[str, Any]:
    def convolution(conv: str, norm: str) -> dict[str, np.ndarray]:
        """With its batch normalisation, y = (x - mean) * gain + shift, as part of it."""
        kernel = reader.array(f"{conv}.weight").transpose(2, 3, 1, 0)
        parts = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (reader.array(f"{norm}.{part}") for part in parts)
        gain = scale / np.sqrt(variance + BATCHNORM_EPS)
        return {"kernel": kernel * gain, "bias": shift - mean * gain}

    def block(place: str) -> dict[str, Any]:
        names = zip(("first", "second", "third"), (1, 2, 3), strict=True)
        found = {name: convolution(f"{place}.conv{i}", f"{place}.bn{i}") for name, i in names}
        if f"{place}.downsample.0.weight" in reader.arrays:
            found["shortcut"] = convolution(f"{place}.downsample.0", f"{place}.downsample.1")
        return found

    stages = []
    for stage in (1, 2, 3, 4):
        place = f"visual.layer{stage}"
        stages.append([block(f"{place}.{i}") for i in range(reader.count(rf"{place}\.(\d+)\."))])
    pool = {"positions": reader.array("visual.attnpool.positional_embedding")}
    ends = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "c_proj"}
    return {
        "stem": [convolution(f"visual.conv{i}", f"visual.bn{i}") for i in (1, 2, 3)],
        "stages": stages,
        "pool": {**pool, **{ours: reader.dense(f"visual.attnpool.{theirs}") for ours, theirs in ends.items()}},
    }


def _vit_config(weights: Mapping[str, Any]) -> VitConfig:
    edge, _, _, width = weights["patches"].shape
    grid = _edge(len(weights["positions"]), "the vision transformer's positions")
    return VitConfig(grid * edge, edge, width, len(weights["blocks"]), max(1, width // HEAD))


def _config(image: VitConfig | ResnetConfig, text: Mapping[str, Any]) -> ClipConfig:
    (vocabulary, width), space = text["tokens"].shape, text["projection"].shape[1]
    words = TextConfig(vocabulary, len(text["positions"]), width, len(text["blocks"]), max(1, width // HEAD))
    return ClipConfig(image, words, space)
