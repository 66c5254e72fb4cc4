"""What fits into a memory: the largest batch, and the first change that makes a run fit."""

import dataclasses
import math
from collections.abc import Iterator

from pixace.config import ModelConfig, TrainConfig
from pixace.planning.memory import training_memory

LARGEST_BATCH = 2**20


def largest_batch(model: ModelConfig, training: TrainConfig, available: int) -> int:
    """The most pictures a step that fit into so many bytes, as one part of a batch; 0 where none fits."""

    def fits(pictures: int) -> bool:
        one_part = dataclasses.replace(training, batch_size=pictures, accumulate=1)
        return training_memory(model, one_part).total <= available

    low, high = 0, 1
    while high <= LARGEST_BATCH and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def what_fits(model: ModelConfig, training: TrainConfig, available: int) -> str | None:
    """The first change, from the one that costs least to the one that changes the model, with which a run fits.

    Returns:
        Flags for `pixace train`, or None if none of the changes is enough.
    """
    for flags, changed_model, changed_training in _changes(model, training):
        if training_memory(changed_model, changed_training).total <= available:
            return flags
    return None


def _changes(model: ModelConfig, training: TrainConfig) -> Iterator[tuple[str, ModelConfig, TrainConfig]]:
    """Flags and what they lead to: accumulation, layers computed again, the reformer, attention to near pixels."""
    parts = [n for n in _divisors(training.batch_size) if n > training.accumulate]
    cut = [(f"--accumulate={n}", dataclasses.replace(training, accumulate=n)) for n in parts]
    yield from ((flags, model, changed) for flags, changed in cut)
    if model.residual == "plain":
        again = dataclasses.replace(model, residual="remat")
        yield "--residual=remat", again, training
        yield from ((f"--residual=remat {flags}", again, changed) for flags, changed in cut)
    if model.residual == "plain" and model.arch == "base":
        reversible = dataclasses.replace(model, residual="reversible")
        yield "--model_type=reformer", reversible, training
        yield from ((f"--model_type=reformer {flags}", reversible, changed) for flags, changed in cut)
    if model.attention == "full" and model.arch == "base":
        near = dataclasses.replace(model, attention="local", window=2 * model.width)
        yield "--attention=local", near, training
        yield from ((f"--attention=local {flags}", near, changed) for flags, changed in cut)
        if model.residual == "plain":
            near = dataclasses.replace(near, residual="reversible")
            yield from ((f"--attention=local --model_type=reformer {flags}", near, changed) for flags, changed in cut)


def _divisors(number: int) -> list[int]:
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def warning(model: ModelConfig, training: TrainConfig, available: int, where: str) -> str | None:
    """One line if a training step is not likely to fit into so many bytes of `where`, with what would fit."""
    total = training_memory(model, training).total
    if total <= available:
        return None
    advice = what_fits(model, training, available)
    change = f"{advice} would fit" if advice else "it takes a smaller --d_model, --n_layers or --image_size to fit"
    return (
        f"warning: a training step needs about {total / 1e9:.2f} GB, and {available / 1e9:.2f} GB of {where} are free; "
        f"{change} (pixace plan tells more)"
    )
