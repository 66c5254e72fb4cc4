"""From prompts, or from nothing, to sheets of drawn pictures: what `pixace predict` does.

Legend: n pictures a temperature, S edge of a picture in pixels.
"""

import math
import os
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pixace.config import ModelConfig
from pixace.errors import ConfigError
from pixace.folders import embedded_model
from pixace.images import PictureSource
from pixace.progress import Progress, silent
from pixace.sampling.model import Model, load
from pixace.sheets import sheet


@dataclass(frozen=True)
class Drawing:
    """What was drawn: `columns[c][i]` is picture i (uint8 (S, S, 3)) at `temperatures[c]`.

    With prompts, `prompts` and `cuts` hold them whole and with the part to be drawn blackened.
    """

    columns: list[list[np.ndarray]]
    temperatures: tuple[float, ...]
    seed: int
    cut: int
    prompts: list[np.ndarray]
    cuts: list[np.ndarray]

    def sheet(self, scale: int = 256, interpolation: str = "nearest") -> Image.Image:
        """One row a picture; columns: prompt, cut prompt (where there are prompts), then each temperature.

        Pictures drawn from nothing at one temperature stand in a grid as near to a square as can be.
        """
        columns = ([self.prompts, self.cuts] if self.prompts else []) + self.columns
        rows = [list(row) for row in zip(*columns, strict=True)]
        width = sheet_shape(len(rows), len(self.columns), bool(self.prompts))[0]
        if len(columns) == 1:
            rows = [columns[0][i : i + width] for i in range(0, len(rows), width)]
        return sheet(rows, scale=scale, interpolation=interpolation)


