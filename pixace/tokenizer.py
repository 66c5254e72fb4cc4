"""RGB pictures <-> integer tokens: each colour channel is quantised and the codes are packed.

    token = 2 + (first | second << bits[0] | third << (bits[0] + bits[1]))

Ids 0 (`<pad>`, which also starts a picture) and 1 (`<fill>`) are reserved and never stand for a colour.
Pixels are read row by row from the top left. The arithmetic is that of scikit-image's `rgb2hsv` and
`hsv2rgb` on RGB / 255 in float64, with rounding half to even, reproduced to the bit.
"""

from functools import cached_property, lru_cache

import numpy as np

from pixace.config import N_RESERVED, TokenizerConfig
from pixace.errors import PixaceError
from pixace.images import PictureSource, load_square

TABLE_PAYS_FROM = 200_000  # pixels a tokenizer must have seen: for fewer, making the tables costs more than it saves
CHUNK = 1 << 17  # pixels worked on at a time: small enough to stay in the processor's cache
_TIE = np.uint16(0xFFFF)  # marks hues whose rounding hangs on the last bit of the float arithmetic
# Hue times 6, by which of red >= green (1), green >= blue (2) and blue >= red (4) hold: it starts at so many
# sixths of the circle and grows or falls with (middle - smallest) / (largest - smallest). 0 cannot be, 7 is grey.
_START = np.array([0, 6, 2, 0, 4, 4, 2, 0], np.int32)
_SIGN = np.array([0, -1, -1, 1, -1, 1, 1, 0], np.int32)


class Tokenizer:
    """Turns pictures into tokens and back, as one `TokenizerConfig` says."""

    def __init__(self, config: TokenizerConfig):
        self.config = config
        self.vocab_size = config.vocab_size
        self._n_seen = 0  # pixels so far

    def read(self, picture: PictureSource) -> np.ndarray:
        """Open anything `pixace.images.open_picture` opens; uint8 (S, S, 3), resized as the model was trained."""
        c = self.config
        return load_square(picture, c.image_size, resize=c.resize, exact=c.exact, background=c.background)

    def encode(self, picture: PictureSource) -> np.ndarray:
        """Tokens of one picture: a path, URL, bytes, PIL image or array; uint16 (T,). Errors as `open_picture`."""
        return self.encode_rgb(self.read(picture)).reshape(-1)

    def encode_rgb(self, rgb: np.ndarray) -> np.ndarray:
        """uint8 (..., 3) to uint16 (...), pixel by pixel and without resizing."""
        if rgb.dtype != np.uint8 or rgb.shape[-1:] != (3,):
            raise PixaceError(f"uint8 colours of shape (..., 3) are needed, not {rgb.dtype} {rgb.shape}")
        flat = rgb.reshape(-1, 3)
        tokens = np.empty(len(flat), np.uint16)
        self._n_seen += len(flat)
        if self.config.tokenizer == "rgb":
            pack = _pack_rgb
        else:
            pack = _pack_hsv_by_table if self._n_seen >= TABLE_PAYS_FROM else _pack_hsv
        for start in range(0, len(flat), CHUNK):
            tokens[start : start + CHUNK] = pack(flat[start : start + CHUNK], self.config.bitdepth)
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
        """Integer ids (...) to uint8 RGB (..., 3); raises `PixaceError` for ids outside the vocabulary."""
        tokens = np.asarray(tokens)
        if tokens.dtype.kind not in "iu":
            raise PixaceError(f"token ids are whole numbers, not {tokens.dtype}")
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
    """The formula itself, colour by colour."""
    unit = _planes(rgb) / 255
    value = unit.max(axis=0)
    saturation = _saturation(value, unit.min(axis=0))
    return _pack(_quantise(_hue(unit), bits[0]), _quantise(saturation, bits[1]), _quantise(value, bits[2]), bits)


def _planes(rgb: np.ndarray) -> np.ndarray:
    """(N, 3) as (3, N): each channel in one piece."""
    return np.ascontiguousarray(rgb.T)


def _hue(unit: np.ndarray) -> np.ndarray:
    """Hue of colours (3, N), all in [0, 1]. Of channels that share the maximum the last decides, as in scikit-image."""
    red, green, blue = unit
    value = unit.max(axis=0)
    delta = value - unit.min(axis=0)
    grey = delta == 0
    safe = np.where(grey, 1.0, delta)
    sixths = np.where(green == value, 2.0 + (blue - red) / safe, (green - blue) / safe)
    sixths = np.where(blue == value, 4.0 + (red - green) / safe, sixths)
    return np.where(grey, 0.0, (sixths / 6.0) % 1.0)


def _saturation(value: np.ndarray, smallest: np.ndarray) -> np.ndarray:
    """Saturation by the largest and the smallest channel, both in [0, 1]; 0 for black."""
    return (value - smallest) / np.where(value == 0, 1.0, value)


def _hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    sector = np.floor(hue * 6)
    f = hue * 6 - sector
    p, q, t = value * (1 - saturation), value * (1 - f * saturation), value * (1 - (1 - f) * saturation)
    choices = [(value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q)]
    sector = sector.astype(np.uint8) % 6
    return np.stack([np.choose(sector, [c[i] for c in choices]) for i in range(3)], axis=-1)


def _pack_hsv_by_table(rgb: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """The same tokens as `_pack_hsv` by two look-ups, and the formula where the hue is half-way between two codes."""
    hues, others = _hsv_tables(bits)
    red, green, blue = _planes(rgb)
    largest = np.maximum(np.maximum(red, green), blue)
    smallest = np.minimum(np.minimum(red, green), blue)
    middle = red ^ green ^ blue ^ largest ^ smallest  # two of the three cancel out
    order = (red >= green) + (green >= blue) * np.uint8(2) + (blue >= red) * np.uint8(4)
    hue = hues.take(_join(largest - smallest, middle - smallest) + (order.astype(np.intp) << 16))
    ties = np.flatnonzero(hue == _TIE)
    hue[ties] = _quantise(_hue(_planes(rgb[ties]) / 255), bits[0])
    return hue + others.take(_join(largest, smallest))


def _join(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    return (high.astype(np.uint16) << np.uint16(8)) | low


@lru_cache(maxsize=8)
def _hsv_tables(bits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Hue codes by (order, largest - smallest, middle - smallest); all else of a token by (largest, smallest).

    So 590 thousand entries cover the 16.7 million colours. The exact hue hangs on those three alone, but where
    it lies half-way between two codes, float arithmetic decides by the colour itself: `_TIE`.
    """
    start, sign = _START[:, None, None], _SIGN[:, None, None]
    largest, smallest = np.arange(256, dtype=np.int32)[:, None], np.arange(256, dtype=np.int32)
    circle = 6 * np.maximum(largest, 1)
    position = (start * (circle // 6) + sign * smallest) % circle  # of `circle`; here they are the two differences
    twice = 2 * (2 ** bits[0] - 1) * position + circle
    code, rest = np.divmod(twice, 2 * circle)
    hues = np.where(rest == 0, _TIE, code.astype(np.uint16))
    value = largest / 255
    saturation = _saturation(value, np.minimum(smallest / 255, value))
    others = _pack(np.zeros(1, np.uint16), _quantise(saturation, bits[1]), _quantise(value, bits[2]), bits)
    return hues.reshape(-1), others.reshape(-1)
