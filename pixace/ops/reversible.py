"""A stack of reversible residual layers: memory that does not grow with depth.

Each layer maps two streams (a, b) to a' = a + f(b), b' = b + g(a'). The backward pass gets a and b back
by subtraction, so that no layer keeps its activations (Gomez et al., 2017, arXiv:1707.04585). What comes back
is not b to the last bit; a choice that f makes by comparing numbers, such as the buckets of LSH attention, is
therefore made once, in the forward pass, and kept.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

Decide = Callable[[Any, jax.Array], Any]  # (layer parameters, stream) -> what is decided, or None
Attend = Callable[[Any, jax.Array, Any, Any], jax.Array]  # (layer parameters, stream, key or None, decided) -> change
Half = Callable[[Any, jax.Array, Any], jax.Array]  # (layer parameters, stream, key or None) -> change


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def reversible_stack(
    decide: Decide, f: Attend, g: Half, layers: Any, a: jax.Array, b: jax.Array, keys: Any
) -> tuple[Any, Any]:
    """Run all layers; returns the two streams.

    Args:
        decide: makes, from what f is given, the choices of f; they take no part in the gradient.
        f, g: the halves of a layer; none of the three may close over arrays that are differentiated.
        layers: parameters, each leaf with a leading layer axis (L, ...).
        a, b: streams of one shape; float32, or the inversion loses accuracy with depth.
        keys: (L,) random keys or None; the backward pass hands the same key to each half.
    """
    return _run(decide, f, g, layers, a, b, keys)[0]


def _run(decide: Decide, f: Attend, g: Half, layers: Any, a: jax.Array, b: jax.Array, keys: Any) -> tuple[Any, Any]:
    def layer(streams, inputs):
        (a, b), (parameters, key) = streams, inputs
        decided = decide(parameters, b)
        a = a + f(parameters, b, key, decided)
        b = b + g(parameters, a, key)
        return (a, b), decided

    return jax.lax.scan(layer, (a, b), (layers, keys))


def _forward(decide, f, g, layers, a, b, keys):
    (a, b), decided = _run(decide, f, g, layers, a, b, keys)
    return (a, b), (layers, a, b, keys, decided)


def _backward(decide, f, g, saved, cotangents):
    layers, a, b, keys, decided = saved

    def layer(carry, inputs):
        (a, b, da, db), (parameters, key, decided) = carry, inputs
        change, pull = jax.vjp(lambda p, s: g(p, s, key), parameters, a)
        b = b - change
        from_g, from_stream = pull(db)
        da = da + from_stream
        change, pull = jax.vjp(lambda p, s: f(p, s, key, decided), parameters, b)
        a = a - change
        from_f, from_stream = pull(da)
        db = db + from_stream
        return (a, b, da, db), jax.tree.map(lambda x, y: x + y, from_f, from_g)

    (_, _, da, db), gradients = jax.lax.scan(layer, (a, b, *cotangents), (layers, keys, decided), reverse=True)
    return gradients, da, db, None


reversible_stack.defvjp(_forward, _backward)
