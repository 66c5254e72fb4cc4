"""What a layer, or one of its channels, sees in a picture, made stronger there: a shallow DeepDream.

After Mordvintsev, Olah and Tyka, Inceptionism (2015): descent makes the activations larger, and the picture turns into
what the layer looks for.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from pixace.canvas.sizes import Size
from pixace.errors import ConfigError
from pixace.fields import require
from pixace.opening import PictureSource
from pixace.progress import Progress
from pixace.style.descending import Loss, Step, Stylized
from pixace.style.layers import channels, parse_layer
from pixace.style.losses import total_variation
from pixace.style.material import Material, Scene
from pixace.style.options import StyleOptions, make_options
from pixace.style.transfer import TILE, descend, network_of
from pixace.style.vgg import Network, alike_features

# A few short steps at one scale, and nothing that smooths. What is given wins.
SETTINGS: dict[str, Any] = dict(steps=30, lr=0.01, min_size=None, average=0.0, tv_weight=0.0)
FIGURES = ("loss", "activation", "tv")


def dream(
    content: PictureSource,
    target: str,
    *,
    loaded: Network | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    **given: Any,
) -> Stylized:
    """A picture with more of what a layer looks for.

    Args:
        content: the picture to begin with, unless `init` says otherwise; the result has its shape.
        target: a layer such as relu3_3, or one of its channels, counted from 0: `relu3_3,17`.
        loaded, on_step, stop, progress: as `stylize`.
        given: fields of `StyleOptions`, over `SETTINGS`: those of the network, the size, the canvas and the descent.

    Raises:
        ConfigError: there is no such layer or channel, or an option makes no sense.
        PixaceError, Diverged: as `stylize`.
    """
    began = time.monotonic()
    options = make_options({**SETTINGS, **given})
    layer, channel = parse_target(target, options)
    tile = options.tile or TILE
    material = Material(content, [], [], [], options, tile)
    material.check_edges([layer])
    require(
        max(material.size) <= tile, f"--size: --dream looks at a picture in one piece, of up to --tile={tile} pixels"
    )
    network = loaded or network_of(options, [layer])
    loss = partial(_evaluate, network.config, layer, channel, options.tv, options.tv_weight, network.weights)

    def loss_at(scene: Scene, size: Size) -> Loss:
        return loss

    return descend(material, FIGURES, loss_at, "dreaming", began, on_step, stop, progress)


def parse_target(target: str, options: StyleOptions) -> tuple[str, int | None]:
    """The layer and the channel, None for all, that `target` names; raises `ConfigError` if there is none."""
    name, comma, number = target.partition(",")
    layer = parse_layer(name, options.architecture)
    if not comma:
        return layer, None
    most = channels(layer) - 1
    if not number.strip().isdecimal() or int(number) > most:
        raise ConfigError(f"{target!r}: a channel of {layer} is a number from 0 to {most}")
    return layer, int(number)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _evaluate(
    config: Any, layer: str, channel: int | None, tv: str, tv_weight: float, weights: Any, picture: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The `FIGURES` of a picture (H, W, 3) and the gradient of its loss: minus the root of the mean square."""

    def loss(picture: jax.Array) -> tuple[jax.Array, jax.Array]:
        seen = alike_features(weights, picture[None], (layer,), config)[layer].astype(jnp.float32)
        seen = seen if channel is None else seen[..., channel]
        square = jnp.square(seen).mean()
        activation = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        rough = total_variation(picture, tv)
        whole = tv_weight * rough - activation
        return whole, jnp.stack([whole, activation, rough])

    gradient, figures = jax.grad(loss, has_aux=True)(picture)
    return figures, gradient
