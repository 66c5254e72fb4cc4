"""The memory that training and drawing take, by formula: no JAX, no compiling.

`benchmarks/plan.py` compares the formula with what XLA says of the compiled step. On a CPU they differ by less than a
tenth with JAX 0.10.2 and 0.12. It has not been compared on a GPU.
"""

import math
from dataclasses import dataclass

from pixace.config import ModelConfig, TrainConfig
from pixace.models.table import weights_by_name
from pixace.planning.activations import FLOAT, kept, needed_by_layer, needed_by_loss, sizes_of

MATRICES = {"query", "key", "value", "out", "up", "down"}  # of the layers: Muon keeps one number for each weight
ACCUMULATED = 0.75  # of the weights: the sum of the parts' gradients, beside those of one part
# At the end of a step: gradients, updates and what makes them, as multiples of the weights that they are of.
UPDATING_MATRICES = {"muon": 3.35, "adamw": 2.07, "source": 1.31}
UPDATING_OTHERS = {"muon": 1.0, "adamw": 2.07, "source": 1.31}


@dataclass(frozen=True)
class WeightSizes:
    """Bytes of the weights in float32: all, and the matrices of the layers among them."""

    all: int
    matrices: int


def weight_sizes(model: ModelConfig) -> WeightSizes:
    """The sizes of a model's weights."""
    sizes = {name: FLOAT * math.prod(weight.shape) for name, weight in weights_by_name(model).items()}
    in_layers = (name for name in sizes if name.startswith("blocks.") and name.rpartition(".")[2] in MATRICES)
    return WeightSizes(sum(sizes.values()), sum(sizes[name] for name in in_layers))


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that a training step needs at its busiest moment, by share; the shares add up to `total`.

    Attributes:
        moment: when that is: in the `backward` pass, or while the weights are being `updated`.
        weights, optimizer, average, batch: there all the time.
        gradients: those of all weights; with accumulation their sum, too.
        activations: kept by the layers for the backward pass; 0 when the weights are updated: they are gone by then.
        logits: of the loss, with their gradient.
        temporaries: the rest: what the layer at work needs, or what the optimiser makes of the gradients.
    """

    moment: str
    weights: int
    optimizer: int
    average: int
    batch: int
    gradients: int
    activations: int
    logits: int
    temporaries: int

    @property
    def shares(self) -> dict[str, int]:
        """The shares by name."""
        names = ("weights", "optimizer", "average", "batch", "gradients", "activations", "logits", "temporaries")
        return {name: getattr(self, name) for name in names}

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.shares.values())


def training_memory(model: ModelConfig, training: TrainConfig) -> TrainingMemory:
    """The memory of one training step on one device."""
    weights = weight_sizes(model)
    others = weights.all - weights.matrices
    moments = {"muon": weights.matrices + 2 * others}.get(training.optimizer, 2 * weights.all)
    sizes = sizes_of(model, training.batch_size // training.accumulate)
    activations, layer = kept(model, sizes), needed_by_layer(model, sizes)
    logits = needed_by_loss(sizes, layer)
    gradients = weights.all + round(ACCUMULATED * weights.all * (training.accumulate > 1))
    backward = gradients + activations + layer + logits
    updating = UPDATING_MATRICES[training.optimizer] * weights.matrices + UPDATING_OTHERS[training.optimizer] * others
    in_backward = backward >= updating
    return TrainingMemory(
        moment="backward" if in_backward else "update",
        weights=weights.all,
        optimizer=moments,
        average=weights.all if training.ema else 0,
        batch=2 * training.batch_size * model.n_positions,
        gradients=gradients,
        activations=round(activations) if in_backward else 0,
        logits=round(logits) if in_backward else 0,
        temporaries=round(layer if in_backward else updating - gradients),
    )


def drawing_memory(model: ModelConfig, pictures: int) -> dict[str, int]:
    """Bytes by share that drawing so many pictures at a time needs: weights, their copy in drawing order, KV cache.

    Both copies of the weights live as long as the model does. The cache is updated in place; but on a CPU XLA copies
    it where it holds bfloat16, and most of it where attention is local.
    """
    weights = weight_sizes(model)
    element = 2 if model.dtype == "bfloat16" else FLOAT
    positions = pictures * model.n_heads * model.n_positions
    cache = positions * ((model.d_head + model.d_value) * element + model.n_hashes * 4) * model.n_layers
    copied = 0
    for name, weight in weights_by_name(model).items():
        in_layer = name.startswith("blocks.")
        if in_layer or (name == "output" and element < FLOAT):  # the rest stays as it is
            copied += math.prod(weight.shape) * (element if len(weight.shape) > 1 + in_layer else FLOAT)
    logits = 6 * FLOAT * pictures * model.vocab_size  # with noise and what the filters compare
    again = cache if element < FLOAT else round(0.8 * cache) if model.attention == "local" else 0
    return {"weights": weights.all, "copy": copied, "cache": cache, "temporaries": logits + again}


def stored_sizes(model: ModelConfig, training: TrainConfig) -> dict[str, int]:
    """Bytes on disk, without what compression may save: the weights file, and one checkpoint."""
    memory = training_memory(model, training)
    return {"weights_file": memory.weights, "checkpoint": memory.weights + memory.optimizer + memory.average}
