"""What the values of one guide file are read with."""

import random as chance
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pixace.guide.trying import Moments, moments


@dataclass
class Context:
    """What values are read with.

    Attributes:
        folder: that of the guide file; None where the command line says them.
        others: further folders in which files may lie.
        constants: of `vars`.
        epochs: of the run.
        random: for numbers that are drawn while reading.
    """

    folder: Path | None = None
    others: Sequence[Path] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 300
    random: chance.Random = field(default_factory=lambda: chance.Random(0))

    @cached_property
    def moments(self) -> Moments:
        """What expressions are tried out with."""
        return moments(self.constants, self.epochs)
