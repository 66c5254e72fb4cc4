"""What the comparisons with Trax share: the sizes compared, the choice of the other side, rounds and tables."""

import argparse
import sys
from collections.abc import Callable, Mapping

import jax
import numpy as np
import trax_stand_ins
from machine import DATA
from pictures import load_pictures
from roofline import describe, device_roofline

from pixace import devices
from pixace.config import ModelConfig, ModelOptions, TokenizerConfig
from pixace.errors import PixaceError
from pixace.tokenizer import Tokenizer

NAMES = {"trax": "Trax", "plain": "source's method"}


def size_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the model's sizes; the defaults are Trax's own, at the source project's 32 x 32 pixels."""
    parser.add_argument("--model_type", choices=("transformer", "reformer"), default="transformer")
    parser.add_argument("--d_model", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument(
        "--baseline",
        choices=("auto", "trax", "plain"),
        default="auto",
        help="the other side: Trax itself, or its method in plain JAX without (auto: Trax if it loads)",
    )
    parser.add_argument(
        "--small", action="store_true", help="a rehearsal: quick ceilings, whose shares are of no worth"
    )


def tokenizer_of(arguments: argparse.Namespace) -> TokenizerConfig:
    """The source project's tokens (8,194 ids) at the chosen size."""
    return TokenizerConfig(image_size=arguments.image_size)


def model_of(arguments: argparse.Namespace, arch: str = "trax", dtype: str = "float32") -> ModelConfig:
    """The model at the chosen sizes, with dropout 0.1."""
    options = ModelOptions(
        model_type=arguments.model_type,
        arch=arch,
        d_model=arguments.d_model,
        n_layers=arguments.layers,
        n_heads=arguments.heads,
        dropout=0.1,
        dtype=dtype,
    )
    return options.build(tokenizer_of(arguments))


def prepare(arguments: argparse.Namespace) -> str:
    """Choose device and other side, say both; returns `trax` or `plain`.

    The compilation cache is off: seconds of compiling are among the figures.
    """
    if arguments.device != "auto":
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[arguments.device])
    found = devices.find_devices(arguments.device)
    print(devices.describe(found))
    baseline = arguments.baseline
    if baseline != "plain":
        missing = trax_stand_ins.install()
        try:
            from pixace.trax_engine.loading import load_trax

            load_trax()
            baseline = "trax"
        except PixaceError as error:
            if baseline == "trax":
                sys.exit(str(error))
            baseline = "plain"
            print(f"{error}\nthe source's method in plain JAX stands in for Trax")
        else:
            if missing:
                print(f"stand-ins, named by Trax but not used here: {', '.join(missing)}")
    return baseline


def measure_roofline(arguments: argparse.Namespace) -> dict[str, float]:
    """The machine's ceilings, measured now and printed."""
    roof = device_roofline(arguments.small)
    print(describe(roof), flush=True)
    return roof


def real_tokens(arguments: argparse.Namespace, count: int) -> np.ndarray:
    """uint16 (count, T): CIFAR-10 where its archive is at hand, else smooth random pictures, at 32 x 32;
    random ids at other sizes."""
    config = tokenizer_of(arguments)
    if arguments.image_size != 32:
        shape = (count, config.n_tokens)
        return np.random.default_rng(0).integers(2, config.vocab_size, shape).astype(np.uint16)
    pictures, _ = load_pictures(count)
    return Tokenizer(config).encode_rgb(pictures).reshape(len(pictures), -1)


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round; the sides take turns, and every other round goes backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            seconds[name].append(sides[name]())
            print(f"  round {number + 1}, {name}: {seconds[name][-1]:.2f} s", flush=True)
    return seconds


def ratios(seconds: Mapping[str, list[float]], baseline: str) -> dict[str, list[float]]:
    """How many times as fast as the baseline each side was, round by round."""
    return {
        name: [round(a / b, 3) for a, b in zip(seconds[baseline], values, strict=True)]
        for name, values in seconds.items()
    }


def training_flops(config: ModelConfig, batch: int) -> float:
    """Operations that one step needs: 6 for each weight of a product and token, and the products of attention.

    Counted: query, key, value, output, both feed-forward matrices and the head; of attention the half of the square
    that is not masked, 2 (K + W) operations a head and pair, three times (forward and both gradients). Not counted:
    what a side computes twice to save memory, the masked half, norms, softmax and the optimiser. So both sides
    are held to the same figure.
    """
    return 3 * batch * forward_flops(config)


def forward_flops(config: ModelConfig) -> float:
    """Operations that a forward pass over one whole picture needs; drawing it token by token needs as many."""
    c, length = config, config.n_positions
    per_layer = c.d_model * c.n_heads * 2 * (c.d_head + c.d_value) + 2 * c.d_model * c.d_ff
    streams = 2 if c.residual == "reversible" and c.streams == "concat" else 1
    weights = c.n_layers * per_layer + streams * c.d_model * c.vocab_size
    pairs = length * (length + 1) / 2
    return 2 * weights * length + c.n_layers * c.n_heads * pairs * 2 * (c.d_head + c.d_value)


def data_note(arguments: argparse.Namespace) -> str:
    """What the tokens of `real_tokens` are, for the result."""
    if arguments.image_size != 32:
        return "random ids"
    return "CIFAR-10" if (DATA / "cifar10.zip").exists() else "random, smooth"
