"""`pixace guide`"""

import sys
from collections.abc import Sequence
from typing import Any

from pixace import devices
from pixace.cli.flags import FlagSet
from pixace.cli.short_flags import no_flag, spelt_out
from pixace.errors import ConfigError
from pixace.folders import expanded

ABOUT = (
    "Draw what YAML files ask for in words and pictures, by descent under CLIP; several files are merged from left to "
    "right, - is standard input. Nearly every number in them may be an expression of time. What they may say: "
    "pixace guide --reference. No picture is ever written over: a name that is taken gets a number."
)
SHORT = {"-o": "output", "-lr": "learnrate", "-opt": "optimizer", "-e": "epochs", "-r": "resolution"}
SHORT |= {"-s": "snapshot_interval", "-d": "device", "-v": "verbose"}
SEVERAL = {"resolution": lambda word: no_flag(word) and word.isdecimal()}
OVERRIDES = ("learnrate", "optimizer", "epochs", "device", "verbose", "model", "seed", "canvas")  # in files, too
SEEDS = 2**32
IN_FILE = "instead of what the files say"


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace guide CONFIG.yaml... [-o OUT] [--flags]", ABOUT)
    flags.add("output", None, str | None, "file, or folder that is there or ends with /, for the picture (-o)")
    flags.add("repeat", 1, int, "so many pictures, each with another seed and a name of its own")
    flags.add("set", None, list[str], "PATH=VALUE, such as targets[0].batch_size=4; may repeat")
    flags.add("resume", None, str | None, "go on with a run that was stopped: its picture, or its .state.safetensors")
    flags.add("allow_local", False, bool, "addresses in files may be those of this computer and of private networks")
    flags.add("allow_folder", None, list[str], "files may name pictures in this folder, too; may repeat")
    flags.add("save_frames", False, bool, "also a folder OUT_frames of the pictures on the way")
    flags.add("every", 1, int, "epochs between frames")
    flags.add("save_gif", False, bool, "also an animation OUT.gif")
    flags.add("save_losses", False, bool, "also the loss and rate of each epoch, one JSON object a line, in OUT.jsonl")
    flags.add("check", False, bool, "only read the files, and tell what is wrong in them")
    flags.add("reference", False, bool, "print what files may say, as Markdown")
    flags.add("schema", False, bool, "print the JSON schema of files, for editors")
    flags.add("learnrate", None, str | None, "factor of the optimiser's rate (-lr)", IN_FILE)
    flags.add("optimizer", None, str | None, "adam, sgd ... (-opt)", IN_FILE)
    flags.add("epochs", None, str | None, "how many steps (-e)", IN_FILE)
    flags.add("resolution", None, list[str], "one number, or width and height (-r)", IN_FILE)
    flags.add("snapshot_interval", None, str | None, "seconds between snapshots, 0 for none (-s)", IN_FILE)
    flags.add("device", None, str | None, "auto, cpu, gpu or tpu (-d)", IN_FILE)
    flags.add("verbose", None, str | None, "0: silent, 1: progress, 2: figures, too (-v)", IN_FILE)
    flags.add("model", None, str | None, "a CLIP: emoji-clip, a name of `pixace download`, or a file", IN_FILE)
    flags.add("canvas", None, str | None, "pixels, imstack, fourier or laplacian", IN_FILE)
    flags.add("seed", None, str | None, "of all randomness", IN_FILE)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Draw what files ask for; returns the exit code."""
    flags = make_flags()
    given, files = flags.parse(spelt_out(arguments, SHORT, SEVERAL), positional=True)
    options = flags.options(given)
    if options["reference"] or options["schema"]:
        _explain(options)
        return 0
    if not files and not options["resume"]:
        raise ConfigError(
            "which guide file? pixace guide CONFIG.yaml...; pixace guide --reference tells what it may say"
        )
    if files and options["resume"]:
        raise ConfigError(f"--resume={options['resume']} has its own guide; give no other files, --set changes values")
    if options["resume"] and (other := [n for n in ("output", "repeat", "allow_folder") if given.get(n, 1) != 1]):
        raise ConfigError(f"--{other[0]}: --resume={options['resume']} goes on with that one picture, where it is")
    for name in ("repeat", "every"):
        if options[name] < 1:
            raise ConfigError(f"--{name}={options[name]}: at least 1 is needed")
    overrides = _overrides(options)
    from pixace.guide.reading import read_guides
    from pixace.guide.recording import resumed

    out = state = None
    if options["resume"]:
        out, state, read = resumed(expanded(options["resume"]), overrides)
    else:
        read = read_guides(files, overrides, options["output"], options["allow_folder"] or ())
    if read.guide.verbose or options["check"]:
        for line in read.warnings:
            print(f"note: {line}", file=sys.stderr)
    if options["check"]:
        print(f"nothing is wrong; the picture would be {read.base_name}")
        return 0
    return _draw(read, options, out, state)


def _draw(read: Any, options: dict[str, Any], out: Any, state: Any) -> int:
    from dataclasses import replace

    device = read.guide.device
    devices.prepare(device)
    import jax

    from pixace.guide.models import load_models
    from pixace.guide.recording import Recorder
    from pixace.guide.run import draw

    found = devices.find_devices(device)
    if read.guide.verbose:
        print(devices.describe(found[:1]), file=sys.stderr)
        devices.warn_of_idle_gpu(found)
    with jax.default_device(found[0]):
        clips = load_models(read.guide)
        for number in range(options["repeat"]):
            seed = (read.guide.seed + number) % SEEDS
            own = replace(read, guide=replace(read.guide, seed=seed), document={**read.document, "seed": seed})
            recorder = Recorder(
                own,
                out,
                frames=options["save_frames"],
                gif=options["save_gif"],
                losses=options["save_losses"],
                every=options["every"],
                going_on=state is not None,
            )
            try:
                drawn = draw(own.guide, clips, resume=state, allow_local=options["allow_local"], on_epoch=recorder)
                written = recorder.finish(drawn)
            finally:
                recorder.let_go()
            if read.guide.verbose:
                print(f"saved {', '.join(map(str, written))} ({drawn.state.epoch} epochs, {drawn.seconds:.1f} s)")
            if drawn.signal is not None:
                print(f"stopped; pixace guide --resume={recorder.out} goes on", file=sys.stderr)
                return 128 + drawn.signal
    return 0


def _overrides(options: dict[str, Any]) -> dict[str, str]:
    """Values by path that the command line gives."""
    found = {name: options[name] for name in OVERRIDES if options[name] is not None}
    if options["resolution"]:
        if len(options["resolution"]) > 2:
            raise ConfigError(f"--resolution has {len(options['resolution'])} numbers; one, or width and height")
        found["resolution"] = " ".join(options["resolution"])
    if options["snapshot_interval"] is not None:  # seconds, which files write with a point
        interval = options["snapshot_interval"]
        found["snapshot_interval"] = f"{interval}.0" if interval.isdecimal() else interval
    for entry in options["set"] or []:
        path, equals, value = entry.partition("=")
        if not equals or not path:
            raise ConfigError(f"--set={entry}: PATH=VALUE is needed, such as targets[0].weight=2")
        found[path] = value
    return found


def _explain(options: dict[str, Any]) -> None:
    import json

    from pixace.guide.reference import editor_schema, reference

    print(reference() if options["reference"] else json.dumps(editor_schema(), indent=1))
