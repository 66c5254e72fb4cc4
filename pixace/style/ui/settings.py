"""What the page offers to choose, and how it becomes options of a style transfer."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pixace.errors import ConfigError
from pixace.fields import convert, hints_of, require
from pixace.style.layers import LAYER_SETS
from pixace.style.options import DEFAULT_LR, RECIPES, StyleOptions, make_options

# Fields of `StyleOptions`. What names a file or takes much time to explain is left to the command line.
SETTINGS = (
    *("recipe", "layers", "content_weight", "style_weight", "tv_weight", "optimizer", "lr", "steps", "size"),
    *("init", "color", "preprocessing"),
)
FACES = 20.0  # weight of faces that are kept
STARTS = (None, "content", "noise")  # others would be paths or addresses to open


def names_offered() -> tuple[str, ...]:
    """`SETTINGS`, and `keep_faces` where faces can be found (with OpenCV)."""
    faces = "keep_faces" in StyleOptions.__dataclass_fields__ and find_spec("cv2") is not None
    return (*SETTINGS, "keep_faces") if faces else SETTINGS


def describe_settings() -> dict[str, Any]:
    """What the page needs: each recipe's values, a line for each set of layers, and the weight of faces, if any."""
    names = names_offered()
    recipes = {}
    for recipe in RECIPES:
        options = make_options({"recipe": recipe})
        values = {name: getattr(options, name) for name in names}
        recipes[recipe] = {**values, "lr": options.lr or DEFAULT_LR[options.canvas]}
    return {
        "recipes": recipes,
        "layers": {name: entry.help for name, entry in LAYER_SETS.items()},
        "keep_faces": FACES if "keep_faces" in names else None,
    }


def parse_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from JSON as fields of `StyleOptions`, all of the right types.

    Raises:
        ConfigError: one is not offered, is of another type, or makes no sense.
    """
    names, hints = names_offered(), hints_of(StyleOptions)
    if unknown := sorted(given.keys() - set(names)):
        raise ConfigError(f"{unknown[0]} cannot be chosen here; {', '.join(names)} can")
    found = {name: convert(hints[name], name, value) for name, value in given.items()}
    require(found.get("init") in STARTS, f"init={found.get('init')!r}: content or noise is needed here")
    make_options(found)
    return found
