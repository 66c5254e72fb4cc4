"""A guide against the same loop in torch: steps a second, on random weights of the size of CLIP ViT-B/32.

    pip install torch==2.13.0      # a CPU build will do; pixace itself does not use torch
    python benchmarks/guide.py [--steps=12] [--views=5] [--rounds=2]

Both sides draw 224x224 pixels with Adam. Each view has noise, 3x3 copies, a random turn and its middle cut out; it is
compared with two vectors, and a constraint asks for smoothness (a blur of 21 taps). Sides take turns; compiling is
told apart, and the first step of either is not counted. Speed does not hang on what the weights are.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from machine import report
from safetensors.numpy import save_file

try:
    import torch
except ModuleNotFoundError as error:
    sys.exit(f"{error}; the other side of this benchmark needs `pip install torch==2.13.0`")

import guide_in_torch as other

from pixace.clip.model import Clip
from pixace.clip.naming import recognise
from pixace.guide.reading import read_guides
from pixace.guide.run import draw
from pixace.weight_files.listing import list_arrays

SIZE, SPACE, KERNEL = 224, 512, 21
FILE = """
resolution: 224
epochs: {steps}
verbose: 0
snapshot_interval: 0
targets:
  - batch_size: {views}
    features:
      - text: a
      - {{text: b, weight: -0.5}}
    transforms:
      - noise: 0.1
      - repeat: 3
      - random_rotate: {{degree: -10 10, center: 0.5}}
      - center_crop: 224
    constraints:
      - blur: {{kernel_size: 21}}
"""


def make_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of ViT-B/32 under OpenAI's names, and of the smallest text tower."""
    random = np.random.default_rng(seed)
    width, text = 768, 64
    shapes: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (width, 3, 32, 32),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (50, width),
        "visual.proj": (width, SPACE),
        "token_embedding.weight": (2, text),
        "positional_embedding": (4, text),
        "text_projection": (text, SPACE),
        "logit_scale": (),
    }
    for prefix, inner, layers in (("visual.transformer", width, 12), ("transformer", text, 1)):
        for i in range(layers):
            place = f"{prefix}.resblocks.{i}"
            shapes |= {f"{place}.attn.in_proj_weight": (3 * inner, inner), f"{place}.attn.in_proj_bias": (3 * inner,)}
            for name, one, two in (("attn.out_proj", inner, inner), ("mlp.c_fc", inner, 4 * inner)):
                shapes |= {f"{place}.{name}.weight": (two, one), f"{place}.{name}.bias": (two,)}
            shapes |= {f"{place}.mlp.c_proj.weight": (inner, 4 * inner), f"{place}.mlp.c_proj.bias": (inner,)}
            shapes |= {f"{place}.{name}.{part}": (inner,) for name in ("ln_1", "ln_2") for part in ("weight", "bias")}
    for name, inner in (("visual.ln_pre", width), ("visual.ln_post", width), ("ln_final", text)):
        shapes |= {f"{name}.{part}": (inner,) for part in ("weight", "bias")}
    found = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
        found[name] = np.asarray(values + (".ln_" in name and name.endswith("weight")), np.float32)
    return found


def make_clip(arrays: dict[str, np.ndarray]) -> Clip:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        save_file(arrays, file)
        config, weights = recognise(list_arrays(file))
    tree = jax.tree.map(jax.numpy.asarray, weights)
    return Clip(tree, config, lambda texts: np.zeros((len(texts), config.text.length), np.int32), "random")


def our_seconds(clip: Clip, views: int, steps: int, path: str) -> tuple[float, list[float]]:
    """Seconds to the end of the first step, and of each step after it."""
    ends = [time.perf_counter()]
    draw(read_guides([path]).guide, [clip], on_epoch=lambda _: ends.append(time.perf_counter()))
    return ends[1] - ends[0], list(np.diff(ends[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--views", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="of torch; ours uses all cores")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arrays = make_arrays()
    clip, tower = make_clip(arrays), other.Tower(arrays)
    picture = np.random.default_rng(0).random((1, SIZE, SIZE, 3), np.float32)
    ours = np.asarray(clip.encode_image(jax.numpy.asarray(picture)))
    theirs = tower(torch.from_numpy(picture).permute(0, 3, 1, 2)).numpy()
    assert np.abs(ours - theirs).max() < 1e-4, "the two towers differ"
    wanted = np.random.default_rng(1).standard_normal((2, SPACE)).astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "guide.yaml")
        Path(path).write_text(FILE.format(steps=arguments.steps, views=arguments.views))
        first, seconds = [], {"torch": [], "pixace": []}
        for _ in range(arguments.rounds):
            spent = other.seconds_a_step(tower, wanted, [1.0, -0.5], SIZE, arguments.views, KERNEL, arguments.steps)
            seconds["torch"] += spent[1:]
            began, spent = our_seconds(clip, arguments.views, arguments.steps, path)
            first.append(began)
            seconds["pixace"] += spent
    medians = {side: float(np.median(values)) for side, values in seconds.items()}
    ratio = medians["torch"] / medians["pixace"]
    print(f"{arguments.views} views of {SIZE}x{SIZE} a step, ViT-B/32, float32")
    for side, value in medians.items():
        print(f"  {side:7} {value:.3f} s a step, {1 / value:.2f} steps a second")
    print(f"  {ratio:.2f} times as fast; the first step with compiling {first[0]:.1f} s")
    figures = {"views": arguments.views, "seconds_a_step": {k: round(v, 4) for k, v in medians.items()}}
    report("guide", {**figures, "ratio": round(ratio, 3), "first_step": [round(value, 1) for value in first]})


if __name__ == "__main__":
    main()
