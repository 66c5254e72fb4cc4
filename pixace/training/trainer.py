"""The source project's Python way to train: `get_trainer(...).train(...)`."""

import os
from collections.abc import Sequence
from typing import Any

from pixace.training.loop import Result, train


def get_trainer(
    model_name: str,
    model_type: str | None = None,
    weights_dir: str | os.PathLike = "model-weights",
    image_size: int | None = None,
    bitdepth: Sequence[int] | None = None,
    **options: Any,
) -> "Trainer":
    """A trainer for a model; what is left out has the defaults of `pixace train`, or of the run that goes on.

    Args:
        model_type: `transformer` or `reformer`.
        options: any other option of the tokenizer or the model (`ModelOptions`, `TokenizerConfig`).
    """
    named = {"model_type": model_type, "image_size": image_size, "bitdepth": bitdepth}
    return Trainer(model_name, weights_dir, {name: v for name, v in named.items() if v is not None} | options)


class Trainer:
    """Trains one model."""

    def __init__(self, model_name: str, weights_dir: str | os.PathLike, options: dict[str, Any]):
        self.model_name, self.weights_dir, self.options = model_name, weights_dir, options

    def train(
        self,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        steps_per_eval: int | None = None,
        n_epochs: int | None = None,
        images: str | os.PathLike | None = None,
        val_images: str | os.PathLike | None = None,
        **options: Any,
    ) -> Result:
        """Train to the end; see `pixace.train` for the errors and for further options."""
        named = {
            "batch_size": batch_size,
            "steps_per_epoch": steps_per_epoch,
            "steps_per_eval": steps_per_eval,
            "n_epochs": n_epochs,
            "images": images,
            "val_images": val_images,
        }
        given = {name: value for name, value in named.items() if value is not None}
        return train(self.model_name, self.weights_dir, **{**self.options, **given, **options})
