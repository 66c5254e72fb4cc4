"""A large, sharp picture of a small drawing: scaled down and quantised, it gives back the drawn tokens.

Any colour inside a token's cell is free, and there the picture is chosen to be smooth along edges and sharp across
them. A canvas is changed by Adam until it is; then what rounding to 8 bits has put beside a cell is put right.

Legend: B drawings, S edge of a drawing, T = S * S tokens, E edge of the picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pixace.canvas.canvas import Canvas
from pixace.canvas.kinds import make_canvas
from pixace.canvas.resizing import resize
from pixace.errors import ConfigError
from pixace.fields import require
from pixace.progress import Progress, silent
from pixace.refine.cells import Cells, cells_of, outside
from pixace.refine.smoothness import directions, roughness
from pixace.tokenizer import Tokenizer

LARGEST_EDGE = 4096  # pixels of a picture
ADAM = optax.scale_by_adam(b1=0.9, b2=0.99)
SETTLINGS = 30  # at most, of 8-bit colours
NEIGHBOURS = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)  # 8-bit colours nearby

# What else is asked of a picture (E, E, 3): figures, of which nothing is used here, and the gradient of a loss.
Wish = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


@dataclass(frozen=True)
class Settings:
    """How pictures are chosen within their cells; see `directions` and `roughness` for the first five.

    Attributes:
        stress, reach, blur, contrast, corner: of the roughness.
        chroma: how much more changes of hue and saturation count than those of lightness.
        pull: weight of the distance from the drawn colours themselves.
        wall: weight of the distance from the cells.
        margin: how far inside its cell a colour is to stay, in RGB.
        steps, lr: of Adam, whose rate falls by a cosine.
    """

    stress: float = 15.0
    reach: float = 1.5
    blur: float = 0.4
    contrast: float = 0.03
    corner: float = 0.08
    chroma: float = 2.0
    pull: float = 32.0
    wall: float = 2400.0
    margin: float = 0.004
    steps: int = 100
    lr: float = 0.02


def check_refining(edge: int, size: int) -> None:
    """Raise `ConfigError` where drawings of `edge` pixels cannot be refined to `size`."""
    require(edge <= size <= LARGEST_EDGE, f"size={size}: {edge} (the drawing's) to {LARGEST_EDGE} pixels are possible")


def refine(
    tokens: np.ndarray,
    tokenizer: Tokenizer,
    size: int = 512,
    *,
    canvas: str = "imstack",
    wishes: Sequence[tuple[Wish, float]] = (),
    settings: Settings = Settings(),
    progress: Progress = silent,
) -> np.ndarray:
    """Large pictures of drawings: uint8 (B, E, E, 3), or (E, E, 3) of one.

    Args:
        tokens: (T,) or (B, T).
        tokenizer: what the tokens mean; its `resize` and size are those that the picture is scaled down by.
        size: E, at least S.
        canvas: kind of canvas that is changed: imstack, pixels, fourier or laplacian.
        wishes: what else is asked of a picture, such as `style.objective.Objective` (a style), each with how strong it
            is: the ratio of its gradient to that of the drawing, where descent begins.
        settings: how pictures are chosen within their cells.
        progress: takes the steps that are done, over all drawings.

    Raises:
        ConfigError: for a size that makes no sense.
        PixaceError: for ids outside the vocabulary.
    """
    edge = tokenizer.config.image_size
    check_refining(edge, size)
    rows = np.atleast_2d(tokens)
    if rows.shape[-1] != edge * edge:
        raise ConfigError(f"a {edge}x{edge} drawing has {edge * edge} tokens, not {rows.shape[-1]}")
    pictures = []
    for i, row in enumerate(rows):
        found = _descend(
            row.reshape(edge, edge), tokenizer, size, canvas, wishes, settings,
            lambda done, i=i: progress(i * settings.steps + done, len(rows) * settings.steps),
        )  # fmt: skip
        pictures.append(_settle(found, row, tokenizer))
    return np.stack(pictures) if tokens.ndim > 1 else pictures[0]


def share_kept(picture: np.ndarray, tokens: np.ndarray, tokenizer: Tokenizer) -> float:
    """The share of pixels that a picture (E, E, 3), made small and encoded, gives their canonical token's colour."""
    wanted = _wanted(tokenizer.decode_tokens(tokens), tokenizer)
    return float((tokenizer.decode_tokens(tokenizer.encode(picture)) == wanted).all(-1).mean())


