"""Guide files for tests, with a picture beside them."""

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from pixace.guide.expressions import Expression
from pixace.guide.reading import read_guides

EVERYTHING = """
epochs: 50
resolution: "{0: 8, 1: 16}.get(int(t*2), 32)"
learnrate_scale: 1-drop*t5
optimizer: {name: AdamW, betas: .9 .99, weight_decay: .01}
models: [ViT-B/32, {name: RN50, weight: .5}]
init: {image: start.png, mean: 0, std: 1, resolution: 10}
compat: clipig
total_variation: .1*t
seed: 7
vars: {drop: .95, half: drop/2}
targets:
- name: whole
  weight: ts(.2, .8)
  start: 10%
  batch_size: 3
  select: mix
  feature_scale: fair
  features:
  - {text: a spoon, weight: "max(0, 40-sim)", scale: sim/50, loss: L1}
  - {image: start.png, weight: -1, end: 20}
  - image: http://example.org/a.png
  transforms:
  - noise: .1*ti
    start: 50%
  - {random_rotate: {degree: -10 10, center: 0 1}, random_scale: .5 1}
  - center_crop: {size: width/2, end: 10}
  - noise: random()
  - {mul: .2, active: false}
  constraints:
  - blur: {kernel_size: 31*ti, weight: 10*half, end: 0.5}
  - saturation: {below: .01, above: 0 0 .1, loss: mae}
- active: false
postproc:
- {shift: 1 0, blur: 3 .35, end: 10}
- {saturation: 0, active: no}
"""


@pytest.fixture
def guide(here):
    """Reads texts as guide files, with a picture beside them."""
    Image.new("RGB", (4, 4)).save("start.png")

    def read(*texts, **options):
        names = []
        for text in texts:
            names.append("abcdef"[len(names)] + ".yaml")
            Path(names[-1]).write_text(text)
        return read_guides(names, **options)

    return read


def plain(value):
    """Settings with expressions as their texts, which can be compared."""
    if isinstance(value, Expression):
        return f"<{value.source}>"
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


def target(text):
    return "targets:\n- " + text.replace("\n", "\n  ")
