"""The weights of a model, each declared once: shape, logical axes, initial values; without JAX.

Everything else - initialisation, abstract trees for checkpoints, sharding, the parameter count, the
names in a weights file, the memory that a plan expects - is derived from `weight_table`.

Matrices are stored output first, (outputs, inputs): on a CPU a product with such a matrix gives a row the
same bits whatever the number of rows beside it, so that a drawn picture does not depend on its batch.

Legend: V vocabulary, T positions, D model width, L layers, H heads, K width of a query or key, W width of
a value, F hidden width, S width of what the head reads (2 D where two streams are concatenated).
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from pixace.config import ModelConfig


@dataclass(frozen=True)
class Weight:
    """One entry of the table: initial values are `(kind, amount)`.

    Kinds: `constant` value, `normal` standard deviation, `uniform` limit, `sinusoids` (amount unused).
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    initial: tuple[str, float]


# Fields are arrays (Any, because the same classes also hold table entries, shapes or shardings) or None.
@dataclass(frozen=True)
class Norm:
    """scale and bias (D,); bias is None for RMSNorm."""

    scale: Any
    bias: Any


@dataclass(frozen=True)
class Attention:
    """query, key (H, K, D), value (H, W, D), out (D, H, W); biases (H, K), (H, W), (D,); norms (K,).

    LSH attention has no key weights.
    """

    query: Any
    key: Any
    value: Any
    out: Any
    query_bias: Any
    key_bias: Any
    value_bias: Any
    out_bias: Any
    query_norm: Any
    key_norm: Any


@dataclass(frozen=True)
class MLP:
    """up (F, D), down (D, F) and their biases."""

    up: Any
    down: Any
    up_bias: Any
    down_bias: Any


@dataclass(frozen=True)
class Block:
    """One layer; in a trained model each leaf has a leading layer axis (L, ...)."""

    attention_norm: Norm
    attention: Attention
    mlp_norm: Norm
    mlp: MLP


@dataclass(frozen=True)
class Parameters:
    """A whole model: embedding (V, D), positions (T, D) or None, blocks, head (V, S) and its bias (V,)."""

    embedding: Any
    positions: Any
    blocks: Any
    final_norm: Norm
    output: Any
    output_bias: Any


def weight_table(config: ModelConfig) -> Parameters:
    """The tree of all weights, with a `Weight` at each leaf."""
    c = config
    n_streams = 2 if c.residual == "reversible" and c.streams == "concat" else 1
    vocab, model = (c.vocab_size, "vocab"), (c.d_model, "embed")
    place = (c.n_positions, "position")
    head_input = (n_streams * c.d_model, "embed")
    as_trax = c.arch == "trax"
    embedding = ("uniform", math.sqrt(3.0 / c.d_model)) if as_trax else ("normal", 0.02)
    output = ("uniform", _glorot(head_input[0], c.vocab_size)) if as_trax else ("constant", 0.0)
    return Parameters(
        embedding=_weight([vocab, model], embedding),
        positions=_weight([place, model], ("sinusoids", 0.0)) if c.positions == "learned" else None,
        blocks=_stack(_block_table(c), c.n_layers),
        final_norm=_norm_table(c, head_input),
        output=_weight([vocab, head_input], output),
        output_bias=_bias([vocab]) if c.output_bias else None,
    )


def _block_table(c: ModelConfig) -> Block:
    model, heads, hidden = (c.d_model, "embed"), (c.n_heads, "heads"), (c.d_ff, "mlp")
    width, value_width = (c.d_head, "head"), (c.d_value, "head")
    as_trax = c.arch == "trax"

    def inner(fan_out: int) -> tuple[str, float]:
        return ("uniform", _glorot(c.d_model, fan_out)) if as_trax else ("uniform", math.sqrt(3.0 / c.d_model))

    def closing(fan_in: int) -> tuple[str, float]:  # base: the layers start as the identity
        return ("uniform", _glorot(fan_in, c.d_model)) if as_trax else ("constant", 0.0)

    bias, norm = c.attention_bias, _weight([width], ("constant", 1.0)) if c.qk_norm else None
    own_key = c.attention != "lsh"
    return Block(
        attention_norm=_norm_table(c, model),
        attention=Attention(
            query=_weight([heads, width, model], inner(c.n_heads * c.d_head)),
            key=_weight([heads, width, model], inner(c.n_heads * c.d_head)) if own_key else None,
            value=_weight([heads, value_width, model], inner(c.n_heads * c.d_value)),
            out=_weight([model, heads, value_width], closing(c.n_heads * c.d_value)),
            query_bias=_bias([heads, width]) if bias else None,
            key_bias=_bias([heads, width]) if bias and own_key else None,
            value_bias=_bias([heads, value_width]) if bias else None,
            out_bias=_bias([model]) if bias else None,
            query_norm=norm,
            key_norm=norm if own_key else None,
        ),
        mlp_norm=_norm_table(c, model),
        mlp=MLP(
            up=_weight([hidden, model], inner(c.d_ff)),
            down=_weight([model, hidden], closing(c.d_ff)),
            up_bias=_bias([hidden]) if c.mlp_bias else None,
            down_bias=_bias([model]) if c.mlp_bias else None,
        ),
    )


def _norm_table(c: ModelConfig, width: tuple[int, str]) -> Norm:
    bias = _weight([width], ("constant", 0.0)) if c.norm == "layer" else None
    return Norm(scale=_weight([width], ("constant", 1.0)), bias=bias)


def _weight(dimensions: list[tuple[int, str]], initial: tuple[str, float]) -> Weight:
    return Weight(tuple(d for d, _ in dimensions), tuple(name for _, name in dimensions), initial)


def _bias(dimensions: list[tuple[int, str]]) -> Weight:
    return _weight(dimensions, ("normal", 1e-6))


def _glorot(fan_in: int, fan_out: int) -> float:
    return math.sqrt(6.0 / (fan_in + fan_out))


def _stack(table: Any, n_layers: int) -> Any:
    if table is None:
        return None
    if isinstance(table, Weight):
        return Weight((n_layers, *table.shape), ("layers", *table.axes), table.initial)
    return type(table)(*(_stack(getattr(table, field.name), n_layers) for field in dataclasses.fields(table)))


def weights_by_name(config: ModelConfig) -> dict[str, Weight]:
    """The entries of the table by dotted name, such as `blocks.attention.query`."""
    return dict(_by_name(weight_table(config), ""))


def _by_name(table: Any, prefix: str) -> list[tuple[str, Weight]]:
    if table is None:
        return []
    if isinstance(table, Weight):
        return [(prefix, table)]
    fields = [(field.name, getattr(table, field.name)) for field in dataclasses.fields(table)]
    return [entry for name, part in fields for entry in _by_name(part, f"{prefix}.{name}".lstrip("."))]


def count_parameters(config: ModelConfig) -> int:
    """Number of weights of such a model."""
    return sum(math.prod(w.shape) for w in weights_by_name(config).values())
