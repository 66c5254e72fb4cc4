"""CLIP's towers: vectors and gradients as torch has them, from weights under each of the namings."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden.clip_weights import KINDS, make_weights, pictures, tokens

from pixace.clip.model import clip_shapes, encode_image, encode_text
from pixace.clip.naming import recognise
from pixace.errors import ConfigError, PixaceError
from pixace.weight_files.stored import Stored

GOLDEN = Path(__file__).parent / "golden" / "torch_clip.npz"


def stored(arrays):
    return {name: Stored(values.shape, lambda values=values: values) for name, values in arrays.items()}


def on_device(weights):
    return jax.tree.map(jnp.asarray, weights)


@pytest.fixture(scope="module", params=KINDS)
def clip(request):
    config, weights = recognise(stored(make_weights(request.param)))
    with np.load(GOLDEN) as file:
        golden = {name.partition(".")[2]: file[name] for name in file if name.startswith(request.param)}
    return config, on_device(weights), golden


def seen(config):
    return jnp.asarray(pictures(config.image.image_size))


@pytest.mark.subset
def test_vectors_and_gradients_equal_those_of_torch(clip):
    config, weights, golden = clip
    with jax.default_matmul_precision("highest"):
        texts = encode_text(weights["text"], config, "float32", jnp.asarray(tokens()))
        np.testing.assert_allclose(texts, golden["text"], atol=1e-4)

        def agreement(pictures):
            found = encode_image(weights["image"], config, "float32", pictures)
            return jnp.vdot(found, texts), found

        (_, images), gradient = jax.jit(jax.value_and_grad(agreement, has_aux=True))(seen(config))
    np.testing.assert_allclose(images, golden["image"], atol=1e-4)
    np.testing.assert_allclose(gradient, golden["gradient"], atol=1e-4 * np.abs(golden["gradient"]).max())


@pytest.mark.subset  # here the newest JAX has made NaN
def test_bfloat16_gives_nearly_the_same_unit_vectors(clip):
    config, weights, golden = clip
    found = encode_image(weights["image"], config, "bfloat16", seen(config))
    assert found.dtype == jnp.float32
    assert (np.sum(found * golden["image"], -1) > 0.99).all()
    found = encode_text(weights["text"], config, "bfloat16", jnp.asarray(tokens()))
    assert (np.sum(found * golden["text"], -1) > 0.99).all()


def test_weights_have_the_shapes_that_the_sizes_say(clip):
    config, weights, _ = clip
    shapes = jax.tree.map(lambda leaf: leaf.shape, weights)
    assert shapes == clip_shapes(config)


def test_other_sizes_of_pictures_are_taken(clip):
    config, weights, _ = clip
    edge = config.image.image_size
    larger = jnp.asarray(np.random.default_rng(0).random((1, 2 * edge, 3 * edge // 2, 3), np.float32))
    found = encode_image(weights["image"], config, "float32", larger)
    np.testing.assert_allclose(jnp.linalg.norm(found, axis=-1), 1, rtol=1e-5)


def test_a_picture_that_does_not_fit_is_an_error(clip):
    config, weights, _ = clip
    with pytest.raises(ConfigError, match="31x31"):
        encode_image(weights["image"], config, "float32", jnp.zeros((1, 31, 31, 3)))


def test_what_comes_after_the_end_of_a_text_does_not_matter(clip):
    config, weights, golden = clip
    changed = tokens().copy()
    changed[0, 5:] = 7
    found = encode_text(weights["text"], config, "float32", jnp.asarray(changed))
    np.testing.assert_allclose(found[0], golden["text"][0], atol=1e-4)


def hub_names(arrays):
    """A vision transformer's arrays as the hub names and cuts them."""
    found = {}
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
    parts |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    whole = {
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.proj": "visual_projection.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "text_projection": "text_projection.weight",
        "logit_scale": "logit_scale",
    }
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm"}
    norms |= {"ln_final": "text_model.final_layer_norm"}
    for name, values in arrays.items():
        if name in whole:
            found[whole[name]] = values.T if name in ("visual.proj", "text_projection") else values
        elif "resblocks" in name:
            prefix, _, rest = name.partition("transformer.resblocks.")
            number, _, part = rest.partition(".")
            place = f"{'vision_model' if prefix else 'text_model'}.encoder.layers.{number}"
            if "in_proj" in part:
                for letter, cut in zip("qkv", np.split(values, 3), strict=True):
                    found[f"{place}.self_attn.{letter}_proj.{part.rpartition('_')[2]}"] = cut
            else:
                stem, _, end = part.rpartition(".")
                found[f"{place}.{parts[stem]}.{end}"] = values
        else:
            stem, _, end = name.rpartition(".")
            found[f"{norms[stem]}.{end}"] = values
    return found


def same(found, expected):
    assert found[0] == expected[0]
    jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])


def test_the_hubs_names_give_the_same_model():
    arrays = make_weights("vit")
    same(recognise(stored(hub_names(arrays))), recognise(stored(arrays)))


@pytest.mark.parametrize("kind", KINDS)
def test_cloobs_names_give_the_same_model(kind):
    """It has `module.` before each name, and its own scales of the loss."""
    arrays = {f"module.{name}": values for name, values in make_weights(kind).items() if name != "logit_scale"}
    arrays |= {"module.logit_inv_tau": np.float32(3), "module.logit_scale_hopfield": np.float32(2)}
    same(recognise(stored(arrays)), recognise(stored(make_weights(kind))))


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("vit", lambda arrays: arrays.pop("visual.ln_post.bias"), "visual.ln_post.bias is missing"),
        ("vit", lambda arrays: arrays.pop("text_projection"), "text_projection is missing"),
        ("resnet", lambda arrays: arrays.pop("visual.layer2.1.bn2.running_var"), "running_var is missing"),
        ("vit", lambda arrays: arrays["visual.proj"].fill(np.nan), "no finite numbers"),
        ("vit", lambda arrays: arrays.clear(), "are not those of a CLIP"),
    ],
)
def test_weights_that_are_not_whole_are_an_error_that_names_them(kind, change, said):
    arrays = make_weights(kind)
    change(arrays)
    with pytest.raises(PixaceError, match=said):
        recognise(stored(arrays))
