"""Drawing with Trax's own models in their predict mode, token after token (`pixace predict --engine=trax`).

The method is that of `trax.supervised.decoding.autoregressive_sample_stream`: the start id and the prompt go in
first, then each token drawn. That function's noise comes from NumPy's global state, the same for no two batches;
here noise, temperature and filters are those of our engine, so that both draw the same picture from one seed.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.models.spec import Parameters
from pixace.models.transformer import START
from pixace.sampling.engine import Engine
from pixace.sampling.filters import Settings, choose, gumbel_noise
from pixace.trax_engine.loading import check_installed, hushed, load_trax, predict_mode
from pixace.trax_engine.models import initialise, make_model, tree_of
from pixace.trax_engine.options import check_model

GROUP = 64  # rows drawn at a time


class TraxSampler(Engine):
    """An `Engine` whose logits Trax computes.

    Raises:
        ConfigError: for a model that Trax cannot compute.
        PixaceError: where Trax is not installed. It is loaded when the first tokens are drawn.
    """

    def __init__(self, parameters: Parameters, config: ModelConfig):
        check_model(config, "the model")
        check_installed()
        self.config, self.parameters, self.group = config, parameters, GROUP
        self._ready: dict[int, tuple[Any, Any]] = {}

    def _stream_group(
        self, tokens: np.ndarray, cut: int, settings: Settings, seed: int, chunk: int
    ) -> Iterator[np.ndarray]:
        model, model.state = self._model(len(tokens))
        ids, key = np.array(tokens, np.int32), jax.random.key(seed)
        settings = jax.tree.map(jnp.asarray, settings)
        shown = np.pad(ids[:, :cut], ((0, 0), (1, 0)), constant_values=START)
        for position in range(cut, self.config.n_positions):
            with hushed(), predict_mode():
                logits = model(shown)[:, -1]
            ids[:, position] = _choose(logits, settings, key, jnp.int32(position))
            shown = ids[:, position : position + 1]
            if position + 1 == self.config.n_positions or (position + 1 - cut) % chunk == 0:
                yield ids.astype(np.uint16)

    def _model(self, rows: int) -> tuple[Any, Any]:
        """Trax's model for so many rows, and its state before the first token."""
        if rows not in self._ready:
            model = make_model(self.config, "predict")
            initialise(model, rows, length=1)
            model.weights = tree_of(self.parameters, self.config, model.weights)
            fast = load_trax().layers.Accelerate(model, n_devices=1)
            self._ready[rows] = fast, fast.state
        return self._ready[rows]


@jax.jit
def _choose(logits: jax.Array, settings: Settings, key: jax.Array, position: jax.Array) -> jax.Array:
    return choose(logits, settings, gumbel_noise(key, settings.index, position, logits.shape[-1]))
