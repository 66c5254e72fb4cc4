"""What tokenizing alone costs: the peak signal-to-noise ratio of pictures that went into tokens and back."""

import math
from dataclasses import dataclass

import numpy as np

from pixace.dataset import TokenSet


@dataclass(frozen=True)
class Fidelity:
    """PSNR in dB: of the mean squared error over all values of all pictures, and of the worst and best picture.

    Infinite where nothing is lost.
    """

    psnr: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, pictures: TokenSet) -> "Fidelity":
        """From the errors that were measured when the pictures were tokenised."""
        assert pictures.facts is not None
        errors = np.asarray(pictures.facts["error"], np.float64)
        return cls(_decibels(errors.mean()), _decibels(errors.max()), _decibels(errors.min()))


def _decibels(error: float) -> float:
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
