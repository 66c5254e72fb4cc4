"""`pixace style`: one picture in the style of others; `pixace style train | apply` for networks that learn a style."""

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any

from pixace import devices
from pixace.cli.flags import FlagSet
from pixace.cli.outputs import check_writable
from pixace.cli.style_pictures import picture_list
from pixace.cli.style_train import with_underscores
from pixace.errors import ConfigError
from pixace.folders import expanded

# Words that may follow `pixace style`: each has a module of its own.
COMMANDS = {"train": "style_train", "apply": "style_apply", "unpaired": "style_unpaired", "ui": "style_ui"}

ABOUT = (
    "Make a picture with the content of one picture and the style of others. With --content alone the picture is "
    "found again from what the network sees of it, with --style alone a texture of the style. Networks that learn a "
    "style once and apply it at once: pixace style train, pixace style apply; pictures of two kinds that are made "
    "into each other: pixace style unpaired."
)
SOURCE = "names of the source project"


def make_flags() -> FlagSet:
    """The flags of this command."""
    from pixace.style.options import StyleOptions

    flags = FlagSet("pixace style --content=FILE_OR_URL --style=FILE_OR_URL,... [--flags]", ABOUT)
    flags.add("content", None, str | None, "picture whose content is kept: a file or http(s) address", "pictures")
    styles = "pictures whose style is taken, with commas between (a file with commas in its name is one); may repeat"
    flags.add("style", None, list[str], styles, "pictures")
    mask = "where in the result each style is to be: a picture of the content's shape for each, white there"
    flags.add("mask", None, list[str], mask, "pictures")
    flags.add("style_mask", None, list[str], "where each style picture is looked at: white there", "pictures")
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", "pictures", devices.DEVICES)
    flags.add("out", "stylized.png", str, "file of the result; its ending gives the format", "what to write")
    flags.add("save_gif", False, bool, "also an animation of the way there, as OUT.gif", "what to write")
    flags.add("save_frames", False, bool, "also pictures on the way, as OUT_frames/00010.png ...", "what to write")
    flags.add("save_losses", False, bool, "also the figures of every step, as OUT.jsonl", "what to write")
    flags.add("every", 10, int, "steps from frame to frame", "what to write")
    sweep = "instead, a sheet of what each layer keeps of content and style: layers with commas, or all"
    flags.add("sweep", None, str | None, sweep, "what to write")
    saliency = (
        "instead, what of the content a layer (relu3_4) or a class of ImageNet (its number) hangs on, laid over it"
    )
    flags.add("saliency", None, str | None, saliency, "what to write")
    dream = (
        "instead, the content with more of what a layer (relu3_3) looks for, or one of its channels, counted from 0 "
        "(relu3_3,17); 30 steps of adam at one scale unless --steps, --lr, --min_size, --average, --tv_weight say more"
    )
    flags.add("dream", None, str | None, dream, "what to write")
    flags.add_section("the method", StyleOptions)
    for alias, name in (
        ("content_src", "content"),
        ("style_src", "style"),
        ("save_fp", "out"),
        ("save_all", "save_frames"),
        ("image_size", "size"),
        ("content_labels", "content_layers"),
        ("style_labels", "style_layers"),
    ):
        flags.add_alias(alias, name)
    flags.add("init_noise", None, bool | None, "start from noise: --init=noise", SOURCE)
    flags.add("center_crop", None, bool | None, "--fit=crop; --nocenter_crop: --fit=stretch", SOURCE)
    flags.add("num_steps", None, int | None, "with --lbfgs_iters: --optimizer=lbfgs --steps=their product", SOURCE)
    flags.add("lbfgs_iters", None, int | None, "iterations in each of --num_steps [10]", SOURCE)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Stylize, or do what the first word says; returns the exit code."""
    if arguments and arguments[0] in COMMANDS:
        return import_module(f"pixace.cli.{COMMANDS[arguments[0]]}").run(arguments[1:])
    if arguments and not arguments[0].startswith("-"):
        raise ConfigError(f"pixace style {arguments[0]}: pixace style --flags, or one of {', '.join(COMMANDS)}")
    from pixace.style.options import StyleOptions, make_options

    flags = make_flags()
    given, _ = flags.parse(with_underscores(arguments))
    options = flags.options(given)
    chosen = _of_the_source(given)
    chosen |= {entry.name: given[entry.name] for entry in fields(StyleOptions) if entry.name in given}
    make_options(chosen)  # a mistake is told before anything is loaded
    pictures = {
        "content": options["content"],
        "style": picture_list(options["style"]),
        "mask": picture_list(options["mask"]),
        "style_mask": picture_list(options["style_mask"]),
    }
    if options["every"] < 1:
        raise ConfigError(f"--every={options['every']}: at least 1 is needed")
    if pictures["content"] is None and not pictures["style"]:
        raise ConfigError("which pictures? give --content=A, --style=B, or both")
    kinds = [kind for kind in ("sweep", "saliency", "dream") if options[kind] is not None]
    if len(kinds) > 1:
        raise ConfigError(f"{' and '.join(f'--{kind}' for kind in kinds)} each make another picture; give one of them")
    if kinds in (["saliency"], ["dream"]) and pictures["content"] is None:
        raise ConfigError(f"--{kinds[0]} looks at the content; give --content=A")
    from pixace.sheets import check_format

    check_format(options["out"])
    check_writable(expanded(options["out"]))
    devices.prepare(options["device"])
    devices.keep_freed_memory()
    import jax

    found = devices.find_devices(options["device"])
    print(devices.describe(found[:1]), file=sys.stderr)
    devices.warn_of_idle_gpu(found)
    with jax.default_device(found[0]):
        if options["sweep"] is not None:
            return _sweep(options, pictures, chosen)
        if options["saliency"] is not None:
            return _saliency(options, pictures, chosen)
        return _stylize(options, pictures, chosen)


def _of_the_source(given: dict[str, Any]) -> dict[str, Any]:
    """Options that the source project's flags stand for."""
    own = {name: given[name] for name in ("init_noise", "center_crop", "num_steps", "lbfgs_iters") if name in given}
    if not own:
        return {}
    from pixace.style.source_names import source_options

    return source_options(**own)


