"""Drawing of each side, driven the same way: the first tokens, or all, of some pictures from an empty cache."""

from itertools import islice
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import source_method

from pixace.config import ModelConfig
from pixace.models.cache import empty_cache
from pixace.models.spec import Parameters
from pixace.sampling.engine import Engine, decode
from pixace.sampling.filters import make_settings


class Drawing(Protocol):
    """One side: `load` makes weights and memory ready for so many rows, `draw` gives the first `count` tokens of so
    many pictures, (rows, count), with new noise each time."""

    def load(self, rows: int) -> None: ...

    def draw(self, rows: int, count: int) -> np.ndarray: ...

    def compiled(self, rows: int) -> Any:
        """The compiled program as JAX's object, from which its memory can be read."""


class OurDrawing:
    """`pixace.sampling.engine.Engine` at temperature 1, no filters."""

    def __init__(self, config: ModelConfig, parameters: Parameters):
        self._config, self._parameters, self._seed = config, parameters, 0

    def load(self, rows: int) -> None:
        self._engine = Engine(self._parameters, self._config)
        jax.block_until_ready(self._engine.parameters)

    def draw(self, rows: int, count: int) -> np.ndarray:
        self._seed += 1
        nothing = np.zeros((rows, self._config.n_positions), np.uint16)
        stream = self._engine.stream(nothing, 0, make_settings(rows), self._seed, chunk=count)
        return next(islice(stream, 1, None))[:, :count]  # what comes before is the empty pictures

    def compiled(self, rows: int) -> Any:
        config, rows = self._config, max(rows, 2)  # the engine draws a lone row as two
        ids, settings = jnp.zeros((rows, config.n_positions), jnp.int32), jax.tree.map(jnp.asarray, make_settings(rows))
        state = self._engine.parameters, config, ids, empty_cache(config, rows), settings, jax.random.key(0)
        return decode.lower(*state, 0, config.n_positions).compile()


class PlainDrawing:
    """The source's method in plain JAX (`source_method.py`)."""

    def __init__(self, config: ModelConfig, parameters: Parameters):
        self._config, self._noise = config, np.random.default_rng(0)
        self._stacked = parameters

    def load(self, rows: int) -> None:
        self._parameters = jax.block_until_ready(source_method.by_layer(self._stacked, self._config))

    def draw(self, rows: int, count: int) -> np.ndarray:
        return source_method.sample(self._config, self._parameters, rows, count, self._noise)

    def compiled(self, rows: int) -> Any:
        ids, caches = np.zeros((rows, 1), np.int32), source_method.empty_caches(self._config, rows)
        return source_method.next_logits.lower(self._config, self._parameters, caches, ids, 0).compile()


class TraxDrawing:
    """`trax.supervised.decoding.autoregressive_sample_stream` on Trax's model in its predict mode."""

    def __init__(self, config: ModelConfig, parameters: Parameters):
        self._config, self._parameters = config, parameters

    def load(self, rows: int) -> None:
        from pixace.trax_engine.loading import load_trax
        from pixace.trax_engine.models import initialise, make_model, tree_of

        model = make_model(self._config, "predict")
        initialise(model, rows, length=1)
        model.weights = tree_of(self._parameters, self._config, model.weights)
        self._fast = load_trax().layers.Accelerate(model, n_devices=1)  # kept, so that it compiles once
        self._empty = jax.block_until_ready(self._fast.state)

    def draw(self, rows: int, count: int) -> np.ndarray:
        from trax.supervised.decoding import autoregressive_sample_stream

        from pixace.trax_engine.loading import hushed, predict_mode

        self._fast.state = self._empty
        with hushed(), predict_mode():
            stream = autoregressive_sample_stream(self._fast, batch_size=rows, accelerate=False)  # it is already
            tokens = [np.asarray(next(stream)) for _ in range(count)]
        return np.stack(tokens, axis=1)

    def compiled(self, rows: int) -> Any:
        from pixace.trax_engine.loading import hushed, predict_mode

        ids, key = np.zeros((rows, 1), np.int32), jax.random.PRNGKey(0)
        with hushed(), predict_mode():
            program = self._fast._jit_pure_fn  # no public name leads to it
            return program.lower(ids, self._fast.weights, self._empty, key).compile()


def baseline_drawing(kind: str, config: ModelConfig, parameters: Parameters) -> Drawing:
    """The other side: `trax` or `plain`."""
    return TraxDrawing(config, parameters) if kind == "trax" else PlainDrawing(config, parameters)


def weights_bytes(parameters: Parameters) -> int:
    """Bytes of weights that drawing a token must read: all but the embedding and positions, of which it takes a row."""
    whole = sum(x.nbytes for x in jax.tree.leaves(parameters))
    looked_up = [x.nbytes for x in (parameters.embedding, parameters.positions) if x is not None]
    return whole - sum(looked_up)


def cache_bytes(config: ModelConfig, rows: int) -> float:
    """Bytes of keys and values that drawing a token must read, on average over the positions, in float32."""
    return rows * config.n_layers * config.n_heads * (config.d_head + config.d_value) * 4 * (config.n_positions + 1) / 2
