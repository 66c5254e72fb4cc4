"""Trained weights for the benchmarks of drawing: of a model's folder, or trained here and kept in the cache folder."""

import argparse
import itertools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from comparison import data_note, model_of, real_tokens

from pixace.checkpoints import load_config, load_weights, save_weights
from pixace.config import ModelConfig, TrainConfig
from pixace.errors import PixaceError
from pixace.folders import cache_folder
from pixace.models.spec import Parameters
from pixace.training.step import init_state, train_step


def model_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that choose the weights."""
    parser.add_argument("--model", type=Path, help="folder of a trained model with arch=trax (default: train one)")
    parser.add_argument("--train_steps", type=int, default=40, help="steps of training where --model is not given")
    parser.add_argument("--train_batch", type=int, default=2)


def trained_model(arguments: argparse.Namespace) -> tuple[ModelConfig, Parameters, str]:
    """Configuration, weights and a line on where they come from.

    A model trained here is kept under its sizes in the cache folder, so that a second run finds it.
    """
    if arguments.model:
        try:
            config = load_config(arguments.model).model
            if config.arch != "trax":
                sys.exit(f"--model={arguments.model} has arch={config.arch}; Trax can draw with arch=trax only")
            return config, load_weights(arguments.model, config), str(arguments.model.name)
        except PixaceError as error:
            sys.exit(str(error))
    config, steps, batch = model_of(arguments), arguments.train_steps, arguments.train_batch
    sizes = (config.d_model, config.n_layers, config.n_heads, arguments.image_size, steps, batch, "muon")
    folder = cache_folder() / "benchmarks" / "-".join(map(str, (config.model_type, *sizes)))
    origin = f"{steps} steps of Muon, batch {batch}, on {data_note(arguments)}"
    if not (folder / "weights.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(folder, _train(arguments, config, steps, batch), steps)
    return config, load_weights(folder, config), origin


def _train(arguments: argparse.Namespace, config: ModelConfig, steps: int, batch: int) -> Parameters:
    training = TrainConfig(batch_size=batch, optimizer="muon", seed=0)
    state = init_state(config, training)
    tokens = real_tokens(arguments, 64 * batch).reshape(-1, batch, config.n_positions)
    for number, part in zip(range(steps), itertools.cycle(tokens), strict=False):
        state, figures = train_step(config, training, "blocks", state, part, jnp.int32(steps))
        if number in (0, steps - 1) or number % 10 == 9:
            print(f"  training, step {number + 1}/{steps}: loss {float(figures[0]):.3f}", flush=True)
    return jax.block_until_ready(state.average)
