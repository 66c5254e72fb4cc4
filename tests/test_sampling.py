"""The engine against the slow oracle, and what a drawn picture may depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MODELS, extend, forward, random_tokens, tiny_config, tiny_parameters

from pixace.models.cache import KVCache, empty_cache, unstack
from pixace.models.transformer import head
from pixace.sampling import engine as engine_module
from pixace.sampling.engine import Engine, decode
from pixace.sampling.filters import choose, gumbel_noise, make_settings
from pixace.sampling.naive import generate_naive

MIXED = dict(temperature=[0.0, 0.7, 1.0, 1.3, 1.0], top_k=7, top_p=0.9, min_p=0.02)


@pytest.mark.subset
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_engine_equals_the_slow_sampler_token_for_token(options):
    config = tiny_config(**options)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 5)
    engine = Engine(parameters, config)
    for settings in (make_settings(5), make_settings(5, 0.0), make_settings(5, **MIXED)):
        for cut in (0, 1, 70, config.n_positions - 1, config.n_positions):
            fast = engine.generate(tokens, cut, settings, seed=3)
            slow = generate_naive(parameters, config, tokens, cut, settings, seed=3)
            np.testing.assert_array_equal(fast, slow)
            np.testing.assert_array_equal(fast[:, :cut], tokens[:, :cut])


@pytest.mark.parametrize(
    "options",
    [*MODELS.values(), {"model_type": "reformer", "dtype": "bfloat16"}],
    ids=[*MODELS, "base-reformer-bfloat16"],
)
def test_a_picture_depends_on_seed_and_index_alone(options):
    """Not on the rows beside it, its place among them, or the size of the chunks."""
    config = tiny_config(**options)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 21)
    engine = Engine(parameters, config)
    everyone = engine.generate(tokens, 30, make_settings(21), seed=9)
    for rows in ([4], [20], [7, 4], [0, 1, 2], list(range(16)), list(range(20, -1, -1))):
        settings = make_settings(len(rows), index=rows)
        np.testing.assert_array_equal(engine.generate(tokens[rows], 30, settings, seed=9), everyone[rows])
    *_, in_chunks = engine.stream(tokens[:3], 30, make_settings(3), 9, chunk=7)
    np.testing.assert_array_equal(in_chunks, everyone[:3])
    assert (engine.generate(tokens, 30, make_settings(21), seed=10) != everyone).any()


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_cached_decode_equals_full_forward(options):
    """Logits, at any split into pieces, with a cache whose unwritten places hold NaN keys and any address."""
    config = tiny_config(**options)
    parameters, tokens = tiny_parameters(config), jnp.asarray(random_tokens(config, 3), jnp.int32)
    whole = head(parameters, forward(parameters, config, tokens))
    inputs = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))
    layers = unstack(parameters, config)
    cache = empty_cache(config, 3)
    addresses = tuple(jnp.arange(a.size, dtype=jnp.int32).reshape(a.shape) % 50 for a in cache.addresses)
    cache = KVCache(tuple(jnp.full_like(k, jnp.nan) for k in cache.keys), cache.values, addresses)
    start = 0
    for count in (50, 1, 1, 40, config.n_positions - 92):
        features, cache = extend(layers, config, cache, inputs[:, start : start + count], jnp.int32(start))
        np.testing.assert_allclose(head(layers, features), whole[:, start : start + count], atol=3e-5)
        start += count


def test_one_compile_serves_all_temperatures_filters_and_cuts():
    config = tiny_config()
    engine, tokens = Engine(tiny_parameters(config), config), random_tokens(config, 3)
    engine.generate(tokens, 64, make_settings(3, [0.9, 1.0, 1.1]), seed=0)
    compiled = decode._cache_size()
    engine.generate(tokens, 64, make_settings(3, [0.0, 2.0, 0.5], top_k=3, top_p=0.5, min_p=0.1), seed=1)
    engine.generate(tokens, 33, make_settings(3, 1.0), seed=2)
    engine.generate(tokens, 0, make_settings(3, 1.0), seed=2)
    assert decode._cache_size() == compiled


def test_temperatures_of_one_picture_share_its_noise():
    config = tiny_config()
    engine, tokens = Engine(tiny_parameters(config), config), random_tokens(config, 1)
    both = engine.generate(np.repeat(tokens, 2, 0), 10, make_settings(2, 0.8, index=[3, 3]), seed=1)
    np.testing.assert_array_equal(both[0], both[1])
    apart = engine.generate(np.repeat(tokens, 2, 0), 10, make_settings(2, 0.8, index=[3, 4]), seed=1)
    assert (apart[0] != apart[1]).any()


def test_groups_of_rows_are_drawn_alike(monkeypatch):
    config = tiny_config()
    engine, tokens = Engine(tiny_parameters(config), config), random_tokens(config, 7)
    expected = engine.generate(tokens, 100, make_settings(7), seed=2)
    engine.group = 3  # 3 + 3 + a lone row
    np.testing.assert_array_equal(engine.generate(tokens, 100, make_settings(7), seed=2), expected)
    assert engine_module.CPU_GROUP == 16


def naive_filter(p, top_k, top_p, min_p):
    """The definition, by sorting: which entries may be drawn."""
    order = np.argsort(-p, kind="stable")
    kept = np.zeros(len(p), bool)
    kept[order[:top_k]] = True
    kept &= p > 0
    mass, total = 0.0, p[kept].sum()
    nucleus = np.zeros(len(p), bool)
    for i in order:
        if kept[i] and (mass < top_p * total or top_p >= 1):
            nucleus[i] = True
            mass += p[i]
    return nucleus & (p >= min_p * p.max())


@pytest.mark.subset
@pytest.mark.parametrize(
    ("top_k", "top_p", "min_p"),
    [(5, 1.0, 0.0), (1, 1.0, 0.0), (1000, 0.7, 0.0), (1000, 1e-6, 0.0), (1000, 1.0, 0.2), (9, 0.8, 0.1)],
)
def test_filters_keep_exactly_what_sorting_would_keep(top_k, top_p, min_p):
    logits = 2.5 * jax.random.normal(jax.random.key(1), (6, 40))
    settings = make_settings(6, 1.0, top_k, top_p, min_p)
    allowed = np.stack(
        [naive_filter(np.asarray(jax.nn.softmax(row)), top_k, top_p, min_p) for row in logits.at[:, :2].set(-np.inf)]
    )
    drawn = np.zeros_like(allowed)
    for seed in range(400):
        noise = 8 * gumbel_noise(jax.random.key(seed), settings.index, jnp.int32(0), 40)  # wide: reaches every entry
        drawn[np.arange(6), np.asarray(CHOOSE(logits, settings, noise))] = True
    np.testing.assert_array_equal(drawn, allowed)


CHOOSE = jax.jit(choose)


def test_draws_follow_the_softmax_and_never_a_reserved_id():
    logits = jnp.tile(jnp.array([9.0, 9.0, 0.0, 1.0, 2.0, -1.0]), (20000, 1))
    settings = make_settings(20000, 0.5)
    noise = gumbel_noise(jax.random.key(0), settings.index, jnp.int32(4), 6)
    counts = np.bincount(np.asarray(CHOOSE(logits, settings, noise)), minlength=6) / 20000
    expected = np.asarray(jax.nn.softmax(jnp.array([0.0, 1.0, 2.0, -1.0]) / 0.5))
    assert counts[:2].sum() == 0
    np.testing.assert_allclose(counts[2:], expected, atol=0.015)


def test_temperature_zero_is_greedy_and_not_nan():
    logits = jax.random.normal(jax.random.key(0), (4, 30)).at[:, 0].set(99.0)
    settings = make_settings(4, 0.0, top_k=2, top_p=0.1)
    noise = gumbel_noise(jax.random.key(0), settings.index, jnp.int32(0), 30)
    np.testing.assert_array_equal(CHOOSE(logits, settings, noise), np.argmax(logits[:, 2:], -1) + 2)


def test_long_prompts_are_read_by_blocks_with_the_same_result(monkeypatch):
    config = tiny_config("base", "reformer")
    parameters, tokens = tiny_parameters(config), random_tokens(config, 3)
    whole = Engine(parameters, config).generate(tokens, 120, make_settings(3), seed=4)
    monkeypatch.setattr(engine_module, "PREFILL_BLOCK", 50)  # 144 positions: two blocks and a rest
    engine_module.prefill.clear_cache()
    np.testing.assert_array_equal(Engine(parameters, config).generate(tokens, 120, make_settings(3), seed=4), whole)
    engine_module.prefill.clear_cache()


def test_a_temperature_too_small_to_divide_by_is_greedy():
    logits = jnp.full((1, 8), -20.0).at[0, 5].set(-19.0)
    settings = make_settings(1, 1e-38)
    noise = gumbel_noise(jax.random.key(0), settings.index, jnp.int32(0), 8)
    assert int(CHOOSE(logits, settings, noise)[0]) == 5
