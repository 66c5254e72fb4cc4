"""The two sides of `style.py`, driven the same way, and the curve of what each has found when.

Legend: H, W the picture.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import style_in_torch as source
import torch
from machine import DATA
from PIL import Image

from pixace import progress
from pixace.style.transfer import Step, stylize
from pixace.style.vgg import Network
from pixace.style.vgg_weights import load_network

ARRAYS = DATA.parent / "weights" / "vgg19_conv1_1_to_conv3_4.npz"
LAYOUTS = {"torch, NCHW": torch.contiguous_format, "torch, channels last": torch.channels_last}
COARSE = 10  # pictures of a run that are judged at first, one in so many
UNCOUNTED = 3  # steps at the start of a run that say nothing of a step's seconds


class Curve:
    """The pictures of a run and when they were there."""

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []
        self.seconds: list[float] = []
        self._losses: dict[int, float] = {}
        self._began = time.perf_counter()

    def add(self, picture: np.ndarray) -> None:
        """Take note of uint8 (H, W, 3)."""
        self.pictures.append(picture)
        self.seconds.append(time.perf_counter() - self._began)

    def add_tensor(self, picture: torch.Tensor) -> None:
        """Take note of (1, 3, H, W) in [0, 1]."""
        self.add((255 * picture[0].permute(1, 2, 0)).round().byte().numpy())

    @property
    def step_seconds(self) -> float:
        """The median from one picture to the next."""
        return float(np.median(np.diff(self.seconds)[UNCOUNTED:]))

    def loss(self, judge: source.Loss, i: int) -> float:
        """That of picture `i`."""
        if i not in self._losses:
            self._losses[i] = judge.judge(self.pictures[i])
        return self._losses[i]

    def marks(self) -> list[int]:
        """One picture in `COARSE`, and the last one."""
        return sorted({*range(0, len(self.pictures), COARSE), len(self.pictures) - 1})

    def lowest(self, judge: source.Loss, last: int) -> float:
        """The lowest loss of the marked pictures up to `last`."""
        return min(self.loss(judge, i) for i in self.marks() if i <= last)

    def first_at(self, judge: source.Loss, target: float) -> int | None:
        """The first picture whose loss is no higher than `target`, to the picture from the marked one before on."""
        before = 0
        for mark in self.marks():
            if self.loss(judge, mark) <= target:
                return next(i for i in range(before, mark + 1) if self.loss(judge, i) <= target)
            before = mark
        return None

    def told(self, judge: source.Loss) -> list[list[float]]:
        """[picture, seconds, loss] of the marked ones."""
        return [[i, round(self.seconds[i], 2), round(self.loss(judge, i), 4)] for i in self.marks()]


def load(name: str, size: int) -> np.ndarray:
    """uint8 (size, size, 3), its shape given up as the source does, antialiased bilinear."""
    with Image.open(DATA / "photos" / name) as picture:
        return np.array(picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


class Sides:
    """Both sides on the same pictures; each run gives its curve."""

    def __init__(self, size: int, content: str, style: str):
        self.content, self.style = load(content, size), load(style, size)
        self.torch = {name: source.Network.read(ARRAYS, layout) for name, layout in LAYOUTS.items()}
        layers = (source.CONTENT_LAYER, *source.STYLE_LAYERS)
        self.ours: Network = load_network(ARRAYS, layers=layers, pooling="average", rescale=False, padding="zero")
        self.settings: dict[str, Any] = dict(
            recipe="gatys",
            network=str(ARRAYS),
            content_layers=source.CONTENT_LAYER,
            style_layers=",".join(source.STYLE_LAYERS),
            content_weight=source.CONTENT_WEIGHT,
            style_weight=source.STYLE_WEIGHT,
            tv_weight=source.TV_WEIGHT,
            size=f"{size}x{size}",
            fit="stretch",
        )
        self.judge = source.Loss(self.torch["torch, channels last"], self.content, self.style)

    def run_torch(self, layout: str, descend: Callable[..., None], rate: float, evaluations: int) -> Curve:
        """One of the descents of `style_in_torch.py`."""
        curve = Curve()
        descend(self.torch[layout], self.content, self.style, rate, evaluations, curve.add_tensor)
        return curve

    def run_ours(self, steps: int, cold: bool, **given: Any) -> Curve:
        """`stylize` with the source's settings and `given`; `cold` has everything compiled anew."""
        if cold:
            jax.clear_caches()
        curve = Curve()
        curve.add(self.content)

        def on_step(step: Step) -> None:
            if step.size == self.content.shape[:2]:  # there may be smaller scales before
                curve.add(step.picture())

        pictures = (Image.fromarray(picture) for picture in (self.content, self.style))
        options = {**self.settings, "steps": steps, **given}
        stylize(*pictures, loaded=self.ours, on_step=on_step, progress=progress.silent, **options)
        return curve

    def check(self) -> None:
        """End if the sides do not mean the same by the loss of the content picture."""
        pictures = (Image.fromarray(picture) for picture in (self.content, self.style))
        options = {**self.settings, "optimizer": "adam", "steps": 1}  # Adam tells the loss before a step
        ours = stylize(*pictures, loaded=self.ours, progress=progress.silent, **options).steps[0]["loss"]
        torchs = self.judge.judge(self.content)
        if abs(ours - torchs) > 1e-3 * torchs:
            sys.exit(f"the sides do not compute the same loss: torch {torchs}, pixace {ours}")
