"""The training step of each side, driven the same way: n steps on given batches, blocked on the new weights."""

import itertools
import time
from collections.abc import Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import source_method

from pixace.config import ModelConfig, TrainConfig
from pixace.models.spec import init_parameters
from pixace.ops.attention import choose_implementation
from pixace.training.step import init_state, train_step

TOTAL_STEPS = 1000  # of the planned run; only the learning rate depends on it
WARM_UP = 2  # the first step compiles, the second may once more


class Training(Protocol):
    """One side: `steps` takes so many, returns when the new weights are there; `loss` is that of the last one."""

    def steps(self, count: int) -> None: ...

    @property
    def loss(self) -> float: ...

    def compiled(self) -> Any:
        """The compiled step as JAX's object, from which its memory can be read."""


class OurTraining:
    """`pixace.training.step.train_step`, with the optimiser named; `implementation` of attention, or our choice."""

    def __init__(self, config: ModelConfig, tokens: np.ndarray, optimizer: str, implementation: str | None = None):
        platform = jax.devices()[0].platform
        chosen = choose_implementation(platform, config.dtype, config.d_head, config.d_value)
        self._fixed = (config, TrainConfig(batch_size=len(tokens[0]), optimizer=optimizer), implementation or chosen)
        self._state = init_state(*self._fixed[:2])
        self._batches, self._figures = itertools.cycle(tokens), jnp.zeros(1)

    def steps(self, count: int) -> None:
        for _ in range(count):
            tokens = next(self._batches)
            self._state, self._figures = train_step(*self._fixed, self._state, tokens, jnp.int32(TOTAL_STEPS))
        jax.block_until_ready(self._state)

    @property
    def loss(self) -> float:
        return float(self._figures[0])

    def compiled(self) -> Any:
        tokens = next(self._batches)
        return train_step.lower(*self._fixed, self._state, tokens, jnp.int32(TOTAL_STEPS)).compile()


class PlainTraining:
    """The source's method in plain JAX (`source_method.py`)."""

    def __init__(self, config: ModelConfig, tokens: np.ndarray):
        self._config = config
        self._weights = source_method.by_layer(init_parameters(config, jax.random.key(0)), config)
        self._slots = tuple(jax.tree.map(jnp.zeros_like, self._weights) for _ in range(2))
        self._batches, self._done, self._loss = itertools.cycle(tokens.astype(np.int32)), 0, jnp.zeros(())

    def _inputs(self) -> tuple[Any, ...]:
        key = jax.random.fold_in(jax.random.key(0), self._done)
        return self._config, self._weights, self._slots, jnp.int32(self._done), next(self._batches), key

    def steps(self, count: int) -> None:
        for _ in range(count):
            self._weights, self._slots, self._loss = source_method.adam_step(*self._inputs())
            self._done += 1
        jax.block_until_ready(self._weights)

    @property
    def loss(self) -> float:
        return float(self._loss)

    def compiled(self) -> Any:
        return source_method.adam_step.lower(*self._inputs()).compile()


class TraxTraining:
    """`trax.supervised.training.Loop` on Trax's own model with Trax's Adam and the source's learning rate."""

    def __init__(self, config: ModelConfig, tokens: np.ndarray):
        from pixace.trax_engine.loading import hushed, load_trax
        from pixace.trax_engine.models import make_model

        trax, self._hushed = load_trax(), hushed
        self._example = _example(tokens[0])
        with hushed():
            task = trax.training.TrainTask(
                _examples(tokens),
                loss_layer=trax.layers.WeightedCategoryCrossEntropy(),
                optimizer=trax.optimizers.Adam(),
                lr_schedule=lambda step: 0.1 * min(1.0, step / 400) / max(step, 400) ** 0.5,
                n_steps_per_checkpoint=10**9,  # none within a measurement
            )
            self._loop = trax.training.Loop(make_model(config, "train"), task, n_devices=1, random_seed=0)
        self._trainer = self._loop._trainer_per_task[0]  # no public name leads to its jitted step and its losses
        self._one_step, self._loss = self._trainer.one_step, jnp.zeros(())
        self._trainer.one_step = self._keep_loss

    def _keep_loss(self, *arguments: Any, **options: Any) -> Any:
        self._loss, figures = self._one_step(*arguments, **options)
        return self._loss, figures

    def steps(self, count: int) -> None:
        with self._hushed():
            self._loop.run(count)
        jax.block_until_ready(self._loop.model.weights)

    @property
    def loss(self) -> float:
        return float(self._loss)

    def compiled(self) -> Any:
        trainer = self._trainer
        model = trainer.accelerated_model_with_loss
        state = (model.weights, trainer._slots), 1, trainer._opt_params, self._example, model.state
        return trainer._accelerated_update_fn.lower(*state, jax.random.PRNGKey(0)).compile()


def _example(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tokens = np.asarray(tokens, np.int32)
    return tokens, tokens, np.ones(tokens.shape, np.float32)


def _examples(batches: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    return (_example(tokens) for tokens in itertools.cycle(batches))


def baseline_training(kind: str, config: ModelConfig, tokens: np.ndarray) -> Training:
    """The other side: `trax` or `plain`; `tokens` (N, B, T) are the batches, taken in turn."""
    return TraxTraining(config, tokens) if kind == "trax" else PlainTraining(config, tokens)


def timed(side: Training, count: int) -> float:
    """Seconds of so many steps."""
    started = time.perf_counter()
    side.steps(count)
    return time.perf_counter() - started