def _wanted(drawn: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """What drawn colours (..., 3) are when encoded and decoded once more: of a few dark ones in 8 bits, a neighbour."""
    return tokenizer.decode_tokens(tokenizer.encode_rgb(drawn))


def _descend(
    tokens: np.ndarray,
    tokenizer: Tokenizer,
    size: int,
    kind: str,
    wishes: Sequence[tuple[Wish, float]],
    settings: Settings,
    progress: Callable[[int], None],
) -> np.ndarray:
    """The picture (E, E, 3) of one drawing (S, S), before it is rounded."""
    s = settings
    cells = cells_of(tokens, tokenizer, s.margin)
    drawing = np.asarray(cells.colours)
    tensor = directions(drawing, (size, size), stress=s.stress, reach=s.reach, blur=s.blur, contrast=s.contrast)
    canvas = make_canvas(kind, np.clip(np.asarray(resize(drawing, (size, size), "bicubic")), 0, 1))
    state = ADAM.init(canvas)  # type: ignore[arg-type]
    strengths = [jnp.float32(weight) for _, weight in wishes]
    for i in range(s.steps):
        rate = s.lr * (0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * i / s.steps)))
        slopes = [wish(_shown(canvas))[1] for wish, _ in wishes]
        if i == 0:
            ratios = [_ratio(settings, _shown(canvas), cells, tensor, slope) for slope in slopes]
            strengths = [strength * ratio for strength, ratio in zip(strengths, ratios, strict=True)]
        together = [strength * slope for strength, slope in zip(strengths, slopes, strict=True)]
        wished = sum(together[1:], start=together[0]) if together else None
        canvas, state = _step(settings, canvas, state, cells, tensor, jnp.float32(rate), wished)
        progress(i + 1)
    return np.asarray(_shown(canvas))


@jax.jit
def _shown(canvas: Canvas) -> jax.Array:
    return canvas()


def _loss(settings: Settings, picture: jax.Array, cells: Cells, tensor: jax.Array) -> jax.Array:
    """How far a picture (E, E, 3) is from being smooth, near the drawn colours, and inside the cells."""
    edge = cells.colours.shape[0]
    small = resize(picture, (edge, edge), "bicubic")  # as Pillow makes pictures small for the tokenizer
    grey = picture.mean(-1, keepdims=True)
    rough = roughness(grey + settings.chroma * (picture - grey), tensor, edge, settings.corner)
    near = jnp.square(small - cells.colours).sum(-1).mean()
    beyond = jnp.square(outside(small, cells)).sum(-1).mean()
    return rough + settings.pull * near + settings.wall * beyond


@partial(jax.jit, static_argnums=0)
def _step(
    settings: Settings,
    canvas: Canvas,
    state: Any,
    cells: Cells,
    tensor: jax.Array,
    rate: jax.Array,
    wished: jax.Array | None,
) -> tuple[Canvas, Any]:
    def loss(canvas: Canvas) -> jax.Array:
        picture = canvas()
        own = _loss(settings, picture, cells, tensor)
        return own if wished is None else own + jnp.vdot(wished, picture)

    update, state = ADAM.update(jax.grad(loss)(canvas), state)
    return jax.tree.map(lambda leaf, change: leaf - rate * change, canvas, update).projected(), state


@partial(jax.jit, static_argnums=0)
def _ratio(settings: Settings, picture: jax.Array, cells: Cells, tensor: jax.Array, wished: jax.Array) -> jax.Array:
    """The size of the loss's own gradient, by that of another."""
    own = jax.grad(_loss, argnums=1)(settings, picture, cells, tensor)
    return jnp.linalg.norm(own) / jnp.maximum(jnp.linalg.norm(wished), jnp.finfo(wished.dtype).tiny)


def _settle(picture: np.ndarray, tokens: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """The picture in 8 bits, nudged until every pixel of it made small encodes as drawn; the best that is found.

    What is nudged is the small picture as the tokenizer reads it: Pillow rounds it, and cuts it off at black and
    white, between rows and columns, which no formula for the means tells.
    """
    edge = tokenizer.config.image_size
    drawn = tokenizer.decode_tokens(tokens)
    wanted = _wanted(drawn, tokenizer)
    best, fewest = np.zeros(0, np.uint8), len(tokens) + 1
    for _ in range(SETTLINGS):
        rounded = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
        small = tokenizer.read(rounded).reshape(-1, 3)
        wrong = np.flatnonzero((tokenizer.decode_tokens(tokenizer.encode_rgb(small)) != wanted).any(-1))
        if len(wrong) < fewest:
            best, fewest = rounded, len(wrong)
        if not len(wrong):
            break
        change = np.zeros((len(tokens), 3), np.float32)
        change[wrong] = _way_to_right(small[wrong], drawn[wrong], tokenizer) / 255
        change = np.asarray(resize(change.reshape(edge, edge, 3), picture.shape[:2], "bicubic"))
        picture = np.clip(picture + change, 0, 1)
    return best


def _way_to_right(small: np.ndarray, drawn: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """What leads from colours, uint8 (N, 3), to the nearest that encode as drawn ones: (N, 3), whole numbers.

    These are looked for nearby and on the way to the drawn ones, which are among them.
    """
    start = small[:, None].astype(np.int64)
    straight = np.round(np.linspace(0, 1, 17)[:, None] * (drawn[:, None] - start)).astype(np.int64)
    tried = np.clip(np.concatenate([start + NEIGHBOURS, start + straight], 1), 0, 255)
    again = tokenizer.decode_tokens(tokenizer.encode_rgb(tried.astype(np.uint8)))
    right = (again == _wanted(drawn, tokenizer)[:, None]).all(-1)
    distance = np.where(right, np.square(tried - start).sum(-1), np.inf)
    return (tried - start)[np.arange(len(small)), distance.argmin(1)]
