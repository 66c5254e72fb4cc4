"""How likely a model finds pictures: the loss of every token, batch by batch, and what people read off it.

Legend: N pictures, B batch, T tokens a picture.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.spec import Parameters
from pixace.models.transformer import losses
from pixace.ops.attention import choose_implementation
from pixace.progress import Progress, silent

TOKENS_AT_ONCE = 2**14  # of a batch, where its size is not given


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures and its standard error (None of a single picture)."""

    mean: float
    error: float | None

    @classmethod
    def of(cls, values: np.ndarray) -> "Estimate":
        """From one value a picture, (N,)."""
        error = None if len(values) < 2 else float(values.std(ddof=1) / math.sqrt(len(values)))
        return cls(float(values.mean()), error)


@dataclass(frozen=True)
class Losses:
    """`nats` (N,): mean loss of each picture's tokens; `right` (N,): share of its tokens that were the most likely
    ones; `by_position` (T,): mean loss at each position over all pictures, in nats; all float64."""

    nats: np.ndarray
    right: np.ndarray
    by_position: np.ndarray


@dataclass(frozen=True)
class Likelihood:
    """Figures of a set of pictures. A pixel is a token, of three dimensions (its colour channels)."""

    nats_a_token: Estimate
    bits_a_pixel: Estimate
    bits_a_dimension_of_tokens: Estimate
    perplexity: float
    accuracy: Estimate
    picture_accuracy: Estimate
    """Share of tokens, and of whole pictures, in which the most likely token was the right one."""

    @classmethod
    def of(cls, losses: Losses) -> "Likelihood":
        """From the losses of all pictures."""
        bits = losses.nats / math.log(2)
        return cls(
            nats_a_token=Estimate.of(losses.nats),
            bits_a_pixel=Estimate.of(bits),
            bits_a_dimension_of_tokens=Estimate.of(bits / 3),
            perplexity=math.exp(losses.nats.mean()),
            accuracy=Estimate.of(losses.right),
            picture_accuracy=Estimate.of((losses.right == 1.0).astype(np.float64)),
        )


def batch_size_for(config: ModelConfig, count: int, wanted: int | None = None) -> int:
    """Pictures at a time of `count`: `wanted`, or else as many as have `TOKENS_AT_ONCE` tokens."""
    return min(count, wanted or max(1, TOKENS_AT_ONCE // config.n_positions))


def measure_losses(
    parameters: Parameters,
    config: ModelConfig,
    tokens: np.ndarray,
    batch_size: int,
    progress: Progress = silent,
) -> Losses:
    """The losses of `tokens` (N, T), each given the tokens before it; `batch_size` pictures are on the device at most.

    `progress` gets the number of pictures done, and the mean loss so far.
    """
    nats, right, by_position = np.empty(len(tokens)), np.empty(len(tokens)), np.zeros(config.n_positions)
    done = 0
    for loss, hits in _batches(parameters, config, tokens, batch_size):
        rows = slice(done, done + len(loss))
        nats[rows], right[rows] = loss.mean(axis=1, dtype=np.float64), hits.mean(axis=1)
        by_position += loss.sum(axis=0, dtype=np.float64)
        done = rows.stop
        progress(done, len(tokens), f"{nats[:done].mean():.3f} nats a token")
    return Losses(nats, right, by_position / len(tokens))


def position_losses(parameters: Parameters, config: ModelConfig, tokens: np.ndarray, batch_size: int) -> np.ndarray:
    """The loss of each token of a few pictures (N, T), in nats, float32 (N, T)."""
    return np.concatenate([loss for loss, _ in _batches(parameters, config, tokens, batch_size)])


def _batches(
    parameters: Parameters, config: ModelConfig, tokens: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Loss and whether the most likely token was right, (B, T) each; the last batch may be smaller."""
    implementation = _implementation(parameters, config)
    for start in range(0, len(tokens), size):
        batch = np.asarray(tokens[start : start + size])
        # A smaller batch is filled up, so that one program serves all.
        padded = np.pad(batch, ((0, size - len(batch)), (0, 0)), mode="edge")
        loss, hits = _losses(parameters, config, implementation, padded)
        yield np.asarray(loss)[: len(batch)], np.asarray(hits)[: len(batch)]


def _implementation(parameters: Parameters, config: ModelConfig) -> str:
    platform = next(iter(jax.tree.leaves(parameters)[0].devices())).platform
    return choose_implementation(platform, config.dtype, config.d_head, config.d_value)


@partial(jax.jit, static_argnums=(1, 2))
def _losses(
    parameters: Parameters, config: ModelConfig, implementation: str, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return losses(parameters, config, tokens.astype(jnp.int32), implementation=implementation)
