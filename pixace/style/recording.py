"""What a style transfer leaves on disk while it runs: the picture so far, frames, an animation, figures."""

import json
import os
import time
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.sheets import check_format, save_animation, save_picture
from pixace.style.descending import Diverged, Step, Stylized

SAVE_SECONDS = 60.0  # between saves of the picture so far: so much is lost when a process is killed
ANIMATION_SECONDS = 2.5  # once through all frames of an animation, and as long back
ANIMATION_EDGE = 640  # pixels, at most
MOST_FRAMES = 60  # of an animation


class Recorder:
    """Is told of every step (`on_step`), and writes beside the picture `out`.

    With `frames` every `every`-th step goes to `OUT_frames/00010.png` ..., with `losses` all figures to `OUT.jsonl`,
    with `gif` an animation to `OUT.gif`, forth and back.

    Raises:
        ConfigError: the ending of `out` is not that of a picture.
        PixaceError: something cannot be written, or there are frames already.
    """

    def __init__(
        self, out: str | os.PathLike, *, gif: bool = False, frames: bool = False, losses: bool = False, every: int = 10
    ):
        check_format(out)
        self.out = expanded(out)
        self.frames = self.out.with_name(f"{self.out.stem}_frames") if frames else None
        self.gif, self.every = self.out.with_suffix(".gif") if gif else None, every
        self._shown: list[tuple[int, np.ndarray]] = []
        self._losses: IO[str] | None = None
        self._saved = time.monotonic()
        if self.gif == self.out:
            raise PixaceError(f"{out} is to be the picture and the animation; give --out another ending")
        if self.frames is not None and self.frames.is_dir() and any(self.frames.iterdir()):
            raise PixaceError(f"{self.frames} holds frames already; remove them, or choose another --out")
        self._figures = self.out.with_suffix(".jsonl") if losses else None

    def __call__(self, step: Step) -> None:
        """Take note of a step."""
        if self._figures is not None:
            if self._losses is None:  # only now, so that a run that fails before leaves an older file alone
                self._losses = _opened(self._figures)
            line = {"step": step.number, "height": step.size[0], "width": step.size[1], **step.figures}
            self._losses.write(json.dumps(line) + "\n")
            self._losses.flush()
        shown = step.number % self.every == 0 or step.number in (1, step.total)
        if self.frames is not None and shown:
            save_picture(Image.fromarray(step.picture()), self.frames / f"{step.number:05d}.png")
        gap = max(1, step.total // MOST_FRAMES)
        if self.gif is not None and (step.number % gap == 0 or step.number == step.total):
            self._shown.append((step.number, step.picture()))
        if time.monotonic() - self._saved > SAVE_SECONDS:
            save_picture(Image.fromarray(step.picture()), self.out)
            self._saved = time.monotonic()

    def finish(self, result: Stylized, metadata: dict[str, str]) -> list[Path]:
        """Write the result, and what was collected; returns the files and folders written."""
        picture = result.to_pil()
        written = [save_picture(picture, self.out, metadata=metadata)]
        if self._losses is not None:
            self._losses.close()
            written.append(self.out.with_suffix(".jsonl"))
        if self.frames is not None and result.steps:
            written.append(self.frames)
        if self.gif is not None:
            written.append(self._animate(self.gif, picture))
        return written

    def rescue(self, error: Diverged, metadata: dict[str, str]) -> PixaceError:
        """Write the best picture of a transfer whose loss became no number; the error that says so, to be raised."""
        written = self.finish(error.best, metadata)
        return PixaceError(f"{error}; the best picture until then is saved as {written[0]}")

    def _animate(self, path: Path, last: Image.Image) -> Path:
        shrink = min(1.0, ANIMATION_EDGE / max(last.size))
        edges = max(1, round(last.width * shrink)), max(1, round(last.height * shrink))
        pictures = [Image.fromarray(shown) for _, shown in self._shown] + [last]
        frames = [np.asarray(picture.resize(edges, Image.Resampling.LANCZOS)) for picture in pictures]
        whole = frames + frames[-2:0:-1]  # and back, to begin anew
        seconds = max(0.02, ANIMATION_SECONDS / len(frames))
        return save_animation(whole, path, scale=edges[0], seconds=seconds, hold=seconds)


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "w", encoding="utf8")
    except OSError as error:
        raise PixaceError(f"cannot write {path}: {error.strerror or error}") from None