def _stylize(options: dict[str, Any], pictures: dict[str, Any], chosen: dict[str, Any]) -> int:
    from pixace.style.descending import Diverged
    from pixace.style.dream import SETTINGS, dream
    from pixace.style.options import make_options
    from pixace.style.recording import Recorder
    from pixace.style.transfer import stylize

    recorder = Recorder(
        options["out"],
        gif=options["save_gif"],
        frames=options["save_frames"],
        losses=options["save_losses"],
        every=options["every"],
    )
    own = {} if options["dream"] is None else {"dream": options["dream"]}
    settings = vars(make_options({**SETTINGS, **chosen} if own else chosen))
    told = {name: value for name, value in {**pictures, **own, **settings}.items() if value is not None}
    facts = {"Software": "pixace", "style transfer": json.dumps(told)}
    try:
        if options["dream"] is not None:
            result = dream(pictures["content"], options["dream"], on_step=recorder, **chosen)
        else:
            result = stylize(**pictures, on_step=recorder, **chosen)
    except Diverged as error:
        raise recorder.rescue(error, facts) from error
    written = recorder.finish(result, facts)
    if result.signal is not None:
        print(f"stopped after {len(result.steps)} steps; what was found so far is saved", file=sys.stderr)
    print(f"saved {', '.join(map(str, written))} ({len(result.steps)} steps, {result.seconds:.1f} s)")
    return 0 if result.signal is None else 128 + result.signal


def _sweep(options: dict[str, Any], pictures: dict[str, Any], chosen: dict[str, Any]) -> int:
    from pixace.sheets import save_picture
    from pixace.style.sweep import sweep

    found = sweep(pictures["content"], pictures["style"], options["sweep"], **chosen)
    told = ""
    if found.signal is not None:
        told = f" ({found.done} of {found.total} pictures)"
        print(f"stopped; what was done so far is {'saved' if found.done else 'nothing'}", file=sys.stderr)
    if found.done:
        save_picture(found.sheet, options["out"])
        print(f"saved {options['out']}{told}")
    return 0 if found.signal is None else 128 + found.signal


def _saliency(options: dict[str, Any], pictures: dict[str, Any], chosen: dict[str, Any]) -> int:
    from pixace.sheets import save_picture
    from pixace.style.saliency import saliency_overlay

    save_picture(saliency_overlay(pictures["content"], options["saliency"], **chosen), options["out"])
    print(f"saved {options['out']}")
    return 0