def sheet_shape(n_pictures: int, n_temperatures: int, with_prompts: bool) -> tuple[int, int]:
    """Columns and rows of the sheet of a drawing with `n_pictures` at each temperature."""
    columns = n_temperatures + 2 * with_prompts
    if columns > 1:
        return columns, n_pictures
    columns = math.isqrt(max(n_pictures, 1) - 1) + 1
    return columns, -(-n_pictures // columns)


def get_predictor(
    model_name: str | None = None,
    model_type: str | None = None,
    weights_dir: str | os.PathLike = "model-weights",
    image_size: int | None = None,
    bitdepth: Sequence[int] | None = None,
    checkpoint: str | os.PathLike | None = None,
    engine: str = "jax",
    n_heads: int | None = None,
) -> "Predictor":
    """A predictor for a model, by name in `weights_dir` or by `checkpoint`, the path of its folder or file.

    Without either it is that of the model in the package, which draws emoji.
    Sizes, bits and type come from the model itself; what is given beside it is checked against it, or tells
    what the arrays of a Trax checkpoint (`model.pkl.gz`) do not.
    `engine` is what draws: jax, or trax, which is Trax's own model in its predict mode.

    Raises:
        ConfigError: where something given contradicts the model; says both values.
        PixaceError: if there is no such model or it cannot be read.
    """
    if model_name is None and not checkpoint:
        checkpoint = embedded_model()
    given = {"model_type": model_type, "image_size": image_size, "bitdepth": bitdepth, "n_heads": n_heads}
    if checkpoint:
        model = load(checkpoint, None, engine, given=given)
    else:
        model = load(str(model_name), weights_dir, engine, given=given)
    predictor = Predictor(model)
    if engine != "jax":
        _ = predictor.model.engine  # so that it is told now if this engine is not there, or cannot draw with the model
    return predictor


class Predictor:
    """Draws with one model."""

    def __init__(self, model: Model):
        self.model = model

    def predict(
        self,
        batch_size: int = 16,
        prompts: Sequence[PictureSource] | PictureSource | None = None,
        cut: int | str | None = None,
        temperature: float | Sequence[float] = 1.0,
        scale: int = 256,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        seed: int | None = None,
        interpolation: str = "nearest",
        progress: Progress = silent,
    ) -> Image.Image:
        """The sheet of `draw`, each tile `scale` pixels wide."""
        drawing = self.draw(batch_size, prompts, cut, temperature, top_k, top_p, min_p, seed, progress=progress)
        return drawing.sheet(scale, interpolation)

    def draw(self, *arguments: Any, **options: Any) -> Drawing:
        """The last of `stream`, which see for the arguments."""
        return deque(self.stream(*arguments, **options), maxlen=1).pop()

    def stream(
        self,
        batch_size: int = 16,
        prompts: Sequence[PictureSource] | PictureSource | None = None,
        cut: int | str | None = None,
        temperature: float | Sequence[float] = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        seed: int | None = None,
        *,
        chunk: int | None = None,
        progress: Progress = silent,
    ) -> Iterator[Drawing]:
        """Draw pictures, or complete prompts, at one or several temperatures, in one batch.

        Args:
            batch_size: pictures to draw where there is no prompt.
            prompts: anything `pixace.images.open_picture` opens, or several of them.
            cut: what is kept of a prompt: pixels (512), rows ("16r") or a share ("50%"); default half.
            temperature: a number or several, each giving a column; picture i has the same noise in each.
            top_k, top_p, min_p: filters, None for off.
            seed: None draws a fresh one; the drawing holds it.
            chunk: positions between the drawings that are yielded; None yields the first, empty one and the last.

        Raises:
            ConfigError, PixaceError: for settings that do not fit, and prompts that cannot be opened.
        """
        model, tokenizer = self.model, self.model.tokenizer
        temperatures = tuple(float(t) for t in np.atleast_1d(np.asarray(temperature, np.float64)))
        if not temperatures:
            raise ConfigError("temperature: at least one number is needed")
        sources = [prompts] if isinstance(prompts, str | os.PathLike | bytes | Image.Image | np.ndarray) else prompts
        if not sources:
            if cut is not None:
                raise ConfigError(f"--cut={cut} says how much of a prompt to keep, but there is no --prompt")
            if batch_size < 1:
                raise ConfigError(f"--batch_size={batch_size}: at least 1 picture is needed")
        kept = parse_cut(cut, model.config.model) if sources else 0
        prompt_tokens = np.stack([tokenizer.encode(source) for source in sources]) if sources else None
        count = batch_size if prompt_tokens is None else len(prompt_tokens)
        seed = secrets.randbelow(2**31) if seed is None else seed
        whole, shortened = [], []
        if prompt_tokens is not None:
            cut_tokens = prompt_tokens.copy()
            cut_tokens[:, kept:] = 0
            whole, shortened = list(tokenizer.decode(prompt_tokens)), list(tokenizer.decode(cut_tokens))
        rows = model.stream(
            prompt_tokens,
            count * len(temperatures),
            kept,
            np.repeat(temperatures, count).tolist(),
            top_k,
            top_p,
            min_p,
            seed,
            index=np.tile(np.arange(count), len(temperatures)).tolist(),
            chunk=chunk,
            progress=progress,
        )

        def drawing(tokens: np.ndarray) -> Drawing:
            pictures = list(tokenizer.decode(tokens))
            columns = [pictures[i : i + count] for i in range(0, len(pictures), count)]
            return Drawing(columns, temperatures, seed, kept, whole, shortened)

        tokens = next(rows)
        yield drawing(tokens)
        for tokens in rows:
            if chunk is not None:
                yield drawing(tokens)
        if chunk is None:
            yield drawing(tokens)


def parse_cut(cut: int | str | None, config: ModelConfig) -> int:
    """Pixels to keep: from pixels (512), rows ("16r"), a share ("50%") or None for half.

    Raises:
        ConfigError: if it is none of these or past the end of the picture.
    """
    total = config.n_positions
    if cut is None:
        return total // 2
    text = str(cut).strip()
    try:
        if text.endswith("r"):
            pixels = int(text[:-1]) * config.width
        elif text.endswith("%"):
            pixels = round(float(text[:-1]) / 100 * total)
        else:
            pixels = int(text)
    except (ValueError, OverflowError):
        raise ConfigError(f"--cut={text} is not a number of pixels (512), rows (16r) or a share (50%)") from None
    if not 0 <= pixels <= total:
        raise ConfigError(
            f"--cut={text} is past the end: the picture has {total} pixels in {config.height} rows of {config.width}"
        )
    return pixels
