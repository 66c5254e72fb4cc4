"""Numbers as colours: dark is little, light is much, and equal steps of the number look like equal steps.

The map is a path through OKLab (Ottosson 2020): lightness grows evenly while the hue turns from blue over red to
yellow.
"""

from functools import cache

import numpy as np

STEPS = 256
LIGHTNESS, HUE, CHROMA = (0.14, 0.96), (285.0, 465.0), 0.19  # hue in degrees: 285 is blue, 465 - 360 = 105 yellow


def colours_of(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers (...) as colours, uint8 (..., 3); those outside [low, high] get the colour of that end."""
    unit = np.clip((np.asarray(values, np.float64) - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    return colour_map()[np.round(unit * (STEPS - 1)).astype(int)]


@cache
def colour_map() -> np.ndarray:
    """The colours from least to most: uint8 (STEPS, 3)."""
    t = np.linspace(0.0, 1.0, STEPS)
    lightness, hue = np.interp(t, (0, 1), LIGHTNESS), np.radians(np.interp(t, (0, 1), HUE))
    chroma = CHROMA * np.sin(np.pi * (0.08 + 0.8 * t))
    return _srgb(lightness, chroma * np.cos(hue), chroma * np.sin(hue))


def _srgb(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """OKLab, (n,) each, to sRGB, uint8 (n, 3); what lies outside is cut off channel by channel."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    linear = np.clip(np.stack([red, green, blue], axis=-1), 0.0, 1.0)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * curved).astype(np.uint8)
