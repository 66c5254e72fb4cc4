"""The plan of a training run: weights, memory, what fits, time; for people and for machines. No JAX, no compiling."""

import dataclasses
from typing import Any

from pixace.config import ModelConfig, TrainConfig
from pixace.models.table import count_parameters
from pixace.planning.advice import largest_batch, what_fits
from pixace.planning.arithmetic import step_seconds
from pixace.planning.machine import MemoryFound
from pixace.planning.memory import drawing_memory, stored_sizes, training_memory
from pixace.planning.rates import Rates
from pixace.progress import duration


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run will take; bytes and seconds. `None` stands for what is not known."""

    n_parameters: int
    memory: dict[str, int]
    memory_total: int
    busiest: str
    stored: dict[str, int]
    drawing: dict[str, int]
    drawing_pictures: int
    available: int | None
    available_in: str
    fits: bool | None
    largest_batch: int | None
    would_fit: str | None
    n_steps: int
    n_pictures: int | None
    passes: float | None
    step_seconds: float | None
    run_seconds: float | None
    pictures_per_second: float | None
    rates: Rates | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def make_plan(
    model: ModelConfig,
    training: TrainConfig,
    *,
    memory: MemoryFound | None,
    rates: Rates | None,
    n_pictures: int | None = None,
    drawing: int = 16,
) -> Plan:
    """The plan of a run.

    Args:
        memory: that of the device; what has to fit is compared with its free part.
        rates: of the CPU that does the work; None leaves the times out.
        n_pictures: training pictures.
        drawing: pictures that are drawn at a time.
    """
    needed = training_memory(model, training)
    available = None if memory is None else memory.free
    fits = None if available is None else needed.total <= available
    seconds = None if rates is None else step_seconds(model, training, rates)
    limit = None if training.max_minutes is None else 60 * training.max_minutes
    run = None if seconds is None else min(seconds * training.total_steps, limit or float("inf"))
    steps = training.total_steps
    if run is not None and seconds is not None and limit is not None:
        steps = min(steps, max(1, int(run / seconds)))
    return Plan(
        n_parameters=count_parameters(model),
        memory=needed.shares,
        memory_total=needed.total,
        busiest=needed.moment,
        stored=stored_sizes(model, training),
        drawing=drawing_memory(model, drawing),
        drawing_pictures=drawing,
        available=available,
        available_in="" if memory is None else memory.kind,
        fits=fits,
        largest_batch=None if available is None else largest_batch(model, training, available),
        would_fit=what_fits(model, training, available) if available is not None and not fits else None,
        n_steps=steps,
        n_pictures=n_pictures,
        passes=None if not n_pictures else steps * training.batch_size / n_pictures,
        step_seconds=seconds,
        run_seconds=run,
        pictures_per_second=None if seconds is None else training.batch_size / seconds,
        rates=rates,
    )


def table(plan: Plan, training: TrainConfig) -> str:
    """The plan for people."""
    lines = [f"{plan.n_parameters:,} weights", "", "memory of a training step"]
    lines += [_row(SHARES[name], size) for name, size in plan.memory.items() if size]
    moment = {"backward": "in the backward pass", "update": "while the weights are updated"}[plan.busiest]
    lines += [_row(f"in all, at its busiest, {moment}", plan.memory_total), *_fitting(plan, training), ""]
    lines += ["on disk", _row("weights to share", plan.stored["weights_file"])]
    lines += [_row("a checkpoint to go on from", plan.stored["checkpoint"]), ""]
    lines += [f"drawing {plan.drawing_pictures} pictures at a time"]
    lines += [_row(DRAWING[name], size) for name, size in plan.drawing.items()]
    lines += [_row("in all", sum(plan.drawing.values())), "", *_times(plan)]
    return "\n".join(lines)


SHARES = {
    "weights": "weights",
    "optimizer": "the optimiser's averages",
    "average": "averaged weights (--noema leaves them out)",
    "batch": "the batch's tokens",
    "gradients": "gradients",
    "activations": "kept by the layers for the backward pass",
    "logits": "logits of a part of the positions",
    "temporaries": "what the part at work needs",
}
DRAWING = {
    "weights": "weights",
    "copy": "their copy in the order of drawing",
    "cache": "KV cache",
    "temporaries": "logits, noise and copies",
}


def _row(label: str, size: int) -> str:
    return f"  {label:58} {size / 1e6:12,.1f} MB"


def _fitting(plan: Plan, training: TrainConfig) -> list[str]:
    if plan.available is None:
        return ["  whether it fits is not known: give the device's memory, such as --memory=10GB"]
    has = f"{plan.available / 1e9:.2f} GB of {plan.available_in}"
    verdict = f"  fits into {has}" if plan.fits else f"  DOES NOT FIT into {has}"
    most = f"  largest batch that fits, without accumulation: {plan.largest_batch} (now {training.batch_size})"
    if plan.fits:
        return [verdict, most]
    smaller = f"--batch_size={plan.largest_batch}" if plan.largest_batch else "a smaller model or smaller pictures"
    return [verdict, most, f"  {plan.would_fit or smaller} would fit"]


def _times(plan: Plan) -> list[str]:
    if plan.step_seconds is None or plan.run_seconds is None or plan.rates is None:
        return [
            "time",
            f"  {plan.n_steps:,} steps; how long one takes is known by formula for this computer's CPU alone",
        ]
    passes = "" if plan.passes is None else f", each of {plan.n_pictures:,} pictures {plan.passes:,.1f} times"
    return [
        f"time on the CPU, within a fifth or so (rates measured on {plan.rates.measured})",
        f"  a step {plan.step_seconds:.3g} s, {plan.pictures_per_second:.3g} pictures a second",
        f"  {plan.n_steps:,} steps{passes}: {duration(plan.run_seconds)}, compiling, validation and samples apart",
    ]
