"""A picture as a stack of layers: the golden numbers of the source project, exactness, gradients, files."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from safetensors.numpy import save_file

from pixace import ImStack
from pixace.canvas.colours import DARKEST, logit
from pixace.canvas.imstack import _analyse, _layer_sizes
from pixace.canvas.resizing import resize
from pixace.errors import ConfigError, PixaceError


def golden(edge: int) -> np.ndarray:
    """The picture that the numbers are of: two waves and noise."""
    y, x = np.meshgrid(np.arange(edge) / edge, np.arange(edge) / edge, indexing="ij")
    noise = np.clip(0.5 + 0.25 * np.random.default_rng(0).standard_normal((edge, edge)), 0, 1)
    waves = 0.5 + 0.4 * np.sin(9 * x + 3 * y), 0.5 + 0.4 * np.cos(40 * x * y)
    return np.clip(np.stack([*waves, noise], -1), 0.001, 0.999)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * np.log10(max(np.square(a - b).mean(), 1e-30))


EXACT = 100.0  # dB: what float32 leaves of exactness is more


@pytest.mark.parametrize(
    ("edge", "sizes", "method", "ladder"),
    [
        (256, (4, 32, 2), "bilinear", [15.99, 16.44, 17.80, EXACT]),
        (256, (3, 16, 4), "bilinear", [15.57, 16.44, EXACT]),
        (256, (5, 8, 3), "bilinear", [13.51, 15.43, 16.00, 19.75, 28.74]),
        (540, (4, 32, 2), "bilinear", [15.38, 15.50, 15.79, 17.07]),
        (540, (5, 8, 3), "bilinear", [13.20, 15.59, 15.74, 16.67, 22.18]),
        (128, (4, 32, 2), "bilinear", [16.39, 17.82, EXACT, EXACT]),
        (256, (4, 32, 2), "area", [17.14, 17.26, 17.74, EXACT]),
        (256, (3, 16, 4), "area", [16.38, 17.28, EXACT]),
    ],
)
def test_the_golden_ladder(edge, sizes, method, ladder):
    picture, total = golden(edge), 0.0
    layers = _analyse(logit(picture), _layer_sizes((edge, edge), *sizes, exact=False), method)
    for layer, expected in zip(layers, ladder, strict=True):
        total = total + np.asarray(resize(layer, (edge, edge)), np.float64)
        found = psnr(1 / (1 + np.exp(-total)), picture)
        assert found > EXACT if expected == EXACT else found == pytest.approx(expected, abs=0.006)
    if edge == 128:
        np.testing.assert_allclose(layers[-1], 0, atol=1e-5)


@pytest.mark.parametrize("sizes", [(4, 32, 2), (3, 16, 4)])
@pytest.mark.parametrize("analysis", ["area", "bilinear"])
def test_a_picture_of_256_is_reconstructed_up_to_the_darkest(sizes, analysis):
    colours = np.random.default_rng(0).random((256, 256, 3)).astype(np.float32)  # black and white among them
    colours[:, :2], colours[:, -2:] = 0, 1
    stack = ImStack(*sizes, colours, 256, analysis=analysis)
    assert [layer.shape[0] for layer in stack.layers] == [sizes[1] * sizes[2] ** i for i in range(sizes[0])]
    assert np.abs(np.asarray(stack()) - colours).max() <= DARKEST + 1e-6
    np.testing.assert_allclose(stack(), np.clip(colours, DARKEST, 1 - DARKEST), atol=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_layers_have_their_size_whatever_the_picture_has(exact):
    """None is one pixel short, as edges that a factor makes and rounds down are."""
    for edge in range(64, 1025):
        for whole in ((edge, edge), (edge, edge // 2), (edge // 3, edge)):
            sizes = _layer_sizes(whole, 4, 32, 2, exact)
            assert [max(size) for size in sizes[:3]] == [32, 64, 128]
            assert max(sizes[3]) == (edge if exact and edge not in (64, 128) else 256)
    for whole in [98, (103, 61), (40, 107), (161, 200), 850, 64, 1024]:
        stack = jax.eval_shape(lambda s=whole: ImStack(out_size=s, exact=exact))
        size = whole if isinstance(whole, tuple) else (whole, whole)
        assert jax.eval_shape(lambda stack: stack(), stack).shape == (*size, 3)


@pytest.mark.parametrize("out_size", [98, 107, 161, 540, (48, 130), 7])
@pytest.mark.parametrize("analysis", ["area", "bilinear"])
def test_one_layer_has_the_full_size_and_the_picture_comes_back(out_size, analysis):
    height, width = out_size if isinstance(out_size, tuple) else (out_size, out_size)
    pixels = np.round(255 * golden(max(height, width))[:height, :width]).astype(np.uint8)
    stack = ImStack(init_image=pixels, out_size=out_size, analysis=analysis)
    assert stack.size == (height, width) and (height, width) in [layer.shape[:2] for layer in stack.layers]
    np.testing.assert_array_equal(np.asarray(stack.to_pil()), pixels)
    assert ImStack(3, 8, 2, pixels, out_size, exact=False).layers[-1].shape[:2] != (height, width)


def test_shape_and_size_are_kept_or_chosen(tmp_path):
    wide = Image.new("RGBA", (120, 60), (255, 0, 0, 128))
    wide.save(tmp_path / "wide.png")
    stack = ImStack(init_image=tmp_path / "wide.png", out_size=64)
    assert stack.size == (32, 64) and stack().shape == (32, 64, 3)
    assert [layer.shape[:2] for layer in stack.layers] == [(16, 32), (32, 64), (64, 128), (128, 256)]
    assert ImStack(init_image=str(tmp_path / "wide.png"), out_size=None).size == (60, 120)
    assert ImStack(init_image=wide, out_size=(40, 40)).size == (40, 40)
    red, green, blue = stack.to_pil().getpixel((5, 5))
    assert red > 250 and abs(green - 127) < 3 and abs(blue - 127) < 3, "half transparent, on white"


def test_noise_follows_the_seed_and_the_decay():
    first, again, other = ImStack(seed=1), ImStack(seed=1), ImStack(seed=2)
    assert all(jax.tree.map(jnp.array_equal, first.layers, again.layers))
    assert not jnp.array_equal(first.layers[0], other.layers[0])
    deviations = [float(layer.std()) for layer in ImStack(decay=0.5).layers]
    np.testing.assert_allclose(deviations, [1, 0.5, 0.25, 0.125], rtol=0.05)


def test_a_stack_learns_under_optax():
    target = jnp.asarray(golden(32), jnp.float32)
    stack, optimizer = ImStack(3, 8, 2, out_size=32), optax.adam(0.1)
    state = optimizer.init(stack)

    @jax.jit
    def step(stack, state):
        loss, gradient = jax.value_and_grad(lambda s: jnp.square(s() - target).mean())(stack)
        updates, state = optimizer.update(gradient, state, stack)
        return optax.apply_updates(stack, updates), state, loss

    losses = []
    for _ in range(60):
        stack, state, loss = step(stack, state)
        losses.append(float(loss))
    assert isinstance(stack, ImStack) and stack.size == (32, 32) and losses[-1] < 0.1 * losses[0]


def test_previews_show_the_first_layers():
    stack = ImStack(init_image=golden(64).astype(np.float32), out_size=64, base_size=8)
    assert stack.preview().shape == (224, 224, 3) and stack.preview_pil(1, (10, 20)).size == (20, 10)
    np.testing.assert_allclose(stack.preview(4, 64), stack(), atol=1e-6)
    assert ImStack(n_layers=1).preview(1).shape == (224, 224, 3)
    assert [picture.size for picture in stack.layer_pictures()] == [(8, 8), (16, 16), (32, 32), (64, 64)]
    for wrong in (0, 5):
        with pytest.raises(ConfigError, match="1 to 4"):
            stack.preview(wrong)


def test_files_hold_the_picture_or_the_stack(tmp_path):
    stack = ImStack(seed=3, out_size=(20, 30), base_size=8, n_layers=2)
    with Image.open(stack.save(tmp_path / "a.png")) as picture:
        assert picture.size == (30, 20)
    back = ImStack.load(stack.save(tmp_path / "a.safetensors"))
    assert back.size == stack.size and jnp.array_equal(back(), stack())
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    for path in (tmp_path / "b.safetensors", tmp_path / "none.safetensors", tmp_path / "a.png"):
        with pytest.raises(PixaceError, match=path.name):
            ImStack.load(path)


def test_a_stack_of_one_layer_can_do_everything(tmp_path):
    stack = ImStack(1, init_image=golden(40).astype(np.float32), out_size=40)
    np.testing.assert_allclose(stack.layers[0], logit(golden(40)), atol=1e-4)
    assert stack.preview().shape == (224, 224, 3) and stack.preview_pil().size == (224, 224)
    assert len(stack.layer_pictures()) == len(stack.plot_layers().axes) == 1
    assert jnp.array_equal(ImStack.load(stack.save(tmp_path / "a.safetensors"))(), stack())
    assert stack.to_pil().size == stack.projected().to_pil().size == (40, 40)


def test_files_of_stacks_stay_readable(tmp_path):
    """As they were written when a stack was the only kind of canvas."""
    layers = {f"layer.{i}": np.asarray(layer) for i, layer in enumerate(ImStack(2, 4, 2, out_size=8).layers)}
    save_file(layers, tmp_path / "old.safetensors", {"kind": "pixace.imstack", "height": "8", "width": "8"})
    assert jnp.array_equal(ImStack.load(tmp_path / "old.safetensors")(), ImStack(2, 4, 2, out_size=8)())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_layers": 0}, "n_layers=0"),
        ({"base_size": 0}, "base_size=0"),
        ({"scale": 0.5}, "scale=0.5"),
        ({"out_size": 0}, "out_size=0"),
        ({"out_size": 64.0}, "out_size=64.0"),
        ({"out_size": "64"}, "out_size='64'"),
        ({"decay": float("nan")}, "decay=nan"),
        ({"out_size": (4, 0)}, "out_size=\\(4, 0\\)"),
        ({"out_size": None}, "out_size=None"),
        ({"out_size": 10**6}, "16384"),
        ({"n_layers": 30}, "lower n_layers"),
        ({"n_layers": 32, "scale": 16384}, "lower n_layers"),
        ({"analysis": "cubic"}, "area, bilinear"),
    ],
)
def test_what_makes_no_sense_is_told(options, said):
    with pytest.raises(ConfigError, match=said):
        ImStack(**options)


def test_sizes_may_be_numbers_of_numpy():
    assert ImStack(1, 4, out_size=np.int64(8)).size == (8, 8)
    assert ImStack(1, 4, out_size=np.array([8, 6])).size == (8, 6)
