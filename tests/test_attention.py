"""Local and LSH attention against dense attention under the mask that their definitions give."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny import NEARBY, TOKENIZER, random_tokens, tiny_config, tiny_parameters

from pixace.config import ConfigError, ModelOptions, TokenizerConfig
from pixace.models import cache, transformer
from pixace.models.cache import empty_cache, unstack
from pixace.models.spec import abstract_parameters, named, weight_table
from pixace.models.transformer import losses
from pixace.ops import reversible
from pixace.ops.attention import causal_attention
from pixace.ops.local import attention_along, local_attention
from pixace.ops.lsh import buckets, line_of, next_addresses, seen_from
from pixace.sharding import make_mesh, sharding

IDS = [f"{options['attention']}-{options['model_type']}" for options in NEARBY]


def inputs(length, batch=2, heads=3, width=8, value_width=5):
    random = np.random.default_rng(length)
    shapes = [(batch, length, heads, n) for n in (width, width, value_width)]
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def dense(visible, avoid_self=False):
    """The definition: all scores, a mask (B, H, T, T), a softmax; and the pull of its gradients."""
    if avoid_self:
        alone = visible.sum(-1, keepdims=True) == 1
        visible = visible & (alone | ~np.eye(visible.shape[-1], dtype=bool))

    def function(q, k, v):
        q, k, v = (x.astype(np.float64) for x in (q, k, v))
        scale = q.shape[-1] ** -0.5
        scores = np.where(visible, scale * np.einsum("bqhk,bthk->bhqt", q, k), -np.inf)
        odds = np.exp(scores - scores.max(-1, keepdims=True))
        weights = odds / odds.sum(-1, keepdims=True)

        def pull(change):
            of_weights = np.einsum("bqhw,bthw->bhqt", change, v)
            of_scores = scale * weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True))
            of_q, of_k = np.einsum("bhqt,bthk->bqhk", of_scores, k), np.einsum("bhqt,bqhk->bthk", of_scores, q)
            return of_q, of_k, np.einsum("bhqt,bqhw->bthw", weights, change)

        return np.einsum("bhqt,bthw->bqhw", weights, v), pull

    return function


def dense_of_shared_keys(visible):
    """The same as a function of q and v alone: keys are the queries at length sqrt(K)."""

    def function(q, v):
        q = q.astype(np.float64)
        short = np.mean(q * q, axis=-1, keepdims=True) ** -0.5
        result, pull_dense = dense(visible, avoid_self=True)(q, short * q, v)

        def pull(change):
            of_q, of_k, of_v = pull_dense(change)
            return of_q + short * of_k - q * short**3 * np.mean(q * of_k, axis=-1, keepdims=True), of_v

        return result, pull

    return function


def seen(found, window):
    """Position by position, from buckets (R, B, H, T): the last `window` earlier members of its bucket, and itself."""
    rounds, batch, heads, length = found.shape
    visible = np.zeros((batch, heads, length, length), bool)
    for r, b, h, i in np.ndindex(rounds, batch, heads, length):
        members = np.flatnonzero(found[r, b, h, : i + 1] == found[r, b, h, i])
        visible[b, h, i, members[-window - 1 :]] = True
    return visible


find = jax.jit(buckets, static_argnums=(1, 2))


def n_buckets(length, window):
    tokenizer = TokenizerConfig(bitdepth=(1, 1, 1), image_size=1)
    config = tiny_config("base", "reformer", tokenizer, attention="lsh", window=window)
    return dataclasses.replace(config, width=length).n_buckets


@jax.jit
def shared_keys(q):
    return q * jax.lax.rsqrt(jnp.mean(q * q, axis=-1, keepdims=True))


def lsh(q, k, v, found, window, **dropout):
    return attention_along(tuple(line_of(x, window) for x in found), q, k, v, window, avoid_self=True, **dropout)


def same_with_gradients(found, expected, arrays):
    """The result, and the gradients of a weighted sum of it."""
    wanted, pull = expected(*arrays)
    weights = np.cos(np.arange(wanted.size, dtype=np.float32)).reshape(wanted.shape)

    @jax.jit
    def run(weights, *arrays):
        result, pull = jax.vjp(found, *arrays)
        return result, pull(weights)

    value, gradients = run(weights, *arrays)
    np.testing.assert_allclose(value, wanted, atol=1e-5)
    for gradient, one in zip(gradients, pull(weights), strict=True):
        np.testing.assert_allclose(gradient, one, atol=2e-5)


@pytest.mark.subset
@pytest.mark.parametrize(("length", "window"), [(40, 8), (41, 8), (7, 8), (8, 8), (9, 8), (33, 1), (30, 29)])
def test_local_attention_equals_dense_attention_under_its_band(length, window):
    back = np.arange(length)[:, None] - np.arange(length)
    visible = np.broadcast_to((back >= 0) & (back <= window), (1, 1, length, length))
    same_with_gradients(lambda q, k, v: local_attention(q, k, v, window), dense(visible), inputs(length))


@pytest.mark.subset
@pytest.mark.parametrize("length", [1, 2, 30, 64])
def test_attention_whose_window_holds_all_equals_full_attention(length):
    q, k, v = inputs(length)
    everything = np.broadcast_to(np.tril(np.ones((length, length), bool)), (2, 3, length, length))
    same_with_gradients(lambda q, k, v: local_attention(q, k, v, length), dense(everything), (q, k, v))
    same_with_gradients(causal_attention, dense(everything), (q, k, v))
    k = np.asarray(shared_keys(q))
    found = find(k, 3, n_buckets(length, length))
    same_with_gradients(lambda q, k, v: lsh(q, k, v, found, length), dense(everything, avoid_self=True), (q, k, v))


@pytest.mark.subset
@pytest.mark.parametrize(("length", "window", "rounds"), [(40, 8, 1), (61, 8, 2), (64, 5, 4), (50, 60, 2)])
def test_lsh_attention_equals_dense_attention_over_the_union_of_the_rounds(length, window, rounds):
    q, _, v = inputs(length)
    found = find(shared_keys(q), rounds, n_buckets(length, window))
    visible = seen(np.asarray(found), window)
    assert visible.any() and (
        length <= window or visible.sum() < 0.6 * visible.shape[0] * 3 * length * (length + 1) / 2
    )
    same_with_gradients(
        lambda q, v: lsh(q, shared_keys(q), v, found, window),
        dense_of_shared_keys(visible),
        (q, v),
    )


def test_a_key_that_several_rounds_show_counts_once():
    q, _, v = inputs(50)
    k = shared_keys(q)
    once = find(k, 1, 4)
    attend = jax.jit(lambda found: lsh(q, k, v, found, 9))
    np.testing.assert_allclose(attend(np.concatenate([once, once])), attend(once), atol=1e-6)


def test_buckets_depend_on_direction_alone_and_bring_near_vectors_together():
    _, k, _ = inputs(400)
    found = np.asarray(find(k, 2, 16))
    np.testing.assert_array_equal(find(7.5 * k, 2, 16), found)
    assert found.shape == (2, 2, 3, 400) and len(np.unique(found)) == 16
    near = find(k + 0.05 * np.random.default_rng(0).standard_normal(k.shape).astype(np.float32), 2, 16)
    opposite = np.asarray(find(-k, 2, 16))
    assert np.mean(near == found) > 0.9
    np.testing.assert_array_equal((opposite.astype(int) + 8) % 16, found)


def test_addresses_found_step_by_step_equal_those_of_the_whole_sequence():
    q, _, _ = inputs(60)
    found, window = np.asarray(find(shared_keys(q), 2, 8)), 7
    whole = jax.jit(lambda found: jnp.stack([line_of(x, window).address for x in found], axis=1))(found)
    whole = np.asarray(whole)  # (B, R, H, T)
    follow = jax.jit(next_addresses, static_argnums=3)
    known = np.full(whole.shape, 3, np.int32)  # what a place held before is of no account
    start = 0
    for count in (1, 29, 1, 29):
        known[..., start : start + count] = follow(found[..., start : start + count], known, np.int32(start), window)
        start += count
    np.testing.assert_array_equal(known, whole)
    causal = np.tril(np.ones((60, 60), bool))
    shown = jax.jit(seen_from, static_argnums=2)(whole, whole, window)
    np.testing.assert_array_equal(shown & causal, seen(np.asarray(found), window))


@pytest.mark.parametrize("attention", ["local", "lsh"])
def test_dropout_takes_its_share_of_the_weights_and_keeps_the_mean(attention):
    q, _, v = inputs(60)
    k, window = shared_keys(q), 20
    found = find(k, 2, 2)

    @partial(jax.jit, static_argnames="dropout")
    def attend(key=None, dropout=0.0):
        if attention == "local":
            return local_attention(q, k, v, window, dropout=dropout, key=key)
        return lsh(q, k, v, found, window, dropout=dropout, key=key)

    draw = jax.jit(lambda seed: attend(jax.random.key(seed), dropout=0.3))
    draws = np.stack([draw(seed) for seed in range(400)])
    assert draws.std(axis=0).mean() > 0.05
    assert np.abs(draws.mean(axis=0) - np.asarray(attend())).mean() < 0.02
    np.testing.assert_array_equal(draw(1), draws[1])


def gradients_of_model(config, parameters, tokens, key=None):
    return jax.jit(jax.value_and_grad(lambda p: losses(p, config, tokens, key=key)[0].mean()))(parameters)


def close(a, b, relative):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        scale = max(float(np.abs(y).max()), 1e-6)
        np.testing.assert_allclose(x / scale, y / scale, atol=relative)


def hash_by_the_last_bits(k, rounds, count):
    """Buckets that the least change of rounding changes."""
    bits = jax.lax.bitcast_convert_type(k.astype(jnp.float32).sum(-1), jnp.int32)
    return jnp.stack([(bits >> r) % count for r in range(rounds)]).swapaxes(2, 3).astype(jnp.uint16)


@pytest.mark.parametrize("residual", ["reversible", "remat"])
def test_buckets_of_the_forward_pass_serve_the_backward_pass(residual, monkeypatch):
    """With a hash that any rounding upsets, buckets computed anew would give another gradient."""
    monkeypatch.setattr(transformer, "buckets", hash_by_the_last_bits)
    rate = 0.2 if residual == "reversible" else 0.0  # which hands its random keys on by itself
    config = tiny_config("base", "reformer", n_layers=4, attention="lsh", window=20, dropout=rate)
    plain = config
    if residual == "remat":
        config, plain = (dataclasses.replace(config, residual=kind) for kind in ("remat", "plain"))
    parameters, tokens = tiny_parameters(config), random_tokens(config, 4).astype(np.int32)
    loss, found = gradients_of_model(config, parameters, tokens, jax.random.key(7))
    if residual == "reversible":
        monkeypatch.setattr(transformer, "reversible_stack", lambda *stack: reversible._run(*stack)[0])
    expected_loss, expected = gradients_of_model(plain, parameters, tokens, jax.random.key(7))
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
    close(found, expected, 1e-3)


@pytest.mark.parametrize("options", NEARBY[1::2], ids=IDS[1::2])
def test_two_devices_equal_one_with_partial_attention(options):
    config = tiny_config(**options)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 4).astype(np.int32)
    one = gradients_of_model(config, parameters, tokens)
    batch = jax.device_put(tokens, sharding(make_mesh(jax.devices("cpu")[:2]), ("batch", None)))
    two = gradients_of_model(config, parameters, batch)
    assert float(two[0]) == pytest.approx(float(one[0]), rel=1e-6)
    close(two[1], one[1], 5e-5)


@pytest.mark.parametrize("attention", ["local", "lsh"])
def test_memory_grows_with_the_pixels_and_not_with_their_square(attention):
    def temporary(size):
        tokenizer = TokenizerConfig(bitdepth=(1, 1, 1), image_size=size)
        config = tiny_config("base", "reformer", tokenizer, attention=attention, window=64)
        tokens = np.zeros((1, config.n_positions), np.int32)
        run = jax.jit(jax.grad(lambda p: losses(p, config, tokens)[0].mean()))
        analysis = run.lower(abstract_parameters(config)).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary(64) < 4.6 * temporary(32)  # 4 times the pixels, 16 times the pairs


def test_lsh_attention_has_no_key_weights():
    config = tiny_config(attention="lsh")
    assert not [name for name in named(weight_table(config)) if ".key" in name]
    assert config.window == 2 * TOKENIZER.image_size and config.n_hashes == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 5}, "window=5 is for --attention=local or lsh"),
        ({"n_hashes": 2}, "n_hashes=2 is for --attention=lsh"),
        ({"n_hashes": 2, "attention": "local"}, "n_hashes=2 is for --attention=lsh"),
        ({"window": 0, "attention": "local"}, "window=0: at least 1"),
        ({"attention": "lsh", "arch": "trax"}, "full attention only"),
        ({"attention": "nearby"}, "full, lsh, local"),
        ({"attention": "lsh", "n_hashes": 10**6}, "at most 64 rounds"),
        ({"attention": "lsh", "window": 2, "image_size": 256}, "window=2 is too small for 65536 pixels"),
    ],
)
def test_options_that_do_not_fit_the_attention_are_refused(options, message):
    size = options.pop("image_size", 8)
    with pytest.raises(ConfigError, match=message):
        ModelOptions(**options).build(TokenizerConfig(image_size=size))


@pytest.mark.parametrize("options", NEARBY[::2], ids=IDS[::2])
def test_a_window_wider_than_the_picture_is_kept_as_it_was_given(options):
    """So that the same command again goes on with the run."""
    config = tiny_config(**{**options, "window": 10**6})
    assert config.window == 10**6
    parameters, tokens = tiny_parameters(config), random_tokens(config, 2).astype(np.int32)
    exact = dataclasses.replace(config, window=config.n_positions)
    found, expected = (tiny.log_probs(parameters, c, tokens) for c in (config, exact))
    np.testing.assert_array_equal(found, expected)


def test_addresses_stay_in_order_where_pictures_are_large():
    """At the smallest window that is allowed for 256 x 256 pixels."""
    tokenizer = TokenizerConfig(bitdepth=(1, 1, 1), image_size=256)
    config = tiny_config("base", "reformer", tokenizer, attention="lsh", window=32)
    last = np.full((1, 1, config.n_positions), config.n_buckets - 1, np.uint16)
    last[..., ::2] = 0
    line = jax.jit(line_of, static_argnums=1)(last, config.window)
    in_order = np.take_along_axis(np.asarray(line.address), np.asarray(line.order), axis=-1)
    assert in_order.min() == 0 and (np.diff(in_order) > 0).all()


def test_in_bfloat16_a_cache_moves_likelihoods_but_not_their_mean():
    """Rounding decides some buckets one way in the whole forward pass and another way with a cache."""
    config = tiny_config("base", "reformer", attention="lsh", window=20, dtype="bfloat16")
    parameters, tokens = tiny_parameters(config), random_tokens(config, 4).astype(np.int32)
    whole = np.asarray(tiny.losses(parameters, config, tokens)[0])
    inputs = np.pad(tokens[:, :-1], ((0, 0), (1, 0)))

    @jax.jit
    def with_cache(parameters):
        layers = unstack(parameters, config)
        features, _ = cache.extend(layers, config, empty_cache(config, 4), inputs, jnp.int32(0))
        logits = transformer.head(layers, features)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], -1)[..., 0]

    cached = np.asarray(with_cache(parameters))
    assert float(cached.mean()) == pytest.approx(float(whole.mean()), abs=0.02)
