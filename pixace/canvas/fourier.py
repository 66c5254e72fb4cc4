"""A picture as the waves that it is made of, in logits of colours that hardly depend on each other.

Natural pictures have amplitudes that fall with frequency, and channels that rise and fall together. Where the layer is
scaled for both, one step of descent changes all of it alike, and pictures get less grainy (Olah, Mordvintsev and
Schubert, "Feature Visualization", 2017; its software Lucid has the numbers).

Legend: H, W size of the picture; F = W // 2 + 1 frequencies of a row, the others are their mirror.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import Picture, logit, read_colours
from pixace.canvas.noise import generator
from pixace.canvas.resizing import resize
from pixace.canvas.sizes import Size, whole_size
from pixace.fields import require

NOISE = 0.01  # standard deviation
GAIN = 0.25
# The square root of the covariance of red, green and blue in ImageNet's pictures; the columns are lightness, warm
# against cold, and green against magenta.
_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
COLOURS = _ROOT / np.linalg.norm(_ROOT, axis=0).max()


@jax.tree_util.register_pytree_with_keys_class
class Fourier(Canvas):
    """A spectrum (H, F, 3, 2) of real and imaginary parts as the only layer; all colours are in (0, 1).

    The logits are irfft2(spectrum / frequency ** decay) in uncorrelated colours, times the matrix that mixes red,
    green and blue. The parts from coarse to fine are octaves: the first has less than two waves along the longer edge,
    with the mean, each other twice as many as the one before.
    """

    KIND, NUMBERS = "fourier", ("decay",)

    decay: float

    def __init__(
        self,
        init_image: Picture | None = None,
        out_size: int | Size | None = 256,
        decay: float = 1.0,
        seed: int = 0,
    ):
        """A picture, or noise: nearly grey, as strong in each octave if the decay is 1.

        Args:
            init_image: a path, address, PIL image or array; None for noise.
            out_size: (H, W), or the longer edge of the picture, whose shape is kept (noise is square); None for
                the size that it has.
            decay: the power of the frequency by which the spectrum is divided; the higher, the smoother what descent
                finds.
            seed: of the noise.

        Raises:
            ConfigError: for a size or number that makes no sense.
            PixaceError: the picture cannot be read.
        """
        require(0 <= decay <= 4, f"decay={decay:g}: 0 to 4 are possible")
        self.decay = float(decay)
        if init_image is None:
            self.size = height, width = whole_size(out_size, None)
            shape = (height, width // 2 + 1, 3, 2)
            self.layers = (jnp.asarray(NOISE * generator(seed).standard_normal(shape, np.float32)),)
            return
        colours = read_colours(init_image, out_size)
        self.size = colours.shape[0], colours.shape[1]
        waves = np.fft.rfft2(logit(colours) @ np.linalg.inv(COLOURS).T, axes=(0, 1))
        waves /= self._amplitudes()[..., None]
        self.layers = (jnp.asarray(np.stack([waves.real, waves.imag], -1), jnp.float32),)

    def __call__(self) -> jax.Array:
        return jax.nn.sigmoid(self._logits(self._amplitudes()))

    @property
    def depth(self) -> int:
        """The number of octaves."""
        height, width = self.size
        highest = np.hypot(height // 2 / height, width // 2 / width)
        return int(_octaves(highest, self.size)) + 1

    def _coarse(self, n_parts: int, size: Size) -> jax.Array:
        logits = self._logits(self._amplitudes() * (_octaves(_frequencies(self.size), self.size) < n_parts))
        return jax.nn.sigmoid(resize(logits, size, "area"))

    def _parts(self) -> Sequence[jax.Array]:
        octaves, amplitudes = _octaves(_frequencies(self.size), self.size), self._amplitudes()
        return [jax.nn.sigmoid(self._logits(amplitudes * (octaves == i))) for i in range(self.depth)]

    def _fits(self) -> bool:
        shape = (self.size[0], self.size[1] // 2 + 1, 3, 2)
        return [layer.shape for layer in self.layers] == [shape] and 0 <= self.decay <= 4

    def _amplitudes(self) -> np.ndarray:
        """What the spectrum is multiplied by, (H, F)."""
        height, width = self.size
        frequencies = np.maximum(_frequencies(self.size), 1 / max(self.size))  # the mean has none
        return GAIN * np.sqrt(height * width) / frequencies**self.decay

    def _logits(self, amplitudes: np.ndarray) -> jax.Array:
        scaled = self.layers[0] * amplitudes.astype(np.float32)[..., None, None]
        waves = jax.lax.complex(scaled[..., 0], scaled[..., 1])
        values = jnp.fft.irfft2(waves, self.size, axes=(0, 1))
        return jnp.einsum("hwc,dc->hwd", values, COLOURS.astype(np.float32), precision="highest")


def _frequencies(size: Size) -> np.ndarray:
    """Of each wave, in cycles a pixel: (H, F)."""
    return np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))


def _octaves(frequencies: np.ndarray, size: Size) -> np.ndarray:
    """The octave of each frequency, from 0."""
    waves = np.round(frequencies * max(size), 6)  # along the longer edge; unrounded, 2 could be less than 2
    return np.floor(np.log2(np.maximum(waves, 1))).astype(int)
