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

PLAIN, PLAIN_AND_GREEDY = {}, {"temperature": [1.0, 0.0]}
COLD, HOT = ({"temperature": t, "top_k": 7, "top_p": 0.9, "min_p": 0.02} for t in ([0.0, 0.7], [1.3, 1.0]))
ODD = {"trax-reformer": 5, "local-reformer": 5, "lsh-transformer": 3, "base-reformer-bfloat16": 3}  # rows of a group


@pytest.mark.subset
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_engine_equals_the_slow_sampler_token_for_token(options):
    config = tiny_config(**options)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 2)
    engine = Engine(parameters, config)
    # Each length of a prefill is a program: the two kinds of model share the longer ones between them.
    runs, length = [(0, PLAIN_AND_GREEDY), (1, HOT)], config.n_positions
    if config.model_type == "reformer":
        runs += [(length - 14, COLD), (length - 1, HOT), (length, PLAIN)]
    else:
        runs += [(70, COLD)]
    for cut, how in runs:
        settings = make_settings(2, **how)
        fast = engine.generate(tokens, cut, settings, seed=3)
        slow = generate_naive(parameters, config, tokens, cut, settings, seed=3)
        np.testing.assert_array_equal(fast, slow)
        np.testing.assert_array_equal(fast[:, :cut], tokens[:, :cut])


@pytest.mark.parametrize("name", [*MODELS, "base-reformer-bfloat16"])
def test_a_picture_depends_on_seed_and_index_alone(name):
    """Not on the rows beside it, its place among them, or the size of the chunks."""
    config = tiny_config(**MODELS.get(name, {"model_type": "reformer", "dtype": "bfloat16"}))
    parameters, tokens = tiny_parameters(config), random_tokens(config, 18)
    engine = Engine(parameters, config)
    everyone = engine.generate(tokens, 30, make_settings(18), seed=9)  # groups of 16 and 2 rows
    lists = [[4], [17], [7, 4], list(range(2, 18)), list(range(17, -1, -1))]
    if name in ODD:
        lists.append(list(range(14, 14 - ODD[name], -1)))
    for rows in lists:
        settings = make_settings(len(rows), index=rows)
        np.testing.assert_array_equal(engine.generate(tokens[rows], 30, settings, seed=9), everyone[rows])
    *_, in_chunks = engine.stream(tokens[:2], 30, make_settings(2), 9, chunk=7)
    np.testing.assert_array_equal(in_chunks, everyone[:2])
    assert (engine.generate(tokens, 30, make_settings(18), seed=10) != everyone).any()


@jax.jit
def logits_of(parameters, features):
    return head(parameters, features)


@pytest.mark.parametrize("pieces", [(71, 1, 1, 71), (1, 71, 71, 1)], ids=["from-many", "from-one"])
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_cached_decode_equals_full_forward(options, pieces):
    """Logits, at any split into pieces, with a cache whose unwritten places hold NaN keys and any address."""
    config = tiny_config(**options)
    parameters, tokens = tiny_parameters(config), random_tokens(config, 2).astype(np.int32)
    whole = np.asarray(logits_of(parameters, forward(parameters, config, tokens)))
    inputs = np.pad(tokens[:, :-1], ((0, 0), (1, 0)))
    layers = unstack(parameters, config)
    cache = jax.eval_shape(lambda: empty_cache(config, 2))
    addresses = tuple(np.arange(a.size, dtype=np.int32).reshape(a.shape) % 50 for a in cache.addresses)
    keys, values = (
        tuple(np.full(x.shape, y, x.dtype) for x in z) for z, y in ((cache.keys, np.nan), (cache.values, 0))
    )
    cache, found = KVCache(keys, values, addresses), []
    start = 0
    for count in pieces:
        features, cache = extend(layers, config, cache, inputs[:, start : start + count], np.int32(start))
        found.append(features)
        start += count
    assert start == config.n_positions
    found = logits_of(parameters, np.concatenate(found, axis=1))
    np.testing.assert_allclose(found, whole, atol=3e-5)


def test_one_compile_serves_all_temperatures_filters_and_cuts():
    config = tiny_config()
    engine, tokens = Engine(tiny_parameters(config), config), random_tokens(config, 2)
    engine.generate(tokens, 64, make_settings(2, [0.9, 1.1]), seed=0)
    compiled = decode._cache_size()
    engine.generate(tokens, 64, make_settings(2, [0.0, 2.0], top_k=3, top_p=0.5, min_p=0.1), seed=1)
    engine.generate(tokens, 33, make_settings(2, 1.0), seed=2)
    engine.generate(tokens, 0, make_settings(2, 1.0), seed=2)
    assert decode._cache_size() == compiled


