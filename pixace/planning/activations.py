"""What a training step keeps for the backward pass, and what it needs besides while it works, in bytes.

The counts say how often an array of a kind lives at the busiest moment of the compiled step. What a layer keeps is
counted from the code and agrees with XLA's own list of its buffers; what the busiest moment needs besides depends on
how XLA orders the work and packs its buffers, and was fitted to the compiled sizes of many configurations
(`benchmarks/plan.py` checks the whole). Two facts behind the counts: XLA starts all blocks of full attention before
it ends one, so that the scores of a whole layer exist at once although each block is computed again by itself; and
on a CPU much of a step in bfloat16 lives as float32. On a GPU neither was checked.

Legend: B pictures at a time, T positions, D model width, H heads, F hidden width, V vocabulary, L layers.
"""

import math
import re
from dataclasses import dataclass
from functools import cache

from pixace.config import ModelConfig
from pixace.ops.blocking import block_length, chunk_length
from pixace.planning.installation import installed_version

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Sizes:
    """Bytes of the arrays that activations are counted in, each once.

    Attributes:
        width: a stream (B, T, D); `hidden`: (B, T, F); `heads`: a number a head (B, T, H).
        scores: scores of one layer, all blocks, chunks and rounds of hashing together.
        copies: the keys that the blocks or chunks look at, one after another; values need as much again.
        logits: those of a chunk of the loss.
    """

    width: int
    hidden: int
    heads: int
    scores: int
    copies: int
    logits: int


def sizes_of(model: ModelConfig, batch: int) -> Sizes:
    """The sizes for `batch` pictures at a time."""
    length, rows = model.n_positions, FLOAT * batch
    if model.attention == "full":
        block = block_length(length)
        stops = [min(start + block, length) for start in range(0, length, block)]
        pairs = sum((stop - start) * stop for start, stop in zip([0, *stops], stops, strict=False))
        looked_at = sum(stops) if len(stops) > 1 else 0
    else:
        chunk, rounds = min(model.window, length), model.n_hashes or 1
        count = math.ceil(length / chunk)
        looked_at = rounds * count * chunk * (2 if count > 1 else 1)
        pairs = looked_at * chunk
    return Sizes(
        width=rows * length * model.d_model,
        hidden=rows * length * model.d_ff,
        heads=rows * length * model.n_heads,
        scores=rows * model.n_heads * pairs,
        copies=rows * looked_at * model.n_heads * model.d_head,
        logits=rows * chunk_length(length, batch * model.vocab_size) * model.vocab_size,
    )


def kept(model: ModelConfig, sizes: Sizes) -> float:
    """Bytes that all layers keep for the backward pass."""
    buckets = sizes.heads / 2 * model.n_hashes  # 16 bits a position, head and round
    if model.residual == "reversible":
        return model.n_layers * buckets
    if model.residual == "remat":
        return model.n_layers * (sizes.width + buckets)
    share = compiler().bfloat16_kept if model.dtype == "bfloat16" else 1.0
    return share * model.n_layers * _kept_by_plain_layer(model, sizes)


def _kept_by_plain_layer(model: ModelConfig, sizes: Sizes) -> float:
    """Streams, norms, queries, keys and values before and after they are rotated; hidden values and their signs."""
    if model.arch == "trax":
        found = 10 * sizes.width + 2 * sizes.copies + 1.25 * sizes.hidden
    elif model.attention == "full":
        found = 14 * sizes.width + 2 * sizes.copies + 16 * sizes.heads + 2.25 * sizes.hidden
    elif model.attention == "local":
        found = 17 * sizes.width + 7 * sizes.heads + 2.25 * sizes.hidden
    else:
        found = 15 * sizes.width + 9 * model.n_hashes * sizes.heads + 2.25 * sizes.hidden
    return found + (0.25 * sizes.hidden + 0.5 * sizes.width if model.dropout else 0.0)  # masks: a byte a number


@dataclass(frozen=True)
class Busiest:
    """How many arrays of each kind the backward pass of one layer needs besides what was kept."""

    scores_full: float
    scores_near: float  # local and LSH attention
    copies: float
    hidden: float
    width: float


BUSIEST = {
    "plain": Busiest(2.11, 1.42, 1.06, 2.33, 9.06),
    "remat": Busiest(1.76, 2.6, 1.81, 2.24, 8.63),
    "reversible": Busiest(2.19, 2.77, 3.13, 0.23, 3.92),
}
SCORES_OF_LSH = 0.66  # on top, as far as `Compiler` says
RANDOM_BITS = 7.28  # scores' worth of numbers that dropout of attention weights needs
RANDOM_HIDDEN = 6.1  # hidden values' worth of numbers that dropout needs
LOGITS = 1.08  # a chunk of them, and its gradient
SHARING = 1.22  # the loss and a layer take turns, but XLA lets them share places only in part: 1 is not at all


@dataclass(frozen=True)
class Compiler:
    """How versions of JAX differ: shares of what the counts above say.

    Attributes:
        layer: of what the layer at work needs, by `residual`.
        lsh: of `SCORES_OF_LSH`.
        bfloat16_kept, bfloat16_layer: of what plain layers keep, and the layer at work needs, in bfloat16. A CPU
            computes in float32 and keeps some arrays in both formats.
    """

    layer: dict[str, float]
    lsh: float
    bfloat16_kept: float
    bfloat16_layer: float


UNTIL_0_10 = Compiler({"plain": 1.0, "remat": 1.0, "reversible": 1.0}, 1.0, 1.0, 1.25)
SINCE_0_11 = Compiler({"plain": 0.85, "remat": 0.7, "reversible": 0.89}, 0.5, 0.6, 1.35)  # measured with 0.12


@cache
def compiler() -> Compiler:
    """That of the JAX that is installed; finding out does not load it."""
    version = re.match(r"0\.(\d+)\.", installed_version("jax") or "")
    return UNTIL_0_10 if version and int(version[1]) <= 10 else SINCE_0_11


def needed_by_layer(model: ModelConfig, sizes: Sizes) -> float:
    """Bytes that the backward pass of one layer needs besides what was kept."""
    counts, shares = BUSIEST[model.residual], compiler()
    scores = counts.scores_full if model.attention == "full" else counts.scores_near
    scores += shares.lsh * SCORES_OF_LSH * (model.attention == "lsh") + RANDOM_BITS * (model.attention_dropout > 0)
    own_masks = model.dropout > 0 and not model.dropout_shared
    hidden = counts.hidden + RANDOM_HIDDEN * own_masks
    needed = scores * sizes.scores + counts.copies * sizes.copies + hidden * sizes.hidden + counts.width * sizes.width
    return needed * shares.layer[model.residual] * (shares.bfloat16_layer if model.dtype == "bfloat16" else 1.0)


def needed_by_loss(sizes: Sizes, layer: float) -> float:
    """Bytes that a chunk of logits and its gradient need beyond the places that they share with a layer's bytes."""
    alone = LOGITS * sizes.logits + 2 * sizes.width
    return (layer**SHARING + alone**SHARING) ** (1 / SHARING) - layer
