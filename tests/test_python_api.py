"""What `import pixace` gives: load, log_probs, sample, predictors, trainers."""

import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pictures import smooth
from PIL import Image
from test_predict_command import TOKENIZER, S, make_model
from tiny import random_tokens

import pixace
from pixace.config import TokenizerConfig
from pixace.config_file import from_json, to_json
from pixace.models.transformer import forward, head
from pixace.training.settings import resolve

T = S * S
OTHER = TokenizerConfig(tokenizer="rgb", bitdepth=(2, 2, 3), image_size=10)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    make_model(folder / "tiny")
    make_model(folder / "other", seed=1, model_type="reformer", tokenizer=OTHER)
    return folder


@pytest.fixture(scope="module")
def model(weights):
    return pixace.load("tiny", weights)


@pytest.fixture(scope="module")
def tokens(model):
    return random_tokens(model.config.model, 3)


# ---- the package


@pytest.mark.subset
def test_importing_pixace_is_cheap_and_brings_no_jax():
    def seconds(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        return time.perf_counter() - started

    code = "import sys, pixace; assert not {'jax', 'numpy', 'PIL', 'absl'} & set(sys.modules), sorted(sys.modules)"
    differences = []
    for _ in range(5):
        differences.append(seconds(code) - seconds("import sys"))
        if differences[-1] < 0.05:
            break
    assert min(differences) < 0.05


def test_public_names_resolve_and_are_listed():
    for name in pixace.__all__:
        assert getattr(pixace, name).__module__.startswith("pixace."), name
        assert name in dir(pixace)
    assert set(pixace.__all__) == set(pixace._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        pixace.nonsense  # noqa: B018


def test_a_model_is_loaded_by_name_or_by_path(weights, monkeypatch):
    monkeypatch.chdir(weights.parent)
    expected = pixace.load("tiny", weights).sample(seed=1)
    for found in (pixace.load(weights / "tiny"), pixace.load(str(weights / "tiny")), pixace.load("tiny", str(weights))):
        np.testing.assert_array_equal(found.sample(seed=1), expected)
    with pytest.raises(pixace.PixaceError, match=r"no model 'nobody'.*other, tiny"):
        pixace.load("nobody", weights)


# ---- tokens


def test_the_tokenizer_of_a_model_goes_both_ways(model):
    tokens = model.tokenizer.encode(smooth(30, 20))
    assert tokens.shape == (T,) and tokens.dtype == np.uint16
    one, two = model.tokenizer.decode(tokens), model.tokenizer.decode(np.stack([tokens, tokens]))
    assert one.shape == (S, S, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(two, [one, one])
    again = model.tokenizer.encode(one)  # other ids perhaps (hue 0 and hue 1 are the same red), the same colours
    np.testing.assert_array_equal(model.tokenizer.decode(again), one)


# ---- likelihoods


@pytest.mark.subset
def test_log_probs_are_normalised_over_all_ids_and_equal_the_definition(model, tokens):
    config = model.config.model
    got = model.log_probs(tokens)
    assert got.shape == (3, T, config.vocab_size) and got.dtype == np.float32
    np.testing.assert_allclose(np.exp(got.astype(np.float64)).sum(-1), 1, atol=1e-5)

    @jax.jit
    def last(parameters, prefix, place):  # the model over what came before, and nothing else
        features = forward(parameters, config, prefix, implementation="whole")
        return jax.nn.log_softmax(head(parameters, features[:, place]))

    for t in range(T):
        prefix = np.where(np.arange(T) < t, tokens, 1)
        np.testing.assert_allclose(got[:, t], last(model.parameters, prefix.astype(np.int32), t), atol=2e-5)


def test_position_0_is_conditioned_on_the_start_id_alone(model, tokens):
    got = model.log_probs(tokens)
    np.testing.assert_allclose(got[0, 0], got[1, 0], atol=1e-6)
    before = np.concatenate([np.zeros((3, 1), np.uint16), tokens[:, :-1]], axis=1)
    # As if the sequence with the start id in front were read: position 0 sees id 0.
    shifted = jnp.asarray(before, jnp.int32)
    again = model.log_probs(np.asarray(jnp.pad(shifted[:, 1:], ((0, 0), (0, 1))), np.int64))
    np.testing.assert_allclose(again[:, :-1], got[:, :-1], atol=2e-5)


def test_log_probs_take_any_integers_and_shorter_pictures(model, tokens):
    whole = model.log_probs(tokens)
    np.testing.assert_allclose(model.log_probs(tokens[:, :9].astype(np.int64)), whole[:, :9], atol=2e-5)
    np.testing.assert_allclose(model.log_probs(tokens[:1].tolist()), whole[:1], atol=2e-5)
    assert model.log_probs(tokens[:0]).shape == (0, T, model.config.model.vocab_size)
    assert model.log_probs(tokens[:, :0]).shape == (3, 0, model.config.model.vocab_size)


def test_log_probs_in_parts_are_the_same(model, tokens, monkeypatch):
    whole = model.log_probs(tokens)
    monkeypatch.setattr("pixace.sampling.model.MOST_LOGITS", 2 * T * model.config.model.vocab_size)
    np.testing.assert_allclose(model.log_probs(tokens), whole, atol=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampling_frequencies_agree_with_log_probs(model, tokens, temperature):
    """Chi-square of the first drawn token over 4096 draws; reserved ids never come, the rest is renormalised."""
    n, at = 4096, T - 1
    drawn = model.sample(tokens[0, :at], n=n, temperature=temperature, seed=11)[:, at]
    logits = model.log_probs(tokens[:1])[0, at].astype(np.float64) / temperature
    p = np.exp(logits - logits.max())
    p[:2] = 0
    expected, counts = n * p / p.sum(), np.bincount(drawn, minlength=len(p))
    assert counts[:2].sum() == 0
    common = expected >= 5
    expected = np.append(expected[common], expected[~common].sum())
    counts = np.append(counts[common], counts[~common].sum())
    freedom = len(expected) - 1
    assert freedom > 5
    chi = ((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    assert chi < freedom + 4 * np.sqrt(2 * freedom), f"chi-square {chi:.1f} with {freedom} degrees of freedom"


# ---- drawing


def test_samples_have_the_promised_shape_and_type(model, tokens):
    assert model.sample().shape == (1, T) and model.sample().dtype == np.uint16
    assert model.sample(n=5).shape == (5, T)
    assert model.sample(tokens[0]).shape == (1, T)
    assert model.sample(tokens).shape == (3, T)
    assert model.sample(tokens, n=6).shape == (6, T)
    assert model.sample(n=2).min() >= 2


def test_row_i_continues_prompt_i_mod_b(model, tokens):
    drawn = model.sample(tokens, n=6, cut=50, seed=2)
    np.testing.assert_array_equal(drawn[:, :50], np.tile(tokens, (2, 1))[:, :50])
    assert (drawn[:3, 50:] != drawn[3:, 50:]).any(axis=1).all(), "repetitions of a prompt have noise of their own"
    np.testing.assert_array_equal(model.sample(tokens, cut=50, seed=2), drawn[:3])


def test_cut_defaults_to_the_prompts_length_or_to_half_of_a_whole_picture(model, tokens):
    np.testing.assert_array_equal(model.sample(tokens, seed=2), model.sample(tokens, cut=T // 2, seed=2))
    np.testing.assert_array_equal(model.sample(tokens[:, :20], seed=2), model.sample(tokens, cut=20, seed=2))
    np.testing.assert_array_equal(model.sample(tokens, cut=T, seed=2), tokens)
    np.testing.assert_array_equal(model.sample(tokens[0], n=3, cut=0, seed=2), model.sample(n=3, seed=2))


def test_a_seed_draws_the_same_again_and_another_seed_something_else(model):
    np.testing.assert_array_equal(model.sample(n=2, seed=4), model.sample(n=2, seed=4))
    np.testing.assert_array_equal(model.sample(n=2), model.sample(n=2, seed=0))
    assert (model.sample(n=2, seed=4) != model.sample(n=2, seed=5)).any()


def test_filters_restrict_what_is_drawn(model, tokens):
    at = T - 1
    logits = model.log_probs(tokens)[:, at, 2:]
    best = np.argsort(-logits, axis=-1)[:, :2] + 2
    two = model.sample(tokens, n=300, cut=at, top_k=2, seed=1)[:, at].reshape(-1, 3)
    assert all(set(two[:, i]) == set(best[i]) for i in range(3))
    for options in (dict(temperature=0), dict(top_k=1), dict(top_p=1e-6), dict(min_p=1.0)):
        np.testing.assert_array_equal(model.sample(tokens, cut=at, **options)[:, at], best[:, 0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(n=0), "n=0 pictures"),
        (dict(n=2.5), "n=2.5 must be a whole number"),
        (dict(prompt_tokens=np.full((3, 4), 5), n=4), "n=4 pictures must be .* a multiple of the 3 prompts"),
        (dict(prompt_tokens=np.full((0, 4), 5), n=4), r"shape \(0, 4\)"),
        (dict(prompt_tokens=np.full((1, 2, 3), 5)), r"shape \(1, 2, 3\)"),
        (dict(prompt_tokens=np.float32([5.0, 6.0])), "integers, not float32"),
        (dict(prompt_tokens=5), "not a single number"),
        (dict(prompt_tokens=[66]), r"must be in \[0, 66\), found 66"),
        (dict(prompt_tokens=[-1]), r"must be in \[0, 66\), found -1"),
        (dict(prompt_tokens=np.full(T + 1, 5)), "65 tokens are more than the model's 64"),
        (dict(cut=1), "cut=1 must be between 0 and the 0 tokens"),
        (dict(prompt_tokens=[5, 6], cut=3), "cut=3 must be between 0 and the 2 tokens"),
        (dict(prompt_tokens=[5, 6], cut=-1), "cut=-1"),
        (dict(prompt_tokens=[5, 6], cut="1"), "cut='1' must be a whole number"),
        (dict(temperature=-0.1), "temperature=-0.1"),
        (dict(temperature=float("nan")), "temperature=nan"),
        (dict(temperature=1e39), "temperature=1e[+]39"),
        (dict(temperature=[1, 2, 3], n=2), "one for each of 2 pictures"),
        (dict(top_k=0), "top_k=0"),
        (dict(top_k=2**31), "top_k=2147483648"),
        (dict(top_k=1.5), "top_k=1.5 must be a whole number"),
        (dict(top_p=0), "top_p=0"),
        (dict(top_p=1.1), "top_p=1.1"),
        (dict(min_p=-1), "min_p=-1"),
        (dict(seed=-1), "seed=-1"),
        (dict(seed=2**32), "seed=4294967296"),
        (dict(index=[1, 2], n=3), "index holds 2 numbers for 3 pictures"),
    ],
)
def test_arguments_that_do_not_fit_are_named(model, options, said):
    with pytest.raises(pixace.PixaceError, match=said):
        model.sample(**options)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (np.full(T, 5), r"log_probs takes tokens \(B, T\)"),
        (np.full((1, T + 1), 5), "65 tokens are more"),
        (np.full((1, T), 66), r"must be in \[0, 66\)"),
        (np.full((1, T), 0.5), "integers, not float64"),
    ],
)
def test_log_probs_name_what_does_not_fit(model, tokens, said):
    with pytest.raises(pixace.PixaceError, match=said):
        model.log_probs(tokens)


def test_two_models_side_by_side_do_not_disturb_each_other(weights):
    def load():
        return pixace.load("tiny", weights), pixace.load("other", weights)

    one, two = load()
    expected = [one.sample(n=2, seed=3), two.sample(n=2, seed=3)]
    assert expected[0].shape == (2, 64) and expected[1].shape == (2, 100)
    one, two = load()
    found: dict[str, np.ndarray] = {}

    def work(name, model):
        found[name] = model.sample(n=2, seed=3)
        found[name + " likely"] = model.log_probs(found[name])

    threads = [threading.Thread(target=work, args=arguments) for arguments in (("one", one), ("two", two))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found["one"], expected[0])
    np.testing.assert_array_equal(found["two"], expected[1])
    assert found["two likely"].shape == (2, 100, 130)
    assert (one.tokenizer.config, two.tokenizer.config) == (TOKENIZER, OTHER)


# ---- the source project's names


def test_get_predictor_predicts_a_picture(weights):
    predictor = pixace.get_predictor("tiny", "transformer", weights, S, (2, 2, 2))
    plain = predictor.predict(3, None, None, 0.8, 20)
    assert isinstance(plain, Image.Image) and plain.size == (40, 40)
    prompt = smooth(20, 20)
    for prompts in (prompt, [prompt], [np.asarray(prompt)]):
        sheet = predictor.predict(batch_size=16, prompts=prompts, cut="2r", temperature=(0.5, 1.0), scale=20)
        assert sheet.size == (80, 20)
    assert pixace.get_predictor("tiny", weights_dir=weights).predict(1).size == (256, 256)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (dict(model_type="reformer"), "model_type=reformer contradicts .* model_type=transformer"),
        (dict(image_size=9), "image_size=9 contradicts .* image_size=8"),
        (dict(bitdepth=[5, 4, 4]), "bitdepth=5,4,4 contradicts .* bitdepth=2,2,2"),
    ],
)
def test_get_predictor_names_both_values_of_a_contradiction(weights, given, said):
    with pytest.raises(pixace.ConfigError, match=said):
        pixace.get_predictor("tiny", weights_dir=weights, **given)


def test_a_drawing_without_a_temperature_is_refused(weights):
    with pytest.raises(pixace.ConfigError, match="temperature"):
        pixace.get_predictor("tiny", weights_dir=weights).predict(1, temperature=())


def test_get_trainer_trains_also_in_a_thread(tmp_path):
    """Training needs no signal handlers, which only the main thread may set; the result loads and draws."""
    for name, count in (("images", 3), ("more", 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            smooth(12 + i, 9).save(tmp_path / name / f"{i}.png")
    options = dict(d_model=16, n_layers=1, n_heads=2)
    trainer = pixace.get_trainer("mine", "transformer", tmp_path / "weights", S, (2, 2, 2), **options)
    assert isinstance(trainer, pixace.Trainer)
    ended, lines = [], []

    def work():
        silent = dict(say=lines.append, n_samples=0)
        ended.append(trainer.train(2, 2, 1, 2, f"{tmp_path}/images", f"{tmp_path}/more", **silent))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=120)
    assert ended[0].step == 4 and ended[0].folder == tmp_path / "weights/mine" and ended[0].signal is None
    assert np.isfinite(ended[0].val_loss) and any("transformer of" in line for line in lines)
    model = pixace.load("mine", tmp_path / "weights")
    assert model.config.tokenizer.bitdepth == (2, 2, 2) and model.config.model.model_type == "transformer"
    assert model.config.training.batch_size == 2 and model.config.training.total_steps == 4
    assert model.config.training.steps_per_eval == 1
    assert model.sample(n=2).shape == (2, T)


def test_training_takes_paths_and_lists_like_text_and_tuples(tmp_path):
    """What the types of `get_trainer` and `train` promise; config.json must hold it."""
    given = dict(images=tmp_path, val_images=tmp_path, bitdepth=[2, 2, 2], image_size=S)
    config, _ = resolve(None, given, tmp_path)
    again = from_json(to_json(config, {}), "config.json")
    assert again.tokenizer.bitdepth == (2, 2, 2) and again.training is not None
    assert again.training.images == again.training.val_images == str(tmp_path)
