"""Small training runs for tests, as a call or as a process, and how to read what they leave."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from pixace.training.loop import train

OPTIONS = {
    "image_size": 8,
    "bitdepth": (2, 2, 2),
    "model_type": "transformer",
    "d_model": 16,
    "n_layers": 1,
    "n_heads": 2,
    "batch_size": 4,
    "n_samples": 0,
}


def make_pictures(folder: Path, count: int = 24, smooth: bool = False) -> Path:
    """Pictures of 8 x 8 pixels: noise, or colour ramps that a small model can learn."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(count):
        picture = random.integers(0, 256, (8, 8, 3), np.uint8)
        if smooth:
            picture = np.linspace(*random.integers(0, 256, (2, 1, 3)), 8).astype(np.uint8).repeat(8, 1)
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    return folder


def quiet_train(name: str, folder: Path, images: Path, **options) -> list[str]:
    """Train in this process; returns the lines said."""
    said: list[str] = []
    train(name, folder, images=str(images), say=said.append, **{**OPTIONS, **options})
    return said


def arguments(name: str, folder: Path, images: Path, **options) -> list[str]:
    """The command line of a run."""
    flags = {"model_name": name, "weights_dir": folder, "images": images, **OPTIONS, **options}
    text = {key: ",".join(map(str, v)) if isinstance(v, tuple) else v for key, v in flags.items()}
    return ["train", *(f"--{key}={value}" for key, value in text.items())]


def start(*given, **options) -> subprocess.Popen:
    """A run in a process of its own; its error stream is a pipe."""
    command = [sys.executable, "-m", "pixace.cli.main", *arguments(*given, **options)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_step(process: subprocess.Popen, run: Path, step: int) -> None:
    """Until the run has saved a state of at least this step."""
    until = time.monotonic() + 60
    while latest(run) < step:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"no state of step {step} came: {process.communicate()[1]}")
        time.sleep(0.002)


def latest(run: Path) -> int:
    """The newest state's step, 0 if there is none."""
    return max((int(p.name) for p in (run / "checkpoints").glob("*") if p.name.isdigit()), default=0)


def metrics(run: Path) -> list[dict[str, float]]:
    """Every line of a run's metrics, which must all be whole."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def events(run: Path):
    """What TensorBoard reads in a run's folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def weights(run: Path) -> bytes:
    """The bytes of a run's weights."""
    return (run / "weights.safetensors").read_bytes()


def contents(run: Path) -> dict[str, tuple[int, str]]:
    """Each file's date and digest, the lock's apart."""
    files = [p for p in run.rglob("*") if p.is_file() and p.name != ".lock"]
    return {str(p): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files}
