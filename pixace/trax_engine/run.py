"""A run of training whose steps Trax takes; pictures, figures, sheets, checkpoints and signals are as in any run.

Validation, sample sheets and the weights file come from the weights as ours: both sides compute the same.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from pixace.config import RunConfig
from pixace.models.spec import Parameters
from pixace.training.optimizers import learning_rate
from pixace.training.run import Run, Say
from pixace.trax_engine.loading import load_trax
from pixace.trax_engine.loop import FIGURES, TraxLoop
from pixace.trax_engine.options import check_model


class TraxRun(Run):
    """One run with `--engine=trax`; `state` is Trax's own, as one tree of arrays."""

    figure_names = FIGURES

    def __init__(self, folder: Path, config: RunConfig, devices: Any, say: Say):
        check_model(config.model, f"the model in {folder}")
        load_trax()
        super().__init__(folder, config, devices, say)
        say("steps by Trax's own training loop")
        rate = jax.jit(partial(learning_rate, self.training))
        self.loop = TraxLoop(
            config.model,
            self.training.batch_size,
            self.training.seed,
            lambda: np.asarray(self._batch()),
            lambda step: float(rate(jnp.int32(step - 1), jnp.int32(self.plan.total))),
        )

    @property
    def state(self) -> Any:
        """What a checkpoint holds."""
        return self.loop.state

    @state.setter
    def state(self, state: Any) -> None:
        """Go on from a checkpoint."""
        self.loop.state = state

    def _abstract_state(self) -> Any:
        place = SingleDeviceSharding(self.mesh.devices.flat[0])
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), self.loop.state)

    def _new_state(self, parameters: Any = None) -> Any:
        if parameters is not None:
            self.loop.parameters = parameters
        return self.loop.state

    def _advance(self) -> jax.Array:
        return self.loop.step()

    @property
    def _parameters(self) -> Parameters:
        return self.loop.parameters

    @property
    def _shared(self) -> Parameters:
        return self.loop.parameters
