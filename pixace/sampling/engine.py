"""Fast sampling of token ids: prefill, then one compiled loop over the positions.

The engine knows token ids and nothing of pictures. A row's tokens depend on the seed, the row's index and
its settings alone: noise is addressed by (seed, index, position), prefill goes row by row, and on a CPU
the rows of a decode step are computed in groups of 2 to 16, within which a row's bits do not depend on
how many there are (`spec.py` says why). On a GPU or TPU that last part holds up to rounding.

Legend: B rows, T positions.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.cache import KVCache, empty_cache, extend, unstack
from pixace.models.spec import Parameters
from pixace.models.transformer import START, head
from pixace.sampling.filters import Settings, choose, gumbel_noise

CPU_GROUP = 16  # rows drawn at a time
DEVICE_GROUP, CACHE_BYTES = 256, 4 * 2**30  # elsewhere: so many, or as many as fit in a cache of this size
SMALLEST_PREFILL, PREFILL_BLOCK = 64, 256  # positions


class Engine:
    """A model ready to draw: weights in the decode layout, and the compiled programs."""

    def __init__(self, parameters: Parameters, config: ModelConfig):
        self.config = config
        self.parameters = unstack(parameters, config)
        platform = next(iter(jax.tree.leaves(self.parameters)[0].devices())).platform
        row = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(lambda: empty_cache(config, 1))))
        self.group = CPU_GROUP if platform == "cpu" else min(max(CACHE_BYTES // row, 2), DEVICE_GROUP)

    def generate(self, tokens: np.ndarray, cut: int, settings: Settings, seed: int) -> np.ndarray:
        """Keep `tokens` (B, T) before position `cut`, draw the rest; uint16 (B, T)."""
        return deque(self.stream(tokens, cut, settings, seed, chunk=self.config.n_positions), maxlen=1).pop()

    def stream(self, tokens: np.ndarray, cut: int, settings: Settings, seed: int, chunk: int) -> Iterator[np.ndarray]:
        """Like `generate`, but yields all rows (uint16 (B, T)) after every `chunk` positions of a group.

        Positions not yet drawn keep the ids they had in `tokens`.
        """
        result = np.array(tokens, np.uint16)
        yield result.copy()
        for first in range(0, len(result), self.group):
            rows = slice(first, min(first + self.group, len(result)))
            part = jax.tree.map(lambda x, rows=rows: np.asarray(x)[rows], settings)
            for drawn in self._stream_group(result[rows], cut, part, seed, chunk):
                result[rows] = drawn
                yield result.copy()

    def _stream_group(
        self, tokens: np.ndarray, cut: int, settings: Settings, seed: int, chunk: int
    ) -> Iterator[np.ndarray]:
        n_rows, length = len(tokens), self.config.n_positions
        if n_rows == 1:  # a lone row would take another path through the matrix products
            tokens, settings = jax.tree.map(lambda x: np.repeat(x, 2, axis=0), (tokens, settings))
        # Two programs a shape: the rows are padded no further, so few shapes come up in one session.
        ids = jnp.asarray(tokens, jnp.int32)
        settings = jax.tree.map(jnp.asarray, settings)
        key = jax.random.key(seed)
        if cut > 0:
            padded = min(length, max(SMALLEST_PREFILL, 1 << (cut - 1).bit_length()))
            cache = prefill(self.parameters, self.config, ids, padded)
        else:
            cache = empty_cache(self.config, len(ids))
        for start in range(cut, length, chunk):
            stop = min(start + chunk, length)
            ids, cache = decode(self.parameters, self.config, ids, cache, settings, key, start, stop)
            yield np.asarray(ids)[:n_rows].astype(np.uint16)


@partial(jax.jit, static_argnums=(1, 3))
def prefill(parameters: Parameters, config: ModelConfig, tokens: jax.Array, length: int) -> KVCache:
    """A cache (B rows) that holds positions 0 to `length` - 1 of `tokens` (B, T).

    `length` is rounded up so that few programs are compiled; places past the prompt are written again by
    `decode` before they are seen. Row by row, so that a row's cache has the same bits in every batch, and by
    blocks of positions, so that the scores of long pictures never exist whole.
    """
    inputs = jnp.pad(tokens[:, : length - 1], ((0, 0), (1, 0)), constant_values=START)

    whole_blocks, rest = divmod(length, PREFILL_BLOCK)

    def row(ids: jax.Array) -> Any:
        def block(i: jax.Array, cache: KVCache) -> KVCache:
            part = jax.lax.dynamic_slice_in_dim(ids, i * PREFILL_BLOCK, PREFILL_BLOCK)
            return extend(parameters, config, cache, part[None], i * PREFILL_BLOCK)[1]

        cache = empty_cache(config, 1)
        if whole_blocks:
            cache = jax.lax.fori_loop(0, whole_blocks, block, cache)
        if rest:
            start = jnp.int32(length - rest)
            cache = extend(parameters, config, cache, ids[None, length - rest :], start)[1]
        return jax.tree.map(lambda x: x[0], cache)

    return jax.lax.map(row, inputs)


@partial(jax.jit, static_argnums=1, donate_argnums=(2, 3))
def decode(
    parameters: Parameters,
    config: ModelConfig,
    tokens: jax.Array,
    cache: KVCache,
    settings: Settings,
    seed: jax.Array,
    start: int,
    stop: int,
) -> tuple[jax.Array, KVCache]:
    """Draw positions start, ..., stop - 1 (both traced) of `tokens` (B, T) in one loop on the device."""

    def step(position: jax.Array, state: tuple[jax.Array, KVCache]) -> tuple[jax.Array, KVCache]:
        tokens, cache = state
        before = jax.lax.dynamic_slice_in_dim(tokens, jnp.maximum(position - 1, 0), 1, axis=1)
        features, cache = extend(parameters, config, cache, jnp.where(position == 0, START, before), position)
        noise = gumbel_noise(seed, settings.index, position, config.vocab_size)
        drawn = choose(head(parameters, features[:, 0]), settings, noise)
        return jax.lax.dynamic_update_slice_in_dim(tokens, drawn[:, None], position, axis=1), cache

    return jax.lax.fori_loop(start, stop, step, (tokens, cache))
