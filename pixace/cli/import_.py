"""`pixace import`"""

from collections.abc import Sequence

from pixace import devices
from pixace.cli.flags import FlagSet, add_facts
from pixace.errors import ConfigError

ABOUT = (
    "Make a model of a checkpoint that Trax wrote (model.pkl.gz, with model.weights.npy.gz beside it if it is of "
    "Trax 1.4.1), or of a file that `pixace export` wrote. Trax is not needed, and nothing in the file is run."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace import --checkpoint=model.pkl.gz --model_name=NAME [--flags]", ABOUT)
    flags.add("checkpoint", None, str | None, "the file to read", "where")
    flags.add("model_name", None, str | None, "name of the new model in WEIGHTS_DIR", "where")
    flags.add("weights_dir", "model-weights", str, "folder that holds the models", "where")
    flags.add_alias("model_dir", "weights_dir")
    add_facts(flags, "what the file does not say (guessed if not given, and told)")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Import; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(arguments)
    given.pop("debug", None)
    checkpoint, name = given.pop("checkpoint", None), given.pop("model_name", None)
    if not checkpoint or not name:
        raise ConfigError("which file, and under which name? --checkpoint=model.pkl.gz --model_name=NAME are needed")
    devices.prepare("cpu")  # numbers are only moved about
    from pixace.checkpoints import load_config, weights_step
    from pixace.exchange import import_model
    from pixace.models.spec import count_parameters

    folder = import_model(checkpoint, name, given.pop("weights_dir", flags.default("weights_dir")), **given)
    config, step = load_config(folder), weights_step(folder)
    model, tokenizer = config.model, config.tokenizer
    print(
        f"{model.model_type} of {count_parameters(model):,} weights, {model.n_layers} layers, {model.n_heads} heads, "
        f"{tokenizer.image_size}x{tokenizer.image_size} pixels of {','.join(map(str, tokenizer.bitdepth))} bits, "
        f"step {step:,}; model in {folder}"
    )
    return 0