def test_temperatures_of_one_picture_share_its_noise():
    config = tiny_config()
    engine, tokens = Engine(tiny_parameters(config), config), random_tokens(config, 1)
    both = engine.generate(np.repeat(tokens, 2, 0), 10, make_settings(2, 0.8, index=[3, 3]), seed=1)
    np.testing.assert_array_equal(both[0], both[1])
    apart = engine.generate(np.repeat(tokens, 2, 0), 10, make_settings(2, 0.8, index=[3, 4]), seed=1)
    assert (apart[0] != apart[1]).any()


def test_groups_of_rows_are_drawn_alike():
    config = tiny_config()
    engine, tokens = Engine(tiny_parameters(config), config), random_tokens(config, 16)
    expected = engine.generate(tokens, 50, make_settings(16), seed=2)
    engine.group = 5  # 5 + 5 + 5 + a lone row
    np.testing.assert_array_equal(engine.generate(tokens, 50, make_settings(16), seed=2), expected)
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
    logits = 2.5 * np.random.default_rng(1).standard_normal((6, 40)).astype(np.float32)
    settings = make_settings(6, 1.0, top_k, top_p, min_p)
    odds = np.exp(logits) * (np.arange(40) >= 2)  # the first two ids are never drawn
    allowed = np.stack([naive_filter(row / row.sum(), top_k, top_p, min_p) for row in odds])
    drawn = np.zeros_like(allowed)
    for seed in range(400):
        drawn[np.arange(6), np.asarray(draw_widely(logits, settings, seed))] = True
    np.testing.assert_array_equal(drawn, allowed)


@jax.jit
def draw_widely(logits, settings, seed):
    """With noise wide enough to reach every entry."""
    noise = gumbel_noise(jax.random.key(seed), settings.index, jnp.int32(0), logits.shape[-1])
    return choose(logits, settings, 8 * noise)


CHOOSE = jax.jit(choose)
NOISE = jax.jit(gumbel_noise, static_argnums=3)


def test_draws_follow_the_softmax_and_never_a_reserved_id():
    logits = np.tile(np.array([9.0, 9.0, 0.0, 1.0, 2.0, -1.0], np.float32), (20000, 1))
    settings = make_settings(20000, 0.5)
    noise = NOISE(jax.random.key(0), settings.index, np.int32(4), 6)
    counts = np.bincount(np.asarray(CHOOSE(logits, settings, noise)), minlength=6) / 20000
    expected = np.exp(np.array([0.0, 1.0, 2.0, -1.0]) / 0.5)
    assert counts[:2].sum() == 0
    np.testing.assert_allclose(counts[2:], expected / expected.sum(), atol=0.015)


def test_temperature_zero_is_greedy_and_not_nan():
    logits = np.random.default_rng(0).standard_normal((4, 30)).astype(np.float32)
    logits[:, 0] = 99.0
    settings = make_settings(4, 0.0, top_k=2, top_p=0.1)
    noise = NOISE(jax.random.key(0), settings.index, np.int32(0), 30)
    np.testing.assert_array_equal(CHOOSE(logits, settings, noise), np.argmax(logits[:, 2:], -1) + 2)


def test_a_temperature_too_small_to_divide_by_is_greedy():
    logits = np.full((1, 8), -20.0, np.float32)
    logits[0, 5] = -19.0
    settings = make_settings(1, 1e-38)
    noise = NOISE(jax.random.key(0), settings.index, np.int32(0), 8)
    assert int(CHOOSE(logits, settings, noise)[0]) == 5


def test_long_prompts_are_read_by_blocks_with_the_same_result(monkeypatch):
    config = tiny_config("base", "reformer")
    parameters, tokens = tiny_parameters(config), random_tokens(config, 2)
    whole = Engine(parameters, config).generate(tokens, 120, make_settings(2), seed=4)
    monkeypatch.setattr(engine_module, "PREFILL_BLOCK", 50)  # 144 positions: two blocks and a rest
    engine_module.prefill.clear_cache()
    np.testing.assert_array_equal(Engine(parameters, config).generate(tokens, 120, make_settings(2), seed=4), whole)
    engine_module.prefill.clear_cache()
