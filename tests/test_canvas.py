"""What gradient descent changes instead of a picture: every kind of canvas gives any picture, learns and is kept."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from safetensors.numpy import save_file

import pixace
from pixace import Fourier, ImStack, LaplacianPyramid, Pixels
from pixace.canvas.canvas import Canvas
from pixace.canvas.colours import DARKEST, read_colours, to_pil
from pixace.canvas.fourier import COLOURS
from pixace.canvas.kinds import KINDS, canvas_class, make_canvas
from pixace.canvas.resizing import METHODS, resize
from pixace.errors import ConfigError, PixaceError

CLASSES = {"pixels": Pixels, "imstack": ImStack, "fourier": Fourier, "laplacian": LaplacianPyramid}
every_kind = pytest.mark.parametrize("kind", KINDS)


def random_picture(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def smooth_picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.stack([0.5 + 0.4 * np.sin(7 * x + y), 0.5 + 0.4 * np.cos(9 * x * y), 0.1 + 0.8 * x], -1).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [((37, 50), (80, 33)), ((100, 64), (31, 200)), ((300, 7), (3, 3)), ((1, 5), (4, 9)), ((64, 63), (63, 64))],
)
def test_resizing_agrees_with_others(old, new):
    """Pillow's bicubic, JAX's bilinear, and the average over pixels that are cut small enough for both sizes."""
    values = np.random.default_rng(0).random((*old, 1), np.float32)
    pillow = Image.fromarray(values[..., 0]).resize(new[::-1], Image.Resampling.BICUBIC)
    np.testing.assert_allclose(resize(values, new, "bicubic")[..., 0], pillow, atol=1e-5)
    linear = jax.image.resize(values, (*new, 1), "linear", antialias=False)
    np.testing.assert_allclose(resize(values, new), linear, atol=1e-5)
    smaller = min(old[0], new[0]), min(old[1], new[1])
    cut = np.repeat(np.repeat(values, smaller[0], 0), smaller[1], 1)
    average = cut.reshape(smaller[0], old[0], smaller[1], old[1], 1).mean((1, 3))
    np.testing.assert_allclose(resize(values, smaller, "area"), average, atol=1e-5)
    assert jnp.array_equal(resize(values, old, "bicubic"), values), "nothing to do"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("old", "new"), [((9, 14), (20, 5)), ((3, 200), (150, 3))])
def test_gradients_of_resizing_are_exact(method, old, new):
    """A linear map and what its gradient applies are transposed to each other: <A x, y> = <x, A' y>."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((*old, 2), np.float32), rng.standard_normal((*new, 2), np.float32)
    there, back = jax.vjp(lambda values: resize(values, new, method), x)
    np.testing.assert_allclose(jnp.vdot(there, y), jnp.vdot(x, back(y)[0]), rtol=1e-4)
    both = jax.vmap(jax.grad(lambda values: jnp.vdot(resize(values, new, method), y)))(jnp.stack([x, 2 * x]))
    np.testing.assert_allclose(both[1], back(y)[0], atol=1e-5)


def test_no_large_matrix_is_multiplied():
    large = jax.ShapeDtypeStruct((2048, 2048, 3), jnp.float32)
    for method in METHODS:
        program = jax.make_jaxpr(jax.grad(lambda values, m=method: resize(values, (4096, 1024), m).sum()))(large)
        assert "gather" in str(program) and "dot_general" not in str(program)


def test_sizes_and_methods_that_make_no_sense_are_told():
    for size, method, said in [((4, 4), "cubic", "bilinear, area, bicubic"), ((0, 4), "area", "1 pixel")]:
        with pytest.raises(ConfigError, match=said):
            resize(jnp.ones((2, 2, 3)), size, method)
    for kind, size in [("pixels", 0), ("fourier", (3, 0)), ("laplacian", (3, 3, 3)), ("imstack", 10**6)]:
        with pytest.raises(ConfigError, match="out_size"):
            make_canvas(kind, None, size)
    with pytest.raises(ConfigError, match="picture whose size"):
        make_canvas("pixels", None)
    for wrong in (lambda: Fourier(decay=-1), lambda: Fourier(decay=float("nan")), lambda: LaplacianPyramid(0)):
        with pytest.raises(ConfigError, match=r"decay|n_layers=0"):
            wrong()
    with pytest.raises(ConfigError, match="seed=-1"):
        make_canvas("pixels", None, 4, seed=-1)
    with pytest.raises(ConfigError, match=", ".join(KINDS)):
        make_canvas("oil", random_picture(4, 4))


