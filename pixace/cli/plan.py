"""`pixace plan`"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixace.cli.flags import FlagSet
from pixace.cli.train import make_flags as train_flags
from pixace.cli.train import refuse_repeats
from pixace.config import ModelConfig, ModelOptions, TokenizerConfig, TrainConfig
from pixace.errors import ConfigError
from pixace.fields import hints_of

ABOUT = (
    "Tell the memory and the time that `pixace train` with the same flags will take, without training or compiling "
    "anything. The figures are by formula, checked on a CPU; they have not been checked on a GPU."
)
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "": 1}
MOST_BYTES = 1e15
SECTIONS = (TokenizerConfig, ModelOptions, TrainConfig)
OWN = ("memory", "n_pictures", "draw", "json")


def make_flags() -> FlagSet:
    """The flags of this command: those of `pixace train`, and its own."""
    flags = train_flags()
    flags.command, flags.about = "pixace plan [flags of pixace train] [--memory=10GB]", ABOUT
    help = "memory that training may use, such as 10GB (default: what is free here; of a GPU JAX takes three quarters)"
    flags.add("memory", None, str | None, help, "the plan")
    flags.add("n_pictures", None, int | None, "training pictures (default: those in --images)", "the plan")
    flags.add("draw", 16, int, "pictures that `pixace predict` will draw at a time", "the plan")
    flags.add("json", False, bool, "print one JSON object, for machines", "the plan")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Print the plan; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    refuse_repeats(arguments)
    from pixace.planning.gpu import jax_can_use_gpus
    from pixace.planning.machine import MemoryFound, host_memory, nvidia_memory
    from pixace.planning.plan import make_plan, table
    from pixace.planning.rates import known_rates, measure_rates

    own = {name: given.pop(name, flags.default(name)) for name in OWN}
    for name in ("draw", "n_pictures"):
        if own[name] is not None and own[name] < 1:
            raise ConfigError(f"--{name}={own[name]}: at least 1 is needed")
    device = given.get("device", "auto")
    model, training = _configurations(given)
    graphics = nvidia_memory() if device == "gpu" or (device == "auto" and jax_can_use_gpus()) else None
    if own["memory"] is not None:
        memory = MemoryFound("the memory given", _bytes(own["memory"]), _bytes(own["memory"]))
    elif graphics is not None or device in ("gpu", "tpu"):
        memory = graphics
    else:
        memory = host_memory()
    on_cpu = graphics is None and device in ("auto", "cpu")
    plan = make_plan(
        model,
        training,
        memory=memory,
        rates=(known_rates() or measure_rates()) if on_cpu else None,
        n_pictures=own["n_pictures"] or _count(training),
        drawing=own["draw"],
    )
    print(json.dumps(plan.to_json()) if own["json"] else table(plan, training))
    return 0


def _configurations(given: dict[str, Any]) -> tuple[ModelConfig, TrainConfig]:
    """What `pixace train` would make of these flags; the pictures need not be there."""
    if given.get("engine") == "trax":
        raise ConfigError("--engine=trax: only our own engine's memory and time are known")
    weights_dir = Path(given.get("weights_dir", "model-weights"))
    folder = weights_dir / given["model_name"] if given.get("model_name") else None
    given = {name: value for name, value in given.items() if name in hints_of(*SECTIONS)}
    if given.get("checkpoint") or (folder is not None and (folder / "config.json").is_file()):
        from pixace.training.settings import resolve  # which brings JAX

        config, _ = resolve(folder, given, weights_dir, needs_pictures=False)
        return config.model, config.training or TrainConfig()
    from pixace.training.pictures import usual_folders

    tokenizer, options, training = (
        {name: value for name, value in given.items() if name in hints_of(section)} for section in SECTIONS
    )
    return ModelOptions(**options).build(TokenizerConfig(**tokenizer)), usual_folders(TrainConfig(**training))


def _count(training: TrainConfig) -> int | None:
    """Pictures to train on in the source that is named, None where none is."""
    if training.images is None:
        return None
    from pixace.progress import silent
    from pixace.sources.finding import find_source
    from pixace.training.pictures import validation_inside

    count = find_source(training.images, without=validation_inside(training)).count(silent)
    held_out = 0 if training.val_images else round(count * training.val_fraction)
    return count - held_out


def _bytes(text: str) -> int:
    """Bytes of a size such as 10GB, 800MiB or 8e9.

    Raises:
        ConfigError: if it is none.
    """
    number = text.strip().upper().rstrip("KMGTIB")
    unit = text.strip().upper()[len(number) :]
    try:
        size = float(number) * UNITS[unit]
    except (ValueError, KeyError):
        raise ConfigError(f"--memory={text}: a size such as 10GB, 800MiB or 8e9 is needed") from None
    if not 1 <= size < MOST_BYTES:
        raise ConfigError(f"--memory={text}: a size from 1 byte to 1,000 TB is needed")
    return int(size)
