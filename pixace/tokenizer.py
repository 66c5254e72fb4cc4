"""RGB pictures <-> integer tokens: each colour channel is quantised and the codes are packed.

    token = 2 + (first | second << bits[0] | third << (bits[0] + bits[1]))

Ids 0 (`<pad>`, which also starts a picture) and 1 (`<fill>`) are reserved and never stand for a colour.
Pixels are read row by row from the top left. The arithmetic is that of scikit-image's `rgb2hsv` and
`hsv2rgb` on RGB / 255 in float64, with rounding half to even, reproduced to the bit.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache

import numpy as np

from pixace.config import N_RESERVED, TokenizerConfig
from pixace.errors import PixaceError
from pixace.images import PictureSource, load_square

# Below this many pixels the formula is quicker than making the tables (about 25 ms) and looking up.
TABLE_PAYS_FROM = 200_000
CHUNK = 1 << 15  # pixels worked on at a time: small enough to stay in the processor's cache
_TIE = np.uint16(0xFFFF)  # marks table entries whose rounding hangs on the last bit of the float arithmetic


class Tokenizer:
    """Turns pictures into tokens and back, as one `TokenizerConfig` says."""

    def __init__(self, config: TokenizerConfig):
        self.config = config
        self.vocab_size = config.vocab_size

    def read(self, picture: PictureSource) -> np.ndarray:
        """Open anything `pixace.images.open_picture` opens; uint8 (S, S, 3), resized as the model was trained."""
        c = self.config
        return load_square(picture, c.image_size, resize=c.resize, exact=c.exact, background=c.background)

    def encode(self, picture: PictureSource) -> np.ndarray:
        """Tokens of one picture: a path, URL, bytes, PIL image or array; uint16 (T,)."""
        return self.encode_rgb(self.read(picture)).reshape(-1)

    def encode_rgb(self, rgb: np.ndarray) -> np.ndarray:
        """uint8 (..., 3) to uint16 (...), pixel by pixel and without resizing."""
        if rgb.dtype != np.uint8 or rgb.shape[-1:] != (3,):
            raise PixaceError(f"uint8 colours of shape (..., 3) are needed, not {rgb.dtype} {rgb.shape}")
        flat = np.ascontiguousarray(rgb).reshape(-1, 3)
        tokens = np.empty(len(flat), np.uint16)
        pack = _pack_rgb if self.config.tokenizer == "rgb" else self._pack_hsv_for(len(flat))

        def work(start: int) -> None:
            tokens[start : start + CHUNK] = pack(flat[start : start + CHUNK], self.config.bitdepth)

        starts = range(0, len(flat), CHUNK)
        if len(starts) > 3:  # NumPy lets go of the interpreter lock, so threads share the work
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                deque(threads.map(work, starts), maxlen=0)
        else:
            deque(map(work, starts), maxlen=0)
        return tokens.reshape(rgb.shape[:-1])

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (T,) or (B, T) to uint8 RGB (S, S, 3) or (B, S, S, 3); reserved ids are black.

        Raises:
            PixaceError: for ids outside the vocabulary or a length that is not one picture's.
        """
        tokens, size = np.asarray(tokens), self.config.image_size
        if tokens.shape[-1:] != (size * size,):
            raise PixaceError(f"a {size}x{size} picture has {size * size} tokens, not {tokens.shape[-1:]}")
        return self.decode_tokens(tokens).reshape(*tokens.shape[:-1], size, size, 3)

    def decode_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Integer ids (...) to uint8 RGB (..., 3)."""
        tokens = np.asarray(tokens)
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.vocab_size):
            raise PixaceError(f"token ids must be in [0, {self.vocab_size}), found {tokens.min()} to {tokens.max()}")
        return self.colours[tokens]

    @cached_property
    def colours(self) -> np.ndarray:
        """The colour of each id, uint8 (V, 3)."""
        codes, shift, channels = np.arange(self.vocab_size - N_RESERVED), 0, []
        for bits in self.config.bitdepth:
            channels.append(((codes >> shift) & (2**bits - 1)) / (2**bits - 1))
            shift += bits
        unit = np.stack(channels, axis=-1)
        rgb = unit if self.config.tokenizer == "rgb" else _hsv_to_rgb(unit)
        return np.concatenate([np.zeros((N_RESERVED, 3)), np.round(rgb * 255)]).astype(np.uint8)

    @staticmethod
    def _pack_hsv_for(n_pixels: int):
        return _pack_hsv_by_table if n_pixels >= TABLE_PAYS_FROM else _pack_hsv


def psnr(original: np.ndarray, copy: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays of one shape, in dB, from the mean over all values."""
    error = np.mean((original.astype(np.float64) - copy) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def _quantise(unit: np.ndarray, bits: int) -> np.ndarray:
    return np.round(unit * (2**bits - 1)).astype(np.uint16)


def _pack(first: np.ndarray, second: np.ndarray, third: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    return (first | second << np.uint16(bits[0]) | third << np.uint16(bits[0] + bits[1])) + np.uint16(N_RESERVED)


@lru_cache(maxsize=8)
def _rgb_codes(bits: int) -> np.ndarray:
    return _quantise(np.arange(256) / 255, bits)


def _pack_rgb(rgb: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    red, green, blue = (_rgb_codes(bits[i])[rgb[:, i]] for i in range(3))
    return _pack(red, green, blue, bits)


def _pack_hsv(rgb: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """The formula itself. Where two channels share the maximum, the later one decides, as in scikit-image."""
    unit = rgb / 255
    red, green, blue = unit[:, 0], unit[:, 1], unit[:, 2]
    value = unit.max(axis=-1)
    delta = value - unit.min(axis=-1)
    grey = delta == 0
    safe = np.where(grey, 1.0, delta)
    sixths = np.select(
        [blue == value, green == value],
        [4.0 + (red - green) / safe, 2.0 + (blue - red) / safe],
        (green - blue) / safe,
    )
    hue = np.where(grey, 0.0, (sixths / 6.0) % 1.0)
    saturation = np.where(grey, 0.0, delta / np.where(value == 0, 1.0, value))
    return _pack(_quantise(hue, bits[0]), _quantise(saturation, bits[1]), _quantise(value, bits[2]), bits)


def _hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    sector = np.floor(hue * 6)
    f = hue * 6 - sector
    p, q, t = value * (1 - saturation), value * (1 - f * saturation), value * (1 - (1 - f) * saturation)
    choices = [(value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q)]
    sector = sector.astype(np.uint8) % 6
    return np.stack([np.choose(sector, [c[i] for c in choices]) for i in range(3)], axis=-1)


@lru_cache(maxsize=8)
def _hsv_tables(bits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of all integer cases: hue (delta, sector and difference), saturation (maximum, delta), value.

    Hue hangs on which channel is largest, the difference d of the other two and delta = max - min alone;
    saturation on max and delta. So half a million entries cover the 16.7 million colours. Where the exact
    quotient lies half-way between two codes, float arithmetic decides by the colour itself: `_TIE`.
    """
    delta = np.maximum(np.arange(256), 1)[:, None, None]
    sector = np.array([0, 2, 4])[None, :, None]
    difference = np.arange(-255, 256)[None, None, :]
    levels = 2 ** bits[0] - 1
    numerator = ((difference + sector * delta) % (6 * delta)) * levels  # hue * levels = numerator / (6 delta)
    hue = _half_even(numerator, 6 * delta)
    hue[0] = 0
    delta, maximum = np.arange(256)[None, :], np.maximum(np.arange(256), 1)[:, None]
    saturation = _half_even(delta * (2 ** bits[1] - 1), maximum)
    saturation[0] = 0
    value = _quantise(np.arange(256) / 255, bits[2])
    shifted = np.where(saturation == _TIE, _TIE, saturation << np.uint16(bits[0]))
    return hue.reshape(-1), shifted.reshape(-1), (value << np.uint16(bits[0] + bits[1])) + np.uint16(N_RESERVED)


def _half_even(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    code, rest = np.divmod(2 * numerator + denominator, 2 * denominator)
    return np.where(rest == 0, _TIE, code).astype(np.uint16)


def _choose(condition: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """`np.where` for int16 by bit masks, ten times as fast."""
    mask = -condition.astype(np.int16)
    return no ^ ((no ^ yes) & mask)


def _pack_hsv_by_table(rgb: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    hue_codes, saturation_codes, value_codes = _hsv_tables(bits)
    red, green, blue = (np.ascontiguousarray(rgb[:, i]) for i in range(3))
    largest = np.maximum(np.maximum(red, green), blue)
    delta = largest - np.minimum(np.minimum(red, green), blue)
    red, green, blue = red.astype(np.int16), green.astype(np.int16), blue.astype(np.int16)
    index = (green - blue) + np.int16(255)
    index = _choose(largest == green, (blue - red) + np.int16(511 + 255), index)
    index = _choose(largest == blue, (red - green) + np.int16(1022 + 255), index)
    hue = hue_codes.take(delta.astype(np.intp) * 1533 + index)
    saturation = saturation_codes.take((largest.astype(np.intp) << 8) | delta)
    tokens = (hue | saturation) + value_codes.take(largest)
    ties = np.flatnonzero((hue == _TIE) | (saturation == _TIE))
    if len(ties):
        tokens[ties] = _pack_hsv(rgb[ties], bits)
    return tokens
