"""How long a training step takes, by formula: operations and numbers touched, over this machine's rates.

Operations of matrix products, 2 for each weight and row:
    a layer's forward pass: 2 B T (3 or 4 D^2 + 2 D F), the head's 2 B T S V, of attention 4 B D for each pair seen;
    the backward pass takes two such; what is computed again to save memory, one more: the head and the scores of
    attention always, whole layers with remat and reversible residuals;
    Muon makes five rounds of three products of each matrix of the layers (m x n, m <= n): 5 (4 m^2 n + 2 m^3).
All other work - norms, softmax, rotation, activation, optimiser - is counted by the numbers that it reads and writes.
Besides, a step takes the memory of its temporary arrays anew from the system, which costs more than to write to it.
How near a step comes to the rates was fitted to measured steps on a CPU (`benchmarks/plan.py` compares).

Legend: as in `activations.py`; S width of what the head reads.
"""

import math

from pixace.config import ModelConfig, TrainConfig
from pixace.models.table import weights_by_name
from pixace.planning.activations import FLOAT, sizes_of
from pixace.planning.memory import MATRICES, training_memory, weight_sizes
from pixace.planning.rates import Rates

MUON_ROUNDS = 5


def linear_operations(model: ModelConfig, pictures: int) -> float:
    """Operations of a step's products with weights, over so many pictures."""
    again = 0 if model.residual == "plain" else 1
    rows, in_layers, in_head = 2.0 * pictures * model.n_positions, 0, 0
    for name, weight in weights_by_name(model).items():
        if name == "output":
            in_head = math.prod(weight.shape)
        elif name.startswith("blocks.") and name.rpartition(".")[2] in MATRICES:
            in_layers += math.prod(weight.shape)
    return rows * ((3 + again) * in_layers + 4 * in_head)


def attention_operations(model: ModelConfig, pictures: int) -> float:
    """Operations of a step's products of queries with keys and of weights with values."""
    again = 0 if model.residual == "plain" else 1
    pairs = sizes_of(model, pictures).scores / FLOAT
    return model.n_layers * (4 + again) * 2 * (model.d_head + model.d_value) * pairs


def optimizer_operations(model: ModelConfig, training: TrainConfig) -> float:
    """Operations of the optimiser's products: none but Muon's."""
    if training.optimizer != "muon":
        return 0.0
    found = 0.0
    for name, weight in weights_by_name(model).items():
        leaf = name.rpartition(".")[2]
        if name.startswith("blocks.") and leaf in MATRICES:
            layers, *shape = weight.shape
            rows = shape[0] if leaf in ("out", "up", "down") else shape[0] * shape[1]
            short, long = sorted((rows, math.prod(shape) // rows))
            found += layers * MUON_ROUNDS * (4.0 * short**2 * long + 2.0 * short**3)
    return found


# What a unit of work costs over what the rates promise, fitted to steps measured on two CPU cores.
LINEAR, UPDATE = 1.1, 1.3  # of the rate of large square products
ATTENTION = 3.8  # the same for heads of 32 numbers: these products are small; with the width of a head they gain
WIDE, LOGIT, RANDOM, SORTED, WEIGHT, FRESH = 3.5, 5.2, 8.0, 9.9, 1.75, 23.0  # of the bandwidth


def step_seconds(model: ModelConfig, training: TrainConfig, rates: Rates) -> float:
    """Seconds of one training step on this machine's CPU."""
    pictures = training.batch_size
    products = (
        LINEAR * linear_operations(model, pictures)
        + ATTENTION * 32 / model.d_head * attention_operations(model, pictures)
        + UPDATE * optimizer_operations(model, training)
    )
    return products / rates.products + numbers_touched(model, training) / rates.bandwidth


def numbers_touched(model: ModelConfig, training: TrainConfig) -> float:
    """Bytes that the work beside products reads and writes in a step, each kind weighed by what it costs."""
    sizes, again = sizes_of(model, training.batch_size), 0 if model.residual == "plain" else 1
    streams = (3 + again) * (15 * sizes.width + 3 * sizes.hidden)
    random = (3 + again) * sizes.scores * (model.attention_dropout > 0)
    random += (1 + again) * (sizes.hidden + 2 * sizes.width) * (model.dropout > 0)
    ordered = (4 + again) * sizes.copies * (model.attention == "lsh")
    logits = 4.0 * FLOAT * training.batch_size * model.n_positions * model.vocab_size
    in_layers = model.n_layers * (WIDE * streams + RANDOM * random + SORTED * ordered)
    memory = training_memory(model, training)
    fresh = training.accumulate * (memory.gradients + memory.activations + memory.logits + memory.temporaries)
    return in_layers + LOGIT * logits + WEIGHT * 12 * weight_sizes(model).all + FRESH * fresh
