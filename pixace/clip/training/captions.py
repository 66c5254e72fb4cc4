"""What may truly be said of a picture: its name in several forms, and names of its colours.

Colours are told from the pixels, so that "red heart" is learned from whatever is red, whether its name says so or not.
"""

import colorsys
import re
from collections.abc import Sequence

import numpy as np

from pixace.clip.words import split_words

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
TEMPLATES = ("a {}", "a picture of {}", "a picture of a {}", "a drawing of a {}", "an emoji of a {}", "the {}")
SIDED = re.compile(
    r"left|right|east|west|facing|button|keycap|digit|letter|clock|thirty|sign|symbol|number|input|arrow|mark", re.I
)
SEEN_AS = 0.22  # a colour is named if it has this share of the pixels that are seen
_SKIN = re.compile(r"(medium-light|medium-dark|light|medium|dark) skin tones?", re.I)
_HUES = ((15, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (255, "blue"), (290, "purple"), (340, "pink"))


def plain(name: str) -> str:
    """A name without skin tones."""
    return " ".join(_SKIN.sub("", name).split()) or name


def captions(name: str, family: str, colours: Sequence[str]) -> list[tuple[str, float]]:
    """What may be said of a picture, and how often each is to be said; the first is its name.

    Args:
        name, family: of the picture, and of what it is a variant of.
        colours: those that it has, the largest first.
    """
    bare = plain(name)
    found = {name: 0.3}
    for text, share in ((bare, 0.15), (family, 0.25)):
        found[text] = found.get(text, 0.0) + share
    words = split_words(bare)
    if words and not set(words) & {*COLOURS, "skin"}:
        for i, colour in enumerate(colours):
            share = 1 / (1 + i)
            found[f"{colour} {bare}"] = 0.15 * share
            found[f"{colour} {words[-1]}"] = found.get(f"{colour} {words[-1]}", 0.0) + 0.15 * share
    if colours:
        found.setdefault(colours[0], 0.03)
    return list(found.items())


def colours_of(rgba: np.ndarray) -> list[str]:
    """The names of the colours that fill a good part of a picture, uint8 (H, W, 4), the largest first."""
    pixels = rgba.reshape(-1, 4)
    pixels = pixels[pixels[:, 3] > 127][:, :3]
    if not len(pixels):
        return []
    coarse, counts = np.unique(pixels >> 4, axis=0, return_counts=True)
    shares: dict[str, float] = dict.fromkeys(COLOURS, 0.0)
    for (r, g, b), count in zip(coarse, counts, strict=True):
        shares[_colour(*((16 * int(value) + 8) / 256 for value in (r, g, b)))] += count / len(pixels)
    return [name for name in sorted(COLOURS, key=lambda name: -shares[name]) if shares[name] >= SEEN_AS]


def _colour(red: float, green: float, blue: float) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.22:
        return "black"
    if saturation < 0.16:
        return "white" if value > 0.82 else "grey"
    name = next((name for end, name in _HUES if 360 * hue < end), "red")
    if name == "orange" and (value < 0.72 or saturation < 0.45):
        return "brown"
    if name == "red" and value < 0.45:
        return "brown"
    if name == "red" and saturation < 0.5 and value > 0.8:
        return "pink"
    return name


def vary(text: str, random: np.random.Generator) -> str:
    """A text said a little differently: words left out or in another order, or a few words round it."""
    words = text.split()
    if len(words) > 1 and random.random() < 0.25:
        kept = random.random(len(words)) > 0.25
        words = [word for word, stays in zip(words, kept, strict=True) if stays] or words
    if len(words) > 1 and random.random() < 0.1:
        words = [words[i] for i in random.permutation(len(words))]
    text = " ".join(words)
    return TEMPLATES[random.integers(len(TEMPLATES))].format(text) if random.random() < 0.4 else text
