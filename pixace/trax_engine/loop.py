"""Trax's `training.Loop`, one step at a time, and all that decides its further course as one tree of arrays."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ModelConfig
from pixace.errors import PixaceError
from pixace.models.spec import Parameters
from pixace.trax_engine.loading import hushed, load_trax
from pixace.trax_engine.models import make_model, parameters_of, tree_of

FIGURES = ("loss", "gradient_norm", "learning_rate")
_OF_TRAX = ("loss", "gradients_l2", "learning_rate")  # what Trax calls these


class TraxLoop:
    """A `trax.supervised.training.Loop` with Trax's Adam, the loss of a language model and our batches.

    Args:
        config: the model.
        batch_size: pictures a step.
        seed: of the initial weights and of dropout.
        batches: gives the tokens (B, T) of the step after those done.
        rate: the learning rate of step 1, 2, ...
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int,
        seed: int,
        batches: Callable[[], np.ndarray],
        rate: Callable[[int], float],
    ):
        trax, self._config = load_trax(), config
        if jax.local_device_count() > 1:
            raise PixaceError(
                f"--engine=trax works on one device, and Trax would take all {jax.local_device_count()}; "
                "show it one, for example with CUDA_VISIBLE_DEVICES=0"
            )
        with hushed():
            task = trax.training.TrainTask(
                (_example(batches()) for _ in itertools.count()),
                loss_layer=trax.layers.WeightedCategoryCrossEntropy(),
                optimizer=trax.optimizers.Adam(),  # decay 1e-5, eps 1e-5 and no clipping are its defaults
                lr_schedule=rate,
                sample_batch=_example(np.zeros((batch_size, config.n_positions), np.int32)),
            )
            never = lambda step: False  # noqa: E731
            self._loop = trax.training.Loop(
                make_model(config, "train"),
                task,
                checkpoint_at=never,
                permanent_checkpoint_at=never,
                eval_tasks=[],  # nothing to evaluate, but then each step's figures come to `log_summary`
                eval_at=lambda step: True,
                n_devices=1,
                random_seed=seed,
            )
        self._loop.log_summary = self._take  # its own would print them and keep all of them in memory
        self._trainer = self._loop._trainer_per_task[0]
        self._figures: dict[str, Any] = {}
        self._leave_cpu()

    def _take(self, values: dict[str, Any], *place: Any, **options: Any) -> None:
        self._figures |= values

    def _leave_cpu(self) -> None:
        """Trax puts these on the CPU, and JAX computes where they lie: on a GPU every step would run on the CPU."""
        trainer, device = self._trainer, jax.local_devices()[0]
        trainer._slots, trainer._opt_params = jax.device_put((trainer._slots, trainer._opt_params), device)

    def step(self) -> jax.Array:
        """One step; returns at once the figures named in `FIGURES`, float32, which may still be computed."""
        with hushed():
            self._loop.run(1)
        return jnp.stack([jnp.asarray(self._figures[name], jnp.float32) for name in _OF_TRAX])

    @property
    def parameters(self) -> Parameters:
        """The weights as ours."""
        return parameters_of(self._loop.model.weights, self._config)

    @parameters.setter
    def parameters(self, parameters: Parameters) -> None:
        """Go on from these weights."""
        model = self._trainer.accelerated_model_with_loss
        of_loss = model.weights[1:]
        model.replicate_weights((tree_of(parameters, self._config, model.weights[0]), *of_loss))

    @property
    def state(self) -> dict[str, Any]:
        """Weights, layer states, optimiser slots, random key and step: with them a run goes on bit for bit."""
        model = self._trainer.accelerated_model_with_loss
        found = (model.weights, model.state, self._trainer.slots)
        return {
            "arrays": [jnp.asarray(leaf) for leaf in jax.tree.leaves(found)],
            "rng": self._loop._rng,
            "step": jnp.int32(self._loop.step),
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        """Go on from here."""
        # Loop.load_checkpoint compares an array with a tuple, which NumPy no longer allows, and it would begin
        # dropout's random numbers anew. So all is put in its place here; key and step have no public setter.
        model = self._trainer.accelerated_model_with_loss
        structure = jax.tree.structure((model.weights, model.state, self._trainer.slots))
        weights, states, slots = structure.unflatten(state["arrays"])
        model.replicate_weights(weights)
        model.replicate_state(states)
        self._trainer.slots = slots
        self._leave_cpu()
        self._loop._rng, self._loop._step = state["rng"], int(state["step"])


def _example(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and weights, as the loss wants them; the model itself shifts its inputs."""
    tokens = np.asarray(tokens, np.int32)
    return tokens, tokens, np.ones(tokens.shape, np.float32)
