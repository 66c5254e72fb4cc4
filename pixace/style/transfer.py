"""`pixace.stylize`: a picture with the content of one and the style of others, found by descent.

After Gatys, Ecker and Bethge (2016), from coarse to fine as in Crowson's style-transfer-pytorch.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp

from pixace.canvas.sizes import Size
from pixace.fields import require
from pixace.opening import PictureSource
from pixace.progress import Bar, Progress
from pixace.style.descending import Descending, Loss, Step, Stylized
from pixace.style.layers import Weighted, ordered
from pixace.style.material import Material, Scene
from pixace.style.objective import Objective, Terms, measure
from pixace.style.options import StyleOptions, make_options
from pixace.style.vgg import Network
from pixace.style.vgg_weights import load_network
from pixace.style.views import ViewedObjective
from pixace.training.watch import StopSignals

TILE = 1024  # pixels: longest edge that is looked at in one piece, unless the options say otherwise

Pictures = PictureSource | Sequence[PictureSource]


def stylize(
    content: PictureSource | None = None,
    style: Pictures = (),
    *,
    mask: Pictures = (),
    style_mask: Pictures = (),
    loaded: Network | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    **given: Any,
) -> Stylized:
    """Make a picture with the content of one and the style of others.

    Without styles the content is found again from what its maps say (feature inversion), without content the
    style's texture alone. Ctrl-C and SIGTERM end it early; the result is then what has been found so far.

    Args:
        content: a path, address, PIL image or array.
        style: one or several of them.
        mask: for each style a picture of the content's shape, white where in the result the style is to be; where
            none is, the content stays. Without masks the styles are mixed.
        style_mask: for each style a picture of its shape, white where it is looked at.
        loaded: a network that is loaded already, instead of the one that `given` names.
        on_step: is told of every step.
        stop: is asked before every step whether to end here, as Ctrl-C does: for calls from other threads.
        progress: takes the progress of the steps (default: a bar or lines on standard error).
        say: takes a line about what was found in the content (default: to standard error).
        given: fields of `StyleOptions`.

    Raises:
        ConfigError: for options that make no sense, or no picture at all.
        PixaceError: a picture or the network cannot be read, or is too small.
        Diverged: the loss is no number any more; has the best picture until then.
    """
    began = time.monotonic()
    options = make_options(given)
    tile = options.tile or TILE
    material = Material(content, _listed(style), _listed(mask), _listed(style_mask), options, tile)
    content_layers, style_layers = _layers(options, material)
    material.check_edges(ordered(name for name, _ in (*content_layers, *style_layers)))
    keep_faces = options.keep_faces if material.faces else 0.0  # before the network: that takes longer to load
    network = loaded or network_of(options, [name for name, _ in (*content_layers, *style_layers)])
    terms = Terms(
        network.config,
        content_layers,
        style_layers,
        options.content_weight,
        options.style_weight,
        options.tv_weight,
        options.content_distance,
        options.statistic,
        options.tv,
        keep_faces,
    )
    if options.keep_faces:
        (say or partial(print, file=sys.stderr, flush=True))(_told(len(material.faces)))
    loss_at = partial(_loss_at, terms, network, material, tile)
    return descend(material, terms.figures, loss_at, "stylizing", began, on_step, stop, progress)


def descend(
    material: Material,
    figures: tuple[str, ...],
    loss_at: Callable[[Scene, Size], Loss],
    title: str,
    began: float,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> Stylized:
    """Descend until the end, Ctrl-C, SIGTERM or `stop`; what is not said here is as in `Descending`.

    Args:
        title: of the bar that shows progress, where `progress` takes none.
    """
    with StopSignals() as signals, Bar(title) as bar:
        stopped = lambda: signals.caught is not None or stop()  # noqa: E731
        run = Descending(material, figures, loss_at, stopped, on_step, progress or bar)
        return replace(run.go(began), signal=signals.caught)


def network_of(options: StyleOptions, layers: Sequence[str] = (), classifier: bool = False) -> Network:
    """The network that the options name, with these layers, or all it has; errors as `load_network`."""
    return load_network(
        options.network,
        layers=ordered(layers),
        classifier=classifier,
        pooling=options.pooling,
        rescale=options.rescale,
        padding=options.padding,
        preprocessing=options.preprocessing,
        dtype=options.dtype,
    )


def _told(count: int) -> str:
    if not count:
        return "no face found in the content, so --keep_faces keeps nothing"
    return "1 face kept" if count == 1 else f"{count} faces kept"


def _listed(pictures: Pictures) -> list[PictureSource]:
    return list(pictures) if isinstance(pictures, list | tuple) else [pictures]  # type: ignore[list-item]


def _layers(options: StyleOptions, material: Material) -> tuple[Weighted, Weighted]:
    """The layers that count, of content and style: those of terms with a picture and a weight."""
    content, style = options.layers_with_weights
    content = content if material.content is not None and options.content_weight else ()
    style = style if material.styles and options.style_weight else ()
    require(bool(content or style), "nothing is left to be met: both weights are 0, or there are no layers")
    return content, style


def _loss_at(
    terms: Terms, network: Network, material: Material, tile: int, scene: Scene, size: Size
) -> Objective | ViewedObjective:
    """The loss of a scale."""
    options, masks = material.options, scene.style_masks or [None] * len(scene.styles)
    styles = [
        measure(terms, network, jnp.asarray(style), tile, mask)
        for style, mask in zip(scene.styles, masks, strict=True)
        if terms.style
    ]
    content = None if scene.content is None else jnp.asarray(scene.content)
    weights = material.weights
    if options.views:
        return ViewedObjective(
            terms, network, size, tile, content, styles, weights, scene.faces, options.views, options.seed
        )
    return Objective(terms, network, size, tile, content, styles, weights, scene.masks, scene.faces)
