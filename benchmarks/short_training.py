"""A whole short run of `pixace.train`, from a folder of pictures to a drawing: does it work here, and how fast?

    python benchmarks/short_training.py [--device=gpu] [--n_steps=300] [--batch_size=64] [--dtype=bfloat16] ...

The pictures are smooth and random (seeded), made on the spot, so that no data set is needed; the run therefore says
nothing about how well models learn, only that the loss falls and at which rate pictures pass. The rate is the median
of what the run itself wrote into its metrics.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import report
from PIL import Image

N_PICTURES = 256


def make_pictures(folder: Path) -> None:
    """Fill `folder` with PNG files of 32 x 32 pixels."""
    folder.mkdir()
    for number, small in enumerate(np.random.default_rng(0).integers(0, 256, (N_PICTURES, 4, 4, 3), np.uint8)):
        Image.fromarray(small).resize((32, 32)).save(folder / f"{number:03}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (
        ("model_type", str, "transformer"),
        ("image_size", int, 32),
        ("d_model", int, 512),
        ("n_layers", int, 6),
        ("n_heads", int, 8),
        ("batch_size", int, 16),
        ("n_steps", int, 100),
        ("dtype", str, "float32"),
        ("device", str, "auto"),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default)
    arguments = parser.parse_args()
    import pixace
    from pixace.tracking import read_metrics

    options = {name: value for name, value in vars(arguments).items() if name != "n_steps"}
    steps = arguments.n_steps
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_pictures(folder / "images")
        length = {"n_steps": steps, "steps_per_epoch": steps, "steps_per_eval": max(steps // 10, 1), "n_samples": 2}
        started = time.perf_counter()
        pixace.train("short", folder / "models", images=str(folder / "images"), **length, **options)
        trained = time.perf_counter() - started
        lines = list(read_metrics(folder / "models" / "short"))
        model = pixace.load("short", folder / "models")
        started = time.perf_counter()
        drawn = model.sample(n=4, seed=1)
        drawing = time.perf_counter() - started
    assert drawn.shape == (4, arguments.image_size**2), "the trained model draws pictures of another size"
    rate = float(np.median([line["pictures_per_second"] for line in lines]))
    losses = [round(float(line["loss"]), 3) for line in (lines[0], lines[-1])]
    print(f"{steps} steps of batch {arguments.batch_size} in {trained:.1f} s, compiling, sheets and saving included")
    print(f"median rate {rate:.1f} pictures/s; loss {losses[0]} at first, {losses[1]} at last")
    print(f"4 pictures drawn in {drawing:.1f} s, loading and compiling included")
    figures = {
        **options,
        "steps": steps,
        "seconds": round(trained, 1),
        "pictures_per_second": round(rate, 2),
        "loss_first_last": losses,
        "draw_four_seconds": round(drawing, 1),
    }
    report("short_training", figures)


if __name__ == "__main__":
    main()
