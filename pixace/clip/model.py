"""A CLIP as two pure functions: the unit vectors of pictures and of texts, whose products say how well they agree.

Legend: B pictures or texts, H, W pixels, T tokens, S entries of the space.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.clip.blocks import Weights
from pixace.clip.config import ClipConfig, ConvnetConfig, ResnetConfig, VitConfig
from pixace.clip.convnet import convnet, convnet_shapes
from pixace.clip.resnet import resnet, resnet_shapes
from pixace.clip.text import text, text_shapes
from pixace.clip.vit import vit, vit_shapes

# Of the pictures that OpenAI trained on, RGB in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SCALE = 100.0  # what OpenAI's products were multiplied by at the end of training; a similarity of 25 is a good one


@dataclass(frozen=True)
class Clip:
    """A CLIP with its weights.

    Attributes:
        weights: `image` and `text`, as `clip_shapes` lists them.
        config: the sizes.
        tokenize: tokens int32 (B, T) of texts; raises `PixaceError` where the files for it are missing.
        name: for people.
        dtype: what the towers compute in; vectors are float32.
    """

    weights: Weights
    config: ClipConfig
    tokenize: Callable[[list[str]], np.ndarray]
    name: str
    dtype: str = "float32"

    def encode_image(self, pictures: jax.Array) -> jax.Array:
        """Unit vectors (B, S) of pictures (B, H, W, 3), RGB in [0, 1]; any size that the tower takes."""
        return encode_image(self.weights["image"], self.config, self.dtype, pictures)

    def encode_text(self, texts: list[str]) -> jax.Array:
        """Unit vectors (B, S) of texts."""
        return encode_text(self.weights["text"], self.config, self.dtype, jnp.asarray(self.tokenize(texts)))

    @property
    def image_size(self) -> int:
        """Edge of the pictures that its image tower was trained on, in pixels."""
        return self.config.image.image_size


@partial(jax.jit, static_argnums=(1, 2))
def encode_image(weights: Weights, config: ClipConfig, dtype: str, pictures: jax.Array) -> jax.Array:
    """Unit vectors, float32 (B, S), of pictures (B, H, W, 3), RGB in [0, 1]."""
    normal = ((pictures - jnp.array(MEAN)) / jnp.array(STD)).astype(dtype)
    if isinstance(config.image, ResnetConfig):
        return unit(resnet(weights, normal, config.image))
    if isinstance(config.image, ConvnetConfig):
        return unit(convnet(weights, normal, config.image, config.activation))
    return unit(vit(weights, normal, config.image, config.activation))


@partial(jax.jit, static_argnums=(1, 2))
def encode_text(weights: Weights, config: ClipConfig, dtype: str, tokens: jax.Array) -> jax.Array:
    """Unit vectors, float32 (B, S), of tokens, int32 (B, T)."""
    return unit(text(weights, tokens, config.text, config.activation, jnp.dtype(dtype)))


def unit(vectors: jax.Array) -> jax.Array:
    """Vectors (..., S), float32, of length 1."""
    exact = vectors.astype(jnp.float32)
    return exact / jnp.maximum(jnp.linalg.norm(exact, axis=-1, keepdims=True), 1e-12)


def clip_shapes(config: ClipConfig) -> dict[str, Any]:
    """The shapes of all weights, as a tree of tuples."""
    shapes = {ResnetConfig: resnet_shapes, ConvnetConfig: convnet_shapes, VitConfig: vit_shapes}[type(config.image)]
    return {"image": shapes(config.image, config.space), "text": text_shapes(config.text, config.space)}  # type: ignore[arg-type]
