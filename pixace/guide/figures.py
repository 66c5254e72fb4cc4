"""What people read while a guide is drawn: the picture's statistics, the loss, how features and constraints do."""

from collections import defaultdict, deque

import numpy as np

from pixace.guide.run import Epoch
from pixace.guide.settings import Guide
from pixace.guide.trying import printable

KEPT = 30  # epochs that means are taken of
LONGEST = 40  # characters of a feature


class Figures:
    """The last epochs of a run, as text."""

    def __init__(self, guide: Guide):
        self.guide = guide
        self._losses: deque[float] = deque(maxlen=KEPT)
        self._seen: dict[int, deque] = defaultdict(lambda: deque(maxlen=KEPT))
        self._epoch: Epoch | None = None

    def add(self, epoch: Epoch) -> None:
        """Take note of an epoch."""
        self._epoch = epoch
        self._losses.append(epoch.loss)
        for place, seen in epoch.seen:
            self._seen[place].append(seen)

    def text(self) -> str:
        """Some lines: the epoch, the picture, the loss, then one for each feature and each constraint that worked."""
        if (epoch := self._epoch) is None:
            return "no epoch is done"
        colours = epoch.picture().astype(np.float32) / 255
        gray = colours.mean(-1, keepdims=True)
        edges = np.abs(np.diff(colours, axis=0)).mean() + np.abs(np.diff(colours, axis=1)).mean()
        losses = np.array(self._losses)
        lines = [
            f"epoch {epoch.number + 1}/{epoch.last + 1}, {epoch.size[1]} x {epoch.size[0]} pixels: mean "
            f"{_triple(colours.mean((0, 1)))}, std {_triple(colours.std((0, 1)))}, saturation "
            f"{np.abs(colours - gray).mean():.3f}, edges {edges:.3f}",
            f"{self.guide.optimizer.name}, rate {epoch.learnrate:.3g}, loss {losses.mean():.4g} "
            f"({losses.min():.4g} to {losses.max():.4g} in {len(losses)} epochs)",
        ]
        for place, kept in sorted(self._seen.items()):
            lines += self._of_target(place, kept)
        return "\n".join(lines)

    def _of_target(self, place: int, kept: deque) -> list[str]:
        target = self.guide.targets[place]
        applied, losses, similar, asked = (
            np.stack([np.asarray(getattr(seen, name)) for seen in kept])
            for name in ("applied", "loss", "similarity", "constraints")
        )
        lines = []
        for i, feature in enumerate(target.features):
            name = printable(feature.image or "")
            wanted = _short(feature.text) if feature.text is not None else "..." + name[-LONGEST + 3 :]
            lines.append(
                f"  {_short(target.name, 20):20} {wanted:{LONGEST}} in {applied[:, i].mean():4.0%} of views, loss "
                f"{losses[:, i].mean():.3f}, similarity {similar[:, i].mean():5.1f} "
                f"({similar[:, i].min():.1f} to {similar[:, i].max():.1f})"
            )
        for i, constraint in enumerate(target.constraints):
            lines.append(f"  {_short(target.name, 20):20} {constraint.kind:{LONGEST}} loss {asked[:, i].mean():.4f}")
        return lines


def _triple(values: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def _short(text: str, longest: int = LONGEST) -> str:
    text = printable(text)
    return text if len(text) <= longest else text[: longest - 3] + "..."
