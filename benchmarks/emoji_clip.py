"""The CLIP that comes with pixace: how well it finds names, and whether what it asks for is what another one sees.

    python benchmarks/emoji_clip.py [--model=emoji-clip] [--other=FOLDER] [--run=FOLDER]

Retrieval is among the names of all families, for pictures that were held out: variants of families that were learned
from, and families that were not. With --other, a CLIP that was trained with another seed, pictures are made for
`PROMPTS` by `pixace guide` with the first (examples/guide/prompt.yaml), and the other tells the place of each prompt
among 500 names. --run is the folder of the training, for its time. Needs ../shared/data/emoji.zip.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from machine import DATA, report
from PIL import Image

from pixace import devices
from pixace.clip.encoding import picture_vectors, text_vectors
from pixace.clip.model import Clip
from pixace.clip.retrieval import ranks
from pixace.clip.trained import load_config
from pixace.clip.training.config import ClipTraining
from pixace.clip.training.pictures import Material, load_material
from pixace.clip.weights import EMBEDDED, load_clip
from pixace.guide.reading import read_guides
from pixace.guide.run import draw
from pixace.progress import Bar
from pixace.sheets import sheet
from pixace.tracking import read_metrics

ARCHIVE = DATA / "emoji.zip"
PROMPTS = (
    *("red heart", "blue heart", "green apple", "yellow face", "yellow star", "sunflower", "strawberry", "pizza"),
    *("ghost", "full moon", "christmas tree", "banana", "frog", "rainbow", "cactus", "snowman", "lemon", "fire"),
    *("pig face", "watermelon"),
)
NAMES, TOP, NEEDED = 500, 5, 14
GUIDE = Path(__file__).resolve().parents[1] / "examples" / "guide" / "prompt.yaml"
EDGE = 64


def retrieval(clip: Clip, material: Material) -> dict[str, float]:
    """Shares of held-out pictures whose family's name is the first, or among the first five, of all."""
    figures = {}
    for kind, rows in (("variants", material.variants), ("unseen", material.unseen)):
        own = material.rgba[rows]
        found = ranks(clip, own, material.family_names, material.families[rows])
        figures |= {f"{kind}_top{k}": round(float((found <= k).mean()), 4) for k in (1, 5)}
        figures |= {f"{kind}_median_rank": float(np.median(found)), f"{kind}_pictures": len(rows)}
    return figures


def guided(clip: Clip, prompts: tuple[str, ...]) -> np.ndarray:
    """Pictures, float32 (B, EDGE, EDGE, 3), that `pixace guide` makes for the prompts by the file `GUIDE`."""
    pictures = []
    for prompt in prompts:
        guide = read_guides([GUIDE], {"targets[0].features[0].text": prompt, "verbose": "0"}).guide
        pictures.append(draw(guide, [clip]).picture)
    return np.stack(pictures)


def places(clip: Clip, pictures: np.ndarray, family_names: list[str]) -> list[int]:
    """The place of each prompt, 1 the best, among `NAMES` names, for the picture that was made for it."""
    names = list(dict.fromkeys([*PROMPTS, *(name.lower() for name in family_names[::3])]))[:NAMES]
    edge = clip.image_size
    shown = [Image.fromarray(np.rint(255 * each).astype(np.uint8)).resize((edge, edge)) for each in pictures]
    scores = picture_vectors(clip, np.stack([np.asarray(each) for each in shown])) @ text_vectors(clip, names).T
    own = scores[np.arange(len(PROMPTS)), np.arange(len(PROMPTS))]
    return [int(place) for place in (scores > own[:, None]).sum(1) + 1]


def minutes_of(run: Path) -> float:
    """What the steps of a training took, in minutes."""
    size = load_config(run).training.batch_size
    rates = [line["pictures_per_second"] for line in read_metrics(run) if "pictures_per_second" in line]
    return sum(size / rate for rate in rates) / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="emoji-clip")
    parser.add_argument("--other", help="the folder of a CLIP that was trained with another seed")
    parser.add_argument("--run", type=Path, help="the folder of the training")
    parser.add_argument("--sheet", type=Path, help="write the pictures that were made into this file")
    arguments = parser.parse_args()
    if not ARCHIVE.exists():
        sys.exit(f"skipped: {ARCHIVE} is not there")
    devices.prepare()
    clip = load_clip(arguments.model)
    with Bar("reading pictures") as bar:
        material = load_material(ClipTraining(images=str(ARCHIVE)), clip.image_size, bar)
    figures: dict[str, object] = {"families": len(material.family_names), **retrieval(clip, material)}
    for name, value in figures.items():
        print(f"{name:24} {value}")
    folder = EMBEDDED / arguments.model if (EMBEDDED / arguments.model).is_dir() else Path(arguments.model)
    figures["bytes"] = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    figures["training"] = {name: getattr(load_config(folder).training, name) for name in ("n_steps", "batch_size")}
    print(f"{'bytes':24} {figures['bytes']:,}")
    if arguments.run:
        figures["training_minutes"] = round(minutes_of(arguments.run), 1)
        print(f"{'training, minutes':24} {figures['training_minutes']}")
    if arguments.other:
        began = time.perf_counter()
        pictures = guided(clip, PROMPTS)
        seconds = time.perf_counter() - began
        own, others = (places(judge, pictures, material.family_names) for judge in (clip, load_clip(arguments.other)))
        agreed = sum(place <= TOP for place in others)
        for prompt, first, second in zip(PROMPTS, own, others, strict=True):
            print(f"{prompt:24} place {first:3} for itself, {second:3} for the other")
        print(f"{agreed} of {len(PROMPTS)} prompts among the first {TOP} of {NAMES} ({NEEDED} are wanted)")
        figures["guided"] = {
            "prompts": dict(zip(PROMPTS, others, strict=True)),
            "agreed": agreed,
            "names": NAMES,
            "seconds": round(seconds, 1),
        }
        if arguments.sheet:
            shown = np.rint(255 * pictures).astype(np.uint8)
            sheet([list(shown[i : i + 5]) for i in range(0, len(shown), 5)], scale=EDGE + 2).save(arguments.sheet)
    report("emoji_clip", figures)


if __name__ == "__main__":
    main()
