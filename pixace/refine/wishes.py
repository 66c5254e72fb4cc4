"""What else may be asked of a refined picture: the style of another."""

from typing import Any

import jax.numpy as jnp

from pixace.opening import PictureSource
from pixace.refine.refine import Wish
from pixace.style.material import Material
from pixace.style.objective import Objective, Terms, measure
from pixace.style.options import make_options
from pixace.style.transfer import TILE, network_of


def style_wish(style: PictureSource, size: int, **given: Any) -> Wish:
    """The style of a picture, for pictures of `size` pixels an edge.

    Args:
        style: a path, address, PIL image or array.
        size: E.
        given: fields of `StyleOptions`: network, layers, style_layers, statistic, style_scale, pooling ...

    Raises:
        ConfigError: an option makes no sense.
        PixaceError: the picture or the network cannot be read, or it is too small.
    """
    options = make_options({**given, "size": f"{size}x{size}", "min_size": None})
    tile = options.tile or TILE
    material = Material(None, [style], [], [], options, tile)
    layers = options.layers_with_weights[1]
    material.check_edges([name for name, _ in layers])
    network = network_of(options, [name for name, _ in layers])
    terms = Terms(network.config, (), layers, 0.0, 1.0, 0.0, options.content_distance, options.statistic, options.tv)
    wanted = measure(terms, network, jnp.asarray(material.scene((size, size)).styles[0]), tile)
    return Objective(terms, network, (size, size), tile, None, [wanted], [1.0])