@every_kind
@pytest.mark.parametrize("size", [103, (107, 161), (1, 65), (1, 1), (2, 3)])
def test_the_picture_comes_back_and_every_layer_learns(kind, size):
    height, width = size if isinstance(size, tuple) else (size, size)
    pixels = random_picture(height, width)
    canvas = make_canvas(kind, pixels, size)
    value_and_slope = jax.jit(jax.grad(lambda canvas: (jnp.square(canvas() - 0.3).mean(), canvas()), has_aux=True))
    gradient, picture = value_and_slope(canvas)
    assert type(canvas) is CLASSES[kind] and canvas.size == (height, width) and picture.shape == (height, width, 3)
    assert all(layer.dtype == jnp.float32 for layer in canvas.layers)
    np.testing.assert_allclose(picture, pixels / 255, atol=DARKEST + 1e-5)
    np.testing.assert_array_equal(np.asarray(to_pil(picture)), pixels)
    assert all(jnp.isfinite(layer).all() and jnp.any(layer != 0) for layer in gradient.layers)


@pytest.mark.parametrize("shape", [lambda n: (n, n), lambda n: (n, max(1, n // 3))])
def test_any_size_has_the_right_shape(shape):
    """Also those whose layers, made by a factor, would come out one pixel short: 98, 103, 107, 161, 850."""
    for edge in [*range(64, 1025, 96), 98, 103, 107, 161, 850]:
        size = shape(edge)
        shapes = [jax.eval_shape(lambda k=kind, s=size: make_canvas(k, None, s)) for kind in KINDS]
        assert {canvas.size for canvas in shapes} == {size}
        assert {jax.eval_shape(lambda c: c(), canvas).shape for canvas in shapes} == {(*size, 3)}


@every_kind
def test_adam_finds_a_picture(kind):
    target, optimizer = jnp.asarray(smooth_picture(24, 36)), optax.adam(0.3 if kind == "fourier" else 0.05)
    canvas = make_canvas(kind, None, (24, 36))
    state = optimizer.init(canvas)

    @jax.jit
    def step(canvas, state):
        loss, gradient = jax.value_and_grad(lambda canvas: jnp.square(canvas() - target).mean())(canvas)
        updates, state = optimizer.update(gradient, state, canvas)
        return optax.apply_updates(canvas, updates).projected(), state, loss

    losses = []
    for _ in range(60):
        canvas, state, loss = step(canvas, state)
        losses.append(float(loss))
    assert type(canvas) is CLASSES[kind] and canvas.size == (24, 36) and losses[-1] < 0.2 * losses[0]
    assert canvas().min() >= -1e-6 and canvas().max() <= 1 + 1e-6


@every_kind
def test_a_canvas_goes_from_scale_to_scale(kind):
    small = make_canvas(kind, smooth_picture(20, 30))
    large = make_canvas(kind, small(), (61, 90))
    np.testing.assert_allclose(large(), np.clip(resize(small(), (61, 90), "bicubic"), 0, 1), atol=2 * DARKEST)
    again = canvas_class(kind).from_picture(small())
    np.testing.assert_allclose(again(), small(), atol=1e-5)  # floats are not rounded to 8 bits


@every_kind
def test_noise_follows_its_seed_and_is_no_white_wall(kind):
    first, again, other = (make_canvas(kind, None, 48, seed=seed) for seed in (1, 1, 2))
    assert jnp.array_equal(first(), again()) and not jnp.array_equal(first(), other())
    assert first().min() >= -1e-6 and first().max() <= 1 + 1e-6 and 0.35 < first().mean() < 0.65
    assert first().std() > 0.002


@every_kind
def test_files_hold_the_picture_or_the_canvas(kind, tmp_path):
    options = {"decay": 1.3} if kind == "fourier" else {}
    canvas = make_canvas(kind, None, (20, 31), seed=3, **options)
    with Image.open(canvas.save(tmp_path / "a.png")) as picture:
        assert picture.size == (31, 20)
    path = canvas.save(tmp_path / "a.safetensors")
    for back in (Canvas.load(path), CLASSES[kind].load(path)):
        assert type(back) is type(canvas) and jax.tree.structure(back) == jax.tree.structure(canvas)
        assert jnp.array_equal(back(), canvas())
    for other in {*CLASSES.values()} - {CLASSES[kind]}:
        with pytest.raises(PixaceError, match=f"canvas of kind {kind}"):
            other.load(path)


LAYER = np.zeros((4, 6, 3), np.float32)
FACTS = {"kind": "pixace.pixels", "height": "4", "width": "6"}


@pytest.mark.parametrize(
    ("layers", "facts", "said"),
    [
        ({"layer.0": LAYER}, None, "no canvas"),
        ({"layer.0": LAYER}, {**FACTS, "kind": "pixels"}, "no canvas"),
        ({"layer.0": LAYER}, {**FACTS, "kind": "pixace.oil"}, "oil"),
        ({"layer.0": LAYER}, {**FACTS, "height": "5"}, "6 x 5"),
        ({"layer.0": LAYER}, {**FACTS, "height": "0"}, "6 x 0"),
        ({"layer.0": LAYER}, {**FACTS, "height": "tall"}, "tall"),
        ({"layer.0": LAYER}, {"kind": "pixace.pixels"}, "height"),
        ({"layer.1": LAYER}, FACTS, "layer.0"),
        ({}, FACTS, "6 x 4"),
        ({"layer.0": LAYER, "layer.1": LAYER}, FACTS, "6 x 4"),
        ({"layer.0": LAYER[..., 0]}, {**FACTS, "kind": "pixace.imstack"}, "6 x 4"),
        ({"layer.0": LAYER}, {**FACTS, "kind": "pixace.fourier"}, "decay"),
        ({"layer.0": LAYER}, {**FACTS, "kind": "pixace.fourier", "decay": "1.0"}, "6 x 4"),
        ({"layer.0": LAYER, "layer.1": LAYER}, {**FACTS, "kind": "pixace.laplacian"}, "6 x 4"),
    ],
)
def test_files_of_something_else_are_refused(layers, facts, said, tmp_path):
    save_file(layers, tmp_path / "a.safetensors", facts)
    with pytest.raises(PixaceError, match=rf"a\.safetensors .*{said}"):
        Canvas.load(tmp_path / "a.safetensors")


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    whole = Pixels(random_picture(9, 9)).save(tmp_path / "whole.safetensors")
    (tmp_path / "half.safetensors").write_bytes(whole.read_bytes()[:-100])
    for name in ("a.safetensors", "half.safetensors", "none.safetensors", "."):
        with pytest.raises(PixaceError, match=r"is not a canvas that can be read"):
            Canvas.load(tmp_path / name)


@every_kind
def test_each_part_is_previewed_and_plotted(kind, tmp_path):
    canvas = make_canvas(kind, smooth_picture(40, 64))
    assert canvas.preview().shape == (140, 224, 3) and canvas.preview_pil(1, (10, 20)).size == (20, 10)
    np.testing.assert_allclose(canvas.preview(canvas.depth, (40, 64)), canvas(), atol=1e-5)
    errors = [float(jnp.square(canvas.preview(i + 1, (40, 64)) - canvas()).mean()) for i in range(canvas.depth)]
    assert errors == sorted(errors, reverse=True), "the more parts, the nearer"
    for wrong in (0, canvas.depth + 1):
        with pytest.raises(ConfigError, match=f"1 to {canvas.depth}"):
            canvas.preview(wrong)
    figure, pictures = canvas.plot_layers(), canvas.layer_pictures()
    assert len(figure.axes) == len(pictures) == canvas.depth and pictures[-1].size == (64, 40)
    assert [axes.get_title() for axes in figure.axes] == [f"{p.width} x {p.height}" for p in pictures]
    figure.savefig(tmp_path / "layers.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_plots_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PixaceError, match=r"pip install '\.\[plots\]'"):
        Pixels(out_size=4).plot_layers()


def test_pixels_are_cut_off_only_when_projected():
    wide = jax.tree.map(lambda colours: 4 * colours - 1.5, Pixels(out_size=8))
    assert wide().min() < 0 and wide().max() > 1
    slope = jax.grad(lambda canvas: jnp.square(canvas()).sum())(wide)
    assert jnp.all(slope() != 0)
    assert jnp.array_equal(wide.projected()(), jnp.clip(wide(), 0, 1))


def test_the_finest_level_takes_back_what_is_no_colour():
    inside = LaplacianPyramid(3, smooth_picture(16, 24), None)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, inside.projected(), inside))
    wide = jax.tree.map(lambda level: 3 * level, inside)
    np.testing.assert_allclose(wide.projected()(), jnp.clip(wide(), 0, 1), atol=1e-6)
    assert all(map(jnp.array_equal, wide.projected().layers[:-1], wide.layers[:-1]))


def test_a_pyramid_halves_and_one_level_is_the_picture():
    pyramid = LaplacianPyramid(4, random_picture(9, 30), None)
    assert [layer.shape[:2] for layer in pyramid.layers] == [(2, 4), (3, 8), (5, 15), (9, 30)]
    assert jnp.array_equal(LaplacianPyramid(1, random_picture(5, 4))(), Pixels(random_picture(5, 4))())
    flat = LaplacianPyramid(4, np.full((9, 30, 3), 0.25, np.float32), None)
    assert all(float(jnp.abs(level).max()) < 1e-6 for level in flat.layers[1:])


@pytest.mark.parametrize("size", [(12, 20), (15, 9)])
def test_a_spectrum_is_scaled_by_frequency_and_mixed_into_colours(size):
    """The formula, written out as a sum of waves in NumPy's double precision."""
    canvas = Fourier(out_size=size, decay=1.5, seed=4)
    spectrum = np.asarray(canvas.layers[0], np.float64)
    y, x = np.mgrid[: size[0], : size[1]]
    values = np.zeros((*size, 3))
    for v in range(size[0]):
        for u in range(size[1] // 2 + 1):
            cycles = min(v, size[0] - v) / size[0], u / size[1]
            scale = np.sqrt(size[0] * size[1]) / 4 / max(np.hypot(*cycles), 1 / max(size)) ** 1.5
            twice = 1 if u == 0 or 2 * u == size[1] else 2  # the other half of the spectrum mirrors this one
            wave = np.exp(2j * np.pi * (v * y / size[0] + u * x / size[1]))[..., None]
            values += twice * scale * (wave * (spectrum[v, u, :, 0] + 1j * spectrum[v, u, :, 1])).real
    colours = values / (size[0] * size[1]) @ COLOURS.T
    np.testing.assert_allclose(canvas(), 1 / (1 + np.exp(-colours)), atol=1e-5)
    assert np.linalg.norm(COLOURS, axis=0).max() == pytest.approx(1)


def test_octaves_hold_the_waves_of_their_frequencies():
    x = np.arange(64) / 64
    waves = 0.5 + 0.2 * np.cos(2 * np.pi * 5 * x)  # five along the longer edge: third octave, from 4 to 8
    canvas = Fourier(np.tile(waves.astype(np.float32)[None, :, None], (32, 1, 3)), None)
    energy = [float(jnp.square(canvas.preview(n, (32, 64)) - 0.5).mean()) for n in (1, 2, 3)]
    assert energy[1] < 1e-8 < 0.01 < energy[2]
    assert canvas.depth == 6 and Fourier(out_size=(1, 1)).depth == 1


def test_floats_of_a_picture_are_checked():
    colours = np.full((4, 4, 3), 0.123456, np.float32)
    assert np.array_equal(read_colours(jnp.asarray(colours)), colours)
    for wrong in (2 * colours * 255, colours - 0.2, colours * np.nan):
        with pytest.raises(PixaceError, match=r"in \[0, 1\]"):
            read_colours(wrong)
    assert read_colours(jnp.zeros((4, 6, 3), jnp.bfloat16), 3).shape == (2, 3, 3)
    assert read_colours(jnp.full((4, 6, 3), 255, jnp.uint8)).min() == 1
    assert read_colours(np.ones((4, 6), np.float32)).shape == (4, 6, 3)


def test_a_stack_made_by_name_doubles_up_to_the_picture():
    stacks = [jax.eval_shape(lambda s=size: make_canvas("imstack", None, s)) for size in (20, 32, (100, 181), 256)]
    edges = [[max(layer.shape) for layer in stack.layers] for stack in stacks]
    assert edges == [[20], [32], [32, 64, 128, 181], [32, 64, 128, 256]]
    assert len(make_canvas("imstack", None, 64, n_layers=2, base_size=8).layers) == 2


def test_names_of_kinds_need_no_jax():
    code = "import sys, pixace.canvas.kinds as k; print(k.KINDS); sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert tuple(CLASSES) == KINDS and all(getattr(pixace, cls.__name__) is cls for cls in CLASSES.values())
