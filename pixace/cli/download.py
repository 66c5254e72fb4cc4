"""`pixace download`"""

import os
import sys
from collections.abc import Sequence

from pixace.cli.flags import FlagSet
from pixace.errors import ConfigError

ABOUT = (
    "Download models: by a name of the list, from the Hugging Face hub, or from the address of a published folder or "
    "an exported file. What comes is checked, kept in the cache, and put into WEIGHTS_DIR; a cut download goes on "
    "with the same command. --dataset=emoji brings pictures to train on instead."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace download NAME|hf:OWNER/NAME[@REVISION]|https://... [--flags]", ABOUT)
    flags.add("list", False, bool, "show what there is, and what of it is here", "what")
    flags.add("dataset", None, str | None, "download this set of pictures: emoji", "what")
    flags.add("archive", None, str | None, "take the pictures from this archive (zip, tar.gz) that is here", "what")
    flags.add("checkpoint", "default", str, "which checkpoint of a model; each has one, default", "what")
    flags.add("model_name", None, str | None, "name of the new model (default: the last part of its name)", "where")
    flags.add("weights_dir", "model-weights", str, "folder that holds the models", "where")
    flags.add_alias("model_dir", "weights_dir")
    flags.add("out", None, str | None, "folder for the pictures (default: the set's name)", "where")
    flags.add("offline", None, bool | None, "use the cache only (also PIXACE_OFFLINE=1 and HF_HUB_OFFLINE=1)", "how")
    flags.add("accept_changed", False, bool, "take what the host has now, even if it was another file before", "how")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Download; returns the exit code."""
    flags = make_flags()
    given, words = flags.parse(arguments, positional=True)
    options = flags.options(given)
    if options["list"]:
        if words or options["dataset"] or options["model_name"]:
            raise ConfigError("--list shows everything there is and takes no name; leave one of them out")
        from pixace.zoo.listing import listing

        print(listing(options["weights_dir"]))
        return 0
    if options["dataset"]:
        of_models = ("model_name", "checkpoint", "weights_dir", "accept_changed")
        if words or given.keys() & set(of_models):
            flags_of_models = ", ".join(f"--{name}" for name in of_models)
            raise ConfigError(f"--dataset brings pictures: it takes no model, and none of {flags_of_models}")
        return _pictures(options)
    for name in ("archive", "out"):
        if options[name]:
            raise ConfigError(f"--{name} is for pictures; --dataset=emoji brings some")
    if not words and options["model_name"]:  # as the source project has it
        words, options["model_name"] = [options["model_name"]], None
    if not words:
        raise ConfigError("which model? give its name or address; pixace download --list shows the names")
    if len(words) > 1 and options["model_name"]:
        raise ConfigError(f"--model_name={options['model_name']} is one name for {len(words)} models")
    for word in words:
        _model(word, options)
    return 0


def _model(word: str, options: dict) -> None:
    from pixace.zoo.index import find_entry

    entry = find_entry(word)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # numbers are only moved about, and not before they are here
    from pixace.zoo.download import download_model

    folder = download_model(
        word,
        options["checkpoint"],
        options["weights_dir"],
        save_as=options["model_name"],
        offline=options["offline"],
        accept_changed=options["accept_changed"],
    )
    print(f"{'model' if entry.kind == 'model' else word} in {folder}")
    if entry.card:
        print(f"about it: {entry.card}", file=sys.stderr)


def _pictures(options: dict) -> int:
    from pixace.zoo.datasets import download_dataset

    result = download_dataset(
        options["dataset"], options["out"], archive=options["archive"], offline=options["offline"]
    )
    for line in result.report(most=10):
        print(line, file=sys.stderr)
    print(
        f"{result.train:,} pictures in {result.folder / 'train'}, {result.val:,} in {result.folder / 'val'}; "
        f"pixace train --images={result.folder / 'train'} --val_images={result.folder / 'val'}"
    )
    return 0
