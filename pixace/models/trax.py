"""Weights of Trax's TransformerLM and ReformerLM as our parameters (`--arch=trax`), and back.

Trax keeps a flat list in the order of its layers; a Dense layer there has (inputs, outputs).

Legend: D model width, H heads, K width of a query or key, W width of a value, F hidden width, L layers,
T positions, V vocabulary.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import N_RESERVED, ModelConfig, ModelOptions, RunConfig, TokenizerConfig
from pixace.errors import ConfigError, PixaceError
from pixace.fields import shown
from pixace.models.spec import MLP, Attention, Block, Norm, Parameters

_OUTSIDE = 6  # arrays that belong to no layer: embedding, positions, the last norm, the head
_EACH = {"transformer": 16, "reformer": 12}  # arrays of a layer
_HEADS = 8  # Trax's default


def config_from_trax(
    weights: Sequence[np.ndarray],
    *,
    model_type: str | None = None,
    n_heads: int | None = None,
    image_size: int | None = None,
    bitdepth: tuple[int, ...] | None = None,
    length: int | None = None,
) -> tuple[RunConfig, list[str]]:
    """The configuration of the model whose weights these are, and what had to be guessed, a line each.

    Args:
        weights: Trax's flat list of arrays.
        model_type, n_heads, image_size, bitdepth: what is known beside the arrays; None to find or guess it.
        length: tokens of a picture in training, where the file says it.

    Raises:
        ConfigError: where something given contradicts the arrays; says both values.
        PixaceError: if these are not the weights of a TransformerLM or ReformerLM for pictures.
    """
    kind, n_layers = _kind(weights)
    if model_type not in (None, kind):
        raise ConfigError(f"--model_type={model_type} contradicts the arrays, which are those of a {kind}")
    vocab_size, d_model = weights[0].shape
    n_positions = weights[1].shape[-2]
    guesses: list[str] = []
    tokenizer = TokenizerConfig(
        bitdepth=_bits(vocab_size, bitdepth, guesses),
        image_size=_edge(n_positions, length, image_size, guesses),
    )
    heads, d_head, d_value = _widths(weights, kind, d_model, n_heads, guesses)
    d_ff = _last(weights[2 + _EACH[kind] - 4])
    options = ModelOptions(kind, "trax", d_model, n_layers, n_heads=1, d_ff=d_ff)
    model = dataclasses.replace(options.build(tokenizer), n_heads=heads, d_head=d_head, d_value=d_value)
    return RunConfig(tokenizer, model), guesses


def _kind(weights: Sequence[np.ndarray]) -> tuple[str, int]:
    """Which of the two models, and its number of layers."""
    inside = len(weights) - _OUTSIDE
    shapes = [np.shape(array) for array in weights[:5]]
    if inside > 0 and len(shapes[0]) == 2 and len(shapes[1]) in (2, 3) and shapes[1][-1] == shapes[0][1]:
        for kind, first in (("transformer", 2), ("reformer", 3)):  # dimensions of the first query matrix
            if len(shapes[4]) == first and inside % _EACH[kind] == 0:
                return kind, inside // _EACH[kind]
    raise PixaceError(
        f"these {len(weights)} arrays, the first of shapes {', '.join(map(str, shapes))}, are not those of Trax's "
        "TransformerLM (6 + 16 a layer) or ReformerLM (6 + 12 a layer)"
    )


def _last(array: np.ndarray) -> int:
    if not array.shape:
        raise PixaceError("a single number is among the arrays where a matrix should be")
    return array.shape[-1]


def _bits(vocab_size: int, given: tuple[int, ...] | None, guesses: list[str]) -> tuple[int, ...]:
    total = (vocab_size - N_RESERVED).bit_length() - 1
    if vocab_size - N_RESERVED != 2 ** max(total, 0) or not 3 <= total <= 15:
        raise PixaceError(
            f"the model knows {vocab_size} token ids; a model of pictures has 2**bits + 2, with 3 to 15 bits in all"
        )
    if given is not None:
        if sum(given) != total:
            raise ConfigError(
                f"--bitdepth={shown(given)} does not fit the model's {vocab_size} token ids: "
                f"its bits must add up to {total}"
            )
        return given
    bits = ((total + 2) // 3, (total + 1) // 3, total // 3)  # hue gets what is left over, then saturation
    guesses.append(f"bitdepth={shown(bits)} is guessed from {vocab_size} token ids; --bitdepth=H,S,V if it was another")
    return bits


def _edge(n_positions: int, length: int | None, given: int | None, guesses: list[str]) -> int:
    if given is not None:
        if given < 1:
            raise ConfigError(f"--image_size={given}: at least 1 is needed")
        if given**2 > n_positions:
            raise ConfigError(f"--image_size={given} needs {given**2} positions, the model has {n_positions}")
        if given**2 < n_positions:
            guesses.append(f"the first {given**2} of {n_positions} positions are used")
        return given
    for tokens, known in ((length, True), (n_positions, False)):
        edge = math.isqrt(tokens or 0)
        if tokens and edge**2 == tokens <= n_positions:
            if tokens < n_positions:
                guesses.append(f"the first {tokens} of {n_positions} positions are used")
            if not known:
                guesses.append(f"image_size={edge} is guessed from {n_positions} positions; --image_size=N if smaller")
            return edge
    raise ConfigError(
        f"the model has {n_positions} positions, which make no square picture; give its edge as --image_size=N"
    )


def _widths(
    weights: Sequence[np.ndarray], kind: str, d_model: int, given: int | None, guesses: list[str]
) -> tuple[int, int, int]:
    """H, K and W."""
    if kind == "reformer":
        heads, _, d_head = weights[4].shape
        if given not in (None, heads):
            raise ConfigError(f"--n_heads={given} contradicts the arrays, which have n_heads={heads}")
        return heads, d_head, _last(weights[6])
    heads = given
    if heads is None:
        heads = max(n for n in range(1, _HEADS + 1) if d_model % n == 0)
        guesses.append(f"n_heads={heads} is guessed, the arrays do not say; --n_heads=N if it was another")
    if heads < 1 or d_model % heads:
        raise ConfigError(f"--n_heads={heads} does not divide the model's width, {d_model}")
    return heads, d_model // heads, d_model // heads


def parameters_from_trax(weights: Sequence[np.ndarray], config: ModelConfig) -> Parameters:
    """Arrange Trax's flat list of arrays for a model with this configuration (float32).

    Raises:
        PixaceError: where the list is not that of such a model; names the first array that differs.
    """
    _check_shapes(weights, config)
    arrays = iter(weights)
    embedding, positions = next(arrays), next(arrays)
    blocks = [_block(arrays, config) for _ in range(config.n_layers)]
    final_norm, output, output_bias = Norm(next(arrays), next(arrays)), next(arrays).T, next(arrays)
    stacked = jax.tree.map(lambda *layers: np.stack(layers), *blocks)
    positions = np.reshape(positions, positions.shape[-2:])[: config.n_positions]
    found = Parameters(embedding, positions, stacked, final_norm, output, output_bias)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), found)


def _check_shapes(weights: Sequence[np.ndarray], config: ModelConfig) -> None:
    c = config
    norm = [(c.d_model,), (c.d_model,)]
    if c.attention_bias:
        attention = [(c.d_model, c.d_model), (c.d_model,)] * 4
    else:
        query, value = (c.n_heads, c.d_model, c.d_head), (c.n_heads, c.d_model, c.d_value)
        attention = [query, query, value, (c.n_heads, c.d_value, c.d_model)]
    layer = [*norm, *attention, *norm, (c.d_model, c.d_ff), (c.d_ff,), (c.d_ff, c.d_model), (c.d_model,)]
    joined = c.d_model * (2 if c.residual == "reversible" else 1)
    head = [(joined,), (joined,), (joined, c.vocab_size), (c.vocab_size,)]
    needed = [(c.vocab_size, c.d_model), (c.n_positions, c.d_model), *layer * c.n_layers, *head]
    if len(weights) < len(needed):
        raise PixaceError(f"{len(weights)} arrays are too few for {c.n_layers} layers")
    if len(weights) > len(needed):
        raise PixaceError(f"{len(weights) - len(needed)} arrays are left over after {c.n_layers} layers")
    for i, (array, expected) in enumerate(zip(weights, needed, strict=True)):
        found = np.shape(array)
        if i == 1 and len(found) >= 2 and found[:-2] in ((), (1,)):  # old files have (1, T, D)
            found = (min(found[-2], c.n_positions), found[-1])  # positions past the picture's last are not used
        if found != expected:
            raise PixaceError(f"array {i} has shape {np.shape(array)}, the {c.model_type} needs {expected}")


def _take(arrays: Iterator[np.ndarray], count: int) -> list[np.ndarray]:
    return [next(arrays) for _ in range(count)]


def _block(arrays: Iterator[np.ndarray], config: ModelConfig) -> Block:
    attention_norm = Norm(next(arrays), next(arrays))
    attention = (_shared if config.attention_bias else _per_head)(arrays, config)
    mlp_norm = Norm(next(arrays), next(arrays))
    up, up_bias, down, down_bias = _take(arrays, 4)
    return Block(attention_norm, attention, mlp_norm, MLP(up.T, down.T, up_bias, down_bias))


def _shared(arrays: Iterator[np.ndarray], config: ModelConfig) -> Attention:
    """TransformerLM: one (D, D) matrix and a bias each for query, key, value and output."""
    heads = (config.n_heads, config.d_head)
    query, query_bias, key, key_bias, value, value_bias, out, out_bias = _take(arrays, 8)
    return Attention(
        query=query.T.reshape(*heads, -1),
        key=key.T.reshape(*heads, -1),
        value=value.T.reshape(*heads, -1),
        out=out.T.reshape(-1, *heads),
        query_bias=query_bias.reshape(heads),
        key_bias=key_bias.reshape(heads),
        value_bias=value_bias.reshape(heads),
        out_bias=out_bias,
        query_norm=None,
        key_norm=None,
    )


def _per_head(arrays: Iterator[np.ndarray], config: ModelConfig) -> Attention:
    """ReformerLM: (H, D, K) for query and key, (H, D, W) for value, (H, W, D) for output, no biases."""
    query, key, value, out = _take(arrays, 4)
    none = dict.fromkeys(("query_bias", "key_bias", "value_bias", "out_bias", "query_norm", "key_norm"))
    turned = (np.swapaxes(x, 1, 2) for x in (query, key, value))
    return Attention(*turned, out=np.transpose(out, (2, 0, 1)), **none)


def trax_from_parameters(parameters: Parameters, config: ModelConfig) -> list[np.ndarray]:
    """The inverse of `parameters_from_trax`: float32 arrays in the order of Trax's layers.

    Raises:
        PixaceError: if the model is none that Trax knows (`arch=base`).
    """
    if config.arch != "trax":
        raise PixaceError(
            f"a model with arch={config.arch} cannot be told in Trax, whose models lack its parts; "
            "only --arch=trax can (train one, or export as safetensors)"
        )
    p = jax.tree.map(lambda x: np.asarray(x, np.float32), parameters)
    arrays = [p.embedding, p.positions]
    for layer in range(config.n_layers):
        block: Block = jax.tree.map(lambda x, layer=layer: x[layer], p.blocks)
        arrays += [block.attention_norm.scale, block.attention_norm.bias]
        arrays += (_shared_arrays if config.attention_bias else _per_head_arrays)(block.attention, config)
        arrays += [block.mlp_norm.scale, block.mlp_norm.bias]
        arrays += [block.mlp.up.T, block.mlp.up_bias, block.mlp.down.T, block.mlp.down_bias]
    arrays += [p.final_norm.scale, p.final_norm.bias, p.output.T, p.output_bias]
    return [np.ascontiguousarray(array) for array in arrays]


def _shared_arrays(a: Attention, config: ModelConfig) -> list[np.ndarray]:
    arrays = []
    for matrix, bias in ((a.query, a.query_bias), (a.key, a.key_bias), (a.value, a.value_bias)):
        arrays += [matrix.reshape(-1, config.d_model).T, bias.reshape(-1)]
    return [*arrays, a.out.reshape(config.d_model, -1).T, a.out_bias]


def _per_head_arrays(a: Attention, config: ModelConfig) -> list[np.ndarray]:
    return [*(np.swapaxes(x, 1, 2) for x in (a.query, a.key, a.value)), np.transpose(a.out, (1, 2, 0))]
