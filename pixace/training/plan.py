"""How long a run is: in steps, or in minutes that the run's own pace turns into steps."""

import math
import time

from pixace.config import TrainConfig


class Plan:
    """The length of a run, over which the learning rate is spread; `total` is in steps.

    With `--max_minutes` the total is planned anew at each step from the time that steps have taken so far,
    validations, sample sheets and checkpoints included, so that the learning rate reaches its end with the time.
    """

    def __init__(self, config: TrainConfig, facts: dict[str, float]):
        """`facts` are those of the state that the run goes on from; empty for a new run."""
        self._config = config
        self._minutes_before = facts.get("minutes", 0.0)
        self._started: float | None = None
        self._first: tuple[int, float] | None = None  # the first step of this process, and when it ended
        self._over = False
        same = (facts.get("max_minutes"), facts.get("n_steps")) == (config.max_minutes, config.total_steps)
        as_planned = config.max_minutes is not None and same
        self.total = int(facts["planned_steps"]) if as_planned else config.total_steps

    def begin(self) -> None:
        """The steps begin: what came before, such as reading the pictures, is no training."""
        self._started = time.monotonic()

    @property
    def minutes(self) -> float:
        """Minutes of training so far, those of earlier processes included."""
        here = 0.0 if self._started is None else time.monotonic() - self._started
        return self._minutes_before + here / 60

    @property
    def minutes_left(self) -> float:
        """Minutes until `--max_minutes` are over; infinite without it."""
        return math.inf if self._config.max_minutes is None else self._config.max_minutes - self.minutes

    def see(self, step: int) -> None:
        """Take note that a step has ended."""
        if self._config.max_minutes is None or self._over:
            return
        if self._first is None:  # its own time went into compiling
            self._first = step, time.monotonic()
            return
        first, when = self._first
        seconds = (time.monotonic() - when) / (step - first)
        left = 60 * self.minutes_left / max(seconds, 1e-9)
        self.total = min(self._config.total_steps, step + max(1, int(left)))

    def end(self, step: int) -> None:
        """The run is over with this step."""
        self.total, self._over = step, True

    def finished(self, step: int) -> bool:
        """Whether a run that has done so many steps has nothing left to do."""
        return step >= self.total or self.minutes_left <= 0

    @property
    def way_on(self) -> str:
        """The flags that make a finished run go on."""
        by_steps = "--n_epochs" if self._config.n_steps is None else "--n_steps"
        return by_steps if self._config.max_minutes is None else f"--max_minutes or {by_steps}"

    def facts(self) -> dict[str, float | None]:
        """What a later process must know."""
        return {
            "minutes": self.minutes,
            "planned_steps": self.total,
            "n_steps": self._config.total_steps,
            "max_minutes": self._config.max_minutes,
        }
