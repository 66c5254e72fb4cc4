"""What a run shows of itself: pictures truly drawn, and validation pictures completed from their upper half."""

from typing import Any

import numpy as np
from PIL import Image

from pixace.config import ModelConfig
from pixace.progress import Progress
from pixace.sampling.engine import Engine
from pixace.sampling.filters import make_settings
from pixace.sheets import sheet
from pixace.tokenizer import Tokenizer

SEED, TILE = 0, 96


def draw_previews(
    parameters: Any, config: ModelConfig, tokenizer: Tokenizer, validation: np.ndarray, count: int, progress: Progress
) -> dict[str, Image.Image]:
    """`samples`: new pictures in a row; `completions`: rows of a validation picture, its half, its completion.

    Noise and prompts are the same each time, so that the sheets of one run can be compared.
    """
    engine = Engine(parameters, config)
    prompts = np.asarray(validation[:count])
    half, settings = config.n_positions // 2, make_settings(count)
    settings_prompts = make_settings(len(prompts))
    empty = np.zeros((count, config.n_positions), np.uint16)
    chunk = max(1, config.n_positions // 8)
    total = config.n_positions + half
    drawn, completed = empty, prompts
    for i, drawn in enumerate(engine.stream(empty, 0, settings, SEED, chunk)):
        progress(min(i * chunk, config.n_positions), total)
    for i, completed in enumerate(engine.stream(prompts, half, settings_prompts, SEED, chunk)):
        progress(min(config.n_positions + i * chunk, total), total)
    cut = prompts.copy()
    cut[:, half:] = 0
    rows = [list(row) for row in zip(*map(tokenizer.decode, (prompts, cut, completed)), strict=True)]
    return {
        "samples": sheet([list(tokenizer.decode(drawn))], scale=TILE),
        "completions": sheet(rows, scale=TILE),
    }
