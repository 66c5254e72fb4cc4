"""What each layer keeps: a sheet of the content found again from one layer, and of the style's texture by one layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pixace.fields import require
from pixace.opening import PictureSource, open_picture
from pixace.progress import Bar, Progress, silent
from pixace.style.layers import layer_names, parse_layers
from pixace.style.options import make_options
from pixace.style.transfer import network_of, stylize
from pixace.style.vgg import Network
from pixace.token_table import token_table

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


def sweep(
    content: PictureSource | None,
    styles: Sequence[PictureSource] = (),
    shown: str = "all",
    *,
    loaded: Network | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> Image.Image:
    """A sheet with a column for each layer: one row of contents found again, one of textures.

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
    rows: list[list[tuple[np.ndarray, str]]] = []
    with Bar("layers") as bar:
        for kind, source in pictures.items():
            picture = source[0] if kind == "style" else source
            rows.append([(np.asarray(open_picture(picture)), kind)])
            for layer in chosen:
                own: dict[str, Any] = {"content_layers": "none", "style_layers": "none", f"{kind}_layers": layer}
                if kind == "style":  # which has no content, whose faces or colours could be kept
                    own |= {"keep_faces": 0.0, "color": "style"}
                result = stylize(**{kind: source}, loaded=network, progress=silent, **{**settings, **own})
                if result.signal is not None:
                    raise KeyboardInterrupt
                rows[-1].append((np.asarray(result.to_pil()), layer))
                (progress or bar)(sum(map(len, rows)) - len(rows), len(pictures) * len(chosen), f"{kind} of {layer}")
    return token_table(rows, 256)
