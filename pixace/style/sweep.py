"""What each layer keeps: a sheet of the content found again from one layer, and of the style's texture by one layer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pixace.fields import require
from pixace.opening import PictureSource, open_picture
from pixace.progress import Bar, Progress, silent
from pixace.style.descending import Diverged
from pixace.style.layers import layer_names, parse_layers
from pixace.style.material import Material
from pixace.style.options import make_options
from pixace.style.transfer import TILE, network_of, stylize
from pixace.style.vgg import Network
from pixace.token_table import token_table
from pixace.training.watch import StopSignals

# Each picture is found from noise at one scale; what is given wins.
SETTINGS: dict[str, Any] = dict(
    size="256",
    init="noise",
    min_size=None,
    optimizer="lbfgs",
    steps=100,
    content_distance="normalised",
    content_weight=1.0,
    tv_weight=0.0,
)


class Sweep(NamedTuple):
    """A sheet, the pictures on it that were found, how many were to be, and the signal that ended it early, if any."""

    sheet: Image.Image
    done: int
    total: int
    signal: int | None


def sweep(
    content: PictureSource | None,
    styles: Sequence[PictureSource] = (),
    shown: str = "all",
    *,
    loaded: Network | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> Sweep:
    """A sheet with a column for each layer: one row of contents found again, one of textures.

    Ctrl-C and SIGTERM end it early; the sheet then has what was done until then. Where the loss becomes no number, the
    sheet has the best picture until then, and says so.

    Args:
        content: the picture to find again; None for no such row.
        styles: the pictures whose texture is made; none for no such row.
        shown: names of layers with commas between, or `all`: every ReLU that the network at hand has.
        loaded: a network that is loaded already.
        progress: takes the number of pictures that are done.
        given: fields of `StyleOptions`, over `SETTINGS`.

    Raises:
        ConfigError, PixaceError: as `stylize`.
    """
    settings = {**SETTINGS, **given}
    options = make_options(settings)
    require(content is not None or bool(styles), "a sweep needs a content picture, a style, or both")
    named = () if shown == "all" else tuple(name for name, _ in parse_layers(shown, options.architecture))
    network = loaded or network_of(options, named)
    known = layer_names(network.config.name)
    chosen = named or tuple(n for n in known if n.startswith("relu") and n.replace("relu", "conv") in network.weights)
    pictures: dict[str, Any] = {"content": content} if content is not None else {}
    pictures |= {"style": list(styles)} if styles else {}
    Material(content, styles, [], [], options, TILE).check_edges(chosen)  # not after the first ones are made
    rows: list[list[tuple[np.ndarray, str]]] = []
    wanted = [(kind, layer) for kind in pictures for layer in chosen]
    signal = None
    with StopSignals() as signals, Bar("layers") as bar:
        stopped = lambda: signals.caught is not None  # noqa: E731
        for number, (kind, layer) in enumerate(wanted, 1):
            if layer == chosen[0]:
                first = pictures[kind][0] if kind == "style" else pictures[kind]
                rows.append([(np.asarray(open_picture(first)), kind)])
            own: dict[str, Any] = {"content_layers": "none", "style_layers": "none", f"{kind}_layers": layer}
            if kind == "style":  # which has no content, whose faces or colours could be kept
                own |= {"keep_faces": 0.0, "color": "style"}
            try:
                result = stylize(
                    **{kind: pictures[kind]}, loaded=network, progress=silent, stop=stopped, **{**settings, **own}
                )
                caption = layer
            except Diverged as error:
                result, caption = error.best, f"{layer}, until its loss was no number"
            signal = result.signal or signals.caught
            if signal is not None:
                break
            rows[-1].append((np.asarray(result.to_pil()), caption))
            (progress or bar)(number, len(wanted), f"{kind} of {layer}")
    done = sum(map(len, rows)) - len(rows)
    return Sweep(token_table(rows, 256), done, len(wanted), signal)
