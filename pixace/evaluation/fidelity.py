"""What tokenizing alone costs: the peak signal-to-noise ratio of pictures that went into tokens and back."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pixace.progress import Progress, silent
from pixace.tokenizer import Tokenizer


@dataclass(frozen=True)
class Fidelity:
    """PSNR in dB: of the mean squared error over all values of all pictures, and of the worst and best picture.

    Infinite where nothing is lost.
    """

    psnr: float
    lowest: float
    highest: float


def measure_fidelity(tokenizer: Tokenizer, files: Sequence[str], progress: Progress = silent) -> Fidelity:
    """Read pictures at the model's size, encode and decode them, and compare.

    Raises:
        PixaceError: if a file cannot be read any more.
    """

    def squared_error(file: str) -> float:
        rgb = tokenizer.read(file)
        copy = tokenizer.decode_tokens(tokenizer.encode_rgb(rgb))
        return float(np.mean((rgb.astype(np.float64) - copy) ** 2))

    errors = np.empty(len(files))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for i, error in enumerate(threads.map(squared_error, files)):
            errors[i] = error
            progress(i + 1, len(files))
    return Fidelity(_decibels(errors.mean()), _decibels(errors.max()), _decibels(errors.min()))


def _decibels(error: float) -> float:
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
