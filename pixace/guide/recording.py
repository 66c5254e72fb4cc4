"""What a run of a guide leaves on disk: snapshots with the state to go on from, frames, figures, a record.

A name that is taken is never written to: the run that comes first to a name holds it.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixace import __version__
from pixace.errors import ConfigError, PixaceError
from pixace.folders import write_atomically
from pixace.guide.figures import Figures
from pixace.guide.outputs import RECORD, USUAL_RECORD, record, record_file, unused
from pixace.guide.reading import Read
from pixace.guide.run import Drawn, Epoch
from pixace.guide.state import ENDING as STATE
from pixace.guide.state import State, read_facts, save_state, state_file
from pixace.progress import duration
from pixace.sheets import check_format, save_animation, save_picture

FRAMES, GIF, LOSSES = "_frames", ".gif", ".jsonl"  # what names of files beside the picture end with
FIGURES_EVERY_S = 4.0
ANIMATION_SECONDS = 4.0
MOST_FRAMES = 80  # of an animation
ANIMATION_EDGE = 512  # pixels, at most


class Recorder:
    """Is told of every epoch (`on_epoch`), and writes beside the picture.

    Args:
        read: what is drawn.
        out: the picture's file; None for the first name like the guide's that is not taken.
        frames: each `every`-th picture goes to `OUT_frames/00010.png` ...
        gif: an animation goes to `OUT.gif`.
        losses: loss and rate of each epoch go to `OUT.jsonl`.
        every: epochs between frames.
        going_on: `out` is that of a run that is resumed, whose record and figures are its own.
        say: takes lines for people.

    Raises:
        ConfigError: the animation would have the picture's own name.
        PixaceError: something cannot be written.
    """

    def __init__(
        self,
        read: Read,
        out: Path | None = None,
        *,
        frames: bool = False,
        gif: bool = False,
        losses: bool = False,
        every: int = 1,
        going_on: bool = False,
        say: Callable[[str], None] | None = None,
    ):
        self.read, self.every = read, every
        self.say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        name = str(out) if out is not None else read.base_name
        if gif and Path(name).suffix.lower() == GIF:
            raise ConfigError(f"{name}: the animation would have the name of the picture, which is best a .png")
        asked = [ending for ending, wanted in ((FRAMES, frames), (GIF, gif), (LOSSES, losses)) if wanted]
        self.out = Path(name) if going_on else _held(name, [STATE, RECORD, *asked])
        self.state, self._figures = state_file(self.out), Figures(read.guide)
        self._frames = self._beside(FRAMES) if frames else None
        self._shown: list[np.ndarray] | None = [] if gif else None
        self._losses = self._beside(LOSSES) if losses else None
        self._record = record_file(self.out)
        if going_on:
            facts = read_facts(self.state)
            if facts["record"] == self.out.stem + USUAL_RECORD:
                self._record = self._beside(USUAL_RECORD)
            if self._losses is not None:
                _forget(self._losses, facts["epoch"])
        self._saved = self._told = time.monotonic()
        self._began, self._kept, self._written = datetime.now(), going_on, list[Path]()

    def __call__(self, epoch: Epoch) -> None:
        """Take note of an epoch."""
        guide = self.read.guide
        self._figures.add(epoch)
        last = epoch.number == epoch.last
        if self._losses is not None:
            self._note(self._losses, epoch)
        if self._frames is not None and (epoch.number % self.every == 0 or last):
            save_picture(Image.fromarray(epoch.picture()), self._frames / f"{epoch.number:05d}.png")
        gap = max(1, epoch.last // MOST_FRAMES)
        if self._shown is not None and (epoch.number % gap == 0 or last):
            self._shown.append(epoch.picture())
        if self._due(epoch):
            self.snapshot(epoch)
        if guide.verbose > 1 and (last or time.monotonic() - self._told >= FIGURES_EVERY_S):
            self._told = time.monotonic()
            self.say(self._figures.text())

    def _beside(self, ending: str) -> Path:
        return self.out.with_name(self.out.stem + ending)

    def snapshot(self, epoch: Epoch) -> None:
        """Write the picture as it is, and the state from which a run goes on."""
        save_picture(Image.fromarray(epoch.picture()), self.out)
        self._save_state(epoch.state)
        self._saved, self._kept = time.monotonic(), True

    def finish(self, drawn: Drawn) -> list[Path]:
        """Write the picture, the record and what was collected; returns the files and folders written.

        The state stays where the run was stopped before its end.
        """
        facts = {"Software": f"pixace {__version__}", "guide": json.dumps(self.read.document)}
        self._written.insert(0, save_picture(drawn.to_pil(), self.out, metadata=facts))
        self._kept = True
        if drawn.signal is None:
            self.state.unlink(missing_ok=True)
        else:
            self._save_state(drawn.state)
            self._written.append(self.state)
        text = record(self.read.document, self._head(drawn), self.out)
        write_atomically(self._record, lambda file: file.write_text(text, "utf-8"))
        self._written.append(self._record)
        if self._frames is not None and self._frames.is_dir():
            self._written.append(self._frames)
        if self._losses is not None and self._losses.exists():
            self._written.append(self._losses)
        if self._shown:
            self._written.append(self._animate(self._shown))
        return self._written

    def _save_state(self, state: State) -> None:
        facts = {"document": self.read.document, "out": self.out.name, "record": self._record.name}
        save_state(self.state, state, facts)

    def let_go(self) -> None:
        """Free the name if nothing was written to it."""
        if not self._kept:
            self.out.unlink(missing_ok=True)

    def _due(self, epoch: Epoch) -> bool:
        interval = self.read.guide.snapshot_interval
        if not interval:
            return False
        if epoch.number in (self.read.guide.start_epoch, epoch.last):
            return True
        if isinstance(interval, int):
            return epoch.number % interval == 0
        return time.monotonic() - self._saved >= interval

    def _note(self, path: Path, epoch: Epoch) -> None:
        line = {"epoch": epoch.number, "loss": epoch.loss, "learnrate": epoch.learnrate}
        line |= {"height": epoch.size[0], "width": epoch.size[1]}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise PixaceError(f"cannot write {path}: {error.strerror or error}") from None

    def _head(self, drawn: Drawn) -> dict[str, Any]:
        done, guide = drawn.state.epoch, self.read.guide
        each = drawn.seconds / max(1, done - guide.start_epoch)
        return {
            "drawn": self._began.strftime("%Y-%m-%d %H:%M:%S"),
            "with": f"pixace {__version__}",
            "epochs": f"{done} of {guide.epochs}",
            "time": f"{duration(drawn.seconds)}, {each:.3g} s an epoch",
            "figures": self._figures.text(),
        }

    def _animate(self, shown: list[np.ndarray]) -> Path:
        edge = min(ANIMATION_EDGE, max(max(picture.shape) for picture in shown))
        height, width = shown[-1].shape[:2]
        size = max(1, round(width * edge / max(height, width))), max(1, round(height * edge / max(height, width)))
        frames = [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BICUBIC)) for p in shown]
        seconds = max(0.02, ANIMATION_SECONDS / len(frames))
        return save_animation(frames, self._beside(GIF), scale=size[0], seconds=seconds, hold=1.0)


def _held(name: str, beside: Sequence[str]) -> Path:
    """A path that nothing was at, nor beside it, and where now a black picture is, so that no other run takes it."""
    while True:
        try:
            path = unused(name, beside)
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PixaceError(f"cannot write {name:.200}: {error.strerror or error}") from None
        try:
            path.touch(exist_ok=False)
        except FileExistsError:  # another run was faster
            continue
        except OSError as error:
            raise PixaceError(f"cannot write {name:.200}: {error.strerror or error}") from None
        try:  # a format that cannot be written is told before hours of work, not after
            save_picture(Image.new("RGB", (16, 16)), path)
        except PixaceError:
            path.unlink(missing_ok=True)
            raise
        return path


def _forget(losses: Path, epoch: int) -> None:
    """Take back the lines of epochs that come again, after a run that was killed."""
    try:
        lines = losses.read_text("utf-8").splitlines(keepends=True)
        kept = "".join(line for line in lines if json.loads(line)["epoch"] < epoch)
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PixaceError(f"{losses} cannot be read as the figures of the run: {error}") from None
    write_atomically(losses, lambda file: file.write_text(kept, "utf-8"))


def resumed(path: Path, overrides: dict[str, str]) -> tuple[Path, Path, Read]:
    """The picture, the state's file, and the guide of a run that was stopped.

    Args:
        path: the picture or the state's file.
        overrides: values by path that the guide gets.

    Raises:
        ConfigError: an override makes no sense.
        PixaceError: there is no such state, or it cannot be read.
    """
    from pixace.guide.reading import read_again

    if path.is_dir():
        raise PixaceError(f"{path} is a folder; the picture of a run that was stopped is needed")
    state = path if path.name.endswith(STATE) else state_file(path)
    facts = read_facts(state)
    # A state from a stranger names no file but those that are called as it is.
    out = state.with_name(state.name.removesuffix(STATE) + Path(facts["out"]).suffix)
    check_format(out)
    read = read_again(facts["document"], str(out), overrides)
    return out, state, read
