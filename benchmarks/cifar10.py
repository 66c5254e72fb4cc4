"""Train on CIFAR-10 for some minutes, then score 1,000 test pictures beside two simple baselines.

    python benchmarks/cifar10.py [--zip=../shared/data/cifar10.zip] [--minutes=10] [--out=FOLDER] [-- TRAIN FLAGS]

The archive holds `train/CLASS/*.jpg` and `test/CLASS/*.jpg`. Baselines on the same test tokens: the
unigram of the training tokens, and the best mixture of it with copying the token to the left. Prints a
table and one line of JSON; saves a sheet of completions of test pictures.
"""

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from machine import report

from pixace.config import TokenizerConfig
from pixace.dataset import load_tokens
from pixace.progress import Bar

TRAIN_FLAGS = [
    "--image_size=32",
    "--bitdepth=5,4,4",
    "--model_type=transformer",
    "--d_model=192",
    "--n_layers=4",
    "--n_heads=4",
    "--batch_size=4",
    "--lr=0.005",
    "--steps_per_epoch=1000000",
    "--steps_per_eval=200",
    "--n_samples=4",
    "--val_fraction=0.01",
    "--flip",
]
N_TEST = 1000


def baselines(train: np.ndarray, test: np.ndarray, vocab_size: int) -> tuple[float, float, float]:
    """Nats a token on `test` (N, T): unigram, best mixture with the left token, and the mixture's weight."""
    counts = np.bincount(train.reshape(-1), minlength=vocab_size).astype(np.float64)
    counts[2:] += 1  # a colour never seen in training still has a chance
    unigram = counts / counts.sum()
    p = unigram[test]
    same = np.zeros(test.shape, bool)
    same[:, 1:] = test[:, 1:] == test[:, :-1]
    weights = np.linspace(0.0, 0.99, 100)
    mixtures = [-np.log(w * same + (1 - w) * p).mean() for w in weights]
    best = int(np.argmin(mixtures))
    return float(-np.log(p).mean()), float(mixtures[best]), float(weights[best])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[1]
    parser.add_argument("--zip", type=Path, default=root.parent / "shared/data/cifar10.zip")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--score_only", action="store_true", help="score the model of an earlier run again")
    parser.add_argument("--out", type=Path, default=Path("cifar10-run"))
    arguments, extra = parser.parse_known_args()
    extra = [word for word in extra if word != "--"]
    if not arguments.zip.exists():
        sys.exit(f"{arguments.zip} is not there; give CIFAR-10 as JPEG files in a zip with --zip")
    images = arguments.out / "images"
    if not images.exists():
        with zipfile.ZipFile(arguments.zip) as archive:
            archive.extractall(images)

    if not arguments.score_only:
        shutil.rmtree(arguments.out / "models" / "cifar10", ignore_errors=True)
    pixace_command = [sys.executable, "-m", "pixace.cli.main"]
    where = ["--model_name=cifar10", f"--weights_dir={arguments.out / 'models'}"]
    command = [*pixace_command, "train", *where, f"--images={images / 'train'}", f"--max_minutes={arguments.minutes}"]
    command += [*TRAIN_FLAGS, *extra]
    subprocess.run(command, check=True)  # a finished run says so and changes nothing

    import pixace
    from pixace.tracking import read_metrics

    model = pixace.load("cifar10", arguments.out / "models")
    tokenizer: TokenizerConfig = model.config.tokenizer
    with Bar("reading pictures") as bar:
        train, test = (load_tokens(images / part, tokenizer, progress=bar).tokens for part in ("train", "test"))
    test = np.asarray(test[:: len(test) // N_TEST][:N_TEST]).astype(np.int64)
    losses, hits = [], []
    with Bar("scoring test pictures") as bar:
        for start in range(0, N_TEST, 8):
            part = test[start : start + 8]
            log_probs = model.log_probs(part)
            losses.append(-np.take_along_axis(log_probs, part[..., None], axis=-1)[..., 0])
            hits.append(log_probs.argmax(-1) == part)
            bar(min(start + 8, N_TEST), N_TEST)
    loss, accuracy = float(np.concatenate(losses).mean()), float(np.concatenate(hits).mean())
    unigram, mixture, weight = baselines(train, test, model.tokenizer.vocab_size)
    metrics = list(read_metrics(arguments.out / "models/cifar10"))
    steps, rate = len(metrics), float(np.median([line["pictures_per_second"] for line in metrics]))

    test_files = sorted(images.glob("test/*/*.jpg"))
    prompts = ",".join(str(file) for file in test_files[:: len(test_files) // 8][:8])
    drawing = [*pixace_command, "predict", *where, "--seed=1", "--scale=64"]
    completions, samples = arguments.out / "completions.png", arguments.out / "samples.png"
    subprocess.run(
        [*drawing, f"--prompt={prompts}", "--cut=50%", "--temperature=0.8,0.9,1.0", f"--out={completions}"], check=True
    )
    subprocess.run([*drawing, "--batch_size=4", "--temperature=0.8,0.85,0.9,0.95,1.0", f"--out={samples}"], check=True)

    print(f"\n{N_TEST} test pictures, nats a token     (bits a pixel)")
    for name, value in [("unigram", unigram), (f"{weight:.2f} left + unigram", mixture), ("model", loss)]:
        print(f"  {name:24} {value:7.3f}     {value / np.log(2):7.3f}")
    print(f"{steps} steps, {rate:.1f} pictures/s (median)")
    print(f"sheets: {completions}, {samples}")
    figures = {
        "train_flags": " ".join([*TRAIN_FLAGS, *extra]),
        "minutes": arguments.minutes,
        "steps": steps,
        "pictures_per_second": round(rate, 2),
        "nats": round(loss, 4),
        "accuracy": round(accuracy, 4),
        "unigram_nats": round(unigram, 4),
        "mixture_nats": round(mixture, 4),
    }
    report("cifar10", figures)


if __name__ == "__main__":
    main()
