"""pixace: train and sample autoregressive image transformers.

>>> import pixace
>>> pixace.train("emoji", images="my-pictures", n_steps=2000)
>>> model = pixace.load("emoji")
>>> tokens = model.sample(n=4, seed=1)
>>> pictures = model.tokenizer.decode(tokens)  # uint8 (4, 32, 32, 3)

Names are imported when first used, so that `import pixace` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from pixace.canvas.fourier import Fourier
    from pixace.canvas.imstack import ImStack
    from pixace.canvas.laplacian import LaplacianPyramid
    from pixace.canvas.pixels import Pixels
    from pixace.errors import ConfigError, PixaceError
    from pixace.evaluation.evaluate import evaluate
    from pixace.evaluation.figures import Evaluation
    from pixace.exchange import export_model, import_model
    from pixace.sampling.model import Model, load
    from pixace.sampling.predictor import Predictor, get_predictor
    from pixace.style.fast.apply import run_fast_style_transfer_batched
    from pixace.style.source_names import run_gatys_optimization
    from pixace.style.transfer import stylize
    from pixace.style.unpaired.training import train_unpaired
    from pixace.tokenizer import Tokenizer
    from pixace.training.loop import train
    from pixace.training.trainer import Trainer, get_trainer
    from pixace.zoo.download import download_model
    from pixace.zoo.publish import publish_model

_HOMES = {
    "ConfigError": "pixace.errors",
    "Evaluation": "pixace.evaluation.figures",
    "Fourier": "pixace.canvas.fourier",
    "ImStack": "pixace.canvas.imstack",
    "LaplacianPyramid": "pixace.canvas.laplacian",
    "Model": "pixace.sampling.model",
    "PixaceError": "pixace.errors",
    "Pixels": "pixace.canvas.pixels",
    "Predictor": "pixace.sampling.predictor",
    "Tokenizer": "pixace.tokenizer",
    "Trainer": "pixace.training.trainer",
    "download_model": "pixace.zoo.download",
    "evaluate": "pixace.evaluation.evaluate",
    "export_model": "pixace.exchange",
    "get_predictor": "pixace.sampling.predictor",
    "get_trainer": "pixace.training.trainer",
    "import_model": "pixace.exchange",
    "load": "pixace.sampling.model",
    "publish_model": "pixace.zoo.publish",
    "run_fast_style_transfer_batched": "pixace.style.fast.apply",
    "run_gatys_optimization": "pixace.style.source_names",
    "stylize": "pixace.style.transfer",
    "train": "pixace.training.loop",
    "train_unpaired": "pixace.style.unpaired.training",
}

__all__ = [
    "ConfigError",
    "Evaluation",
    "Fourier",
    "ImStack",
    "LaplacianPyramid",
    "Model",
    "PixaceError",
    "Pixels",
    "Predictor",
    "Tokenizer",
    "Trainer",
    "download_model",
    "evaluate",
    "export_model",
    "get_predictor",
    "get_trainer",
    "import_model",
    "load",
    "publish_model",
    "run_fast_style_transfer_batched",
    "run_gatys_optimization",
    "stylize",
    "train",
    "train_unpaired",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pixace' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
