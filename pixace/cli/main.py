"""`pixace COMMAND`: picks the command, parses its flags, turns errors into one line and an exit code."""

import os
import re
import signal
import sys
import traceback
from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from types import FrameType, ModuleType

from pixace.errors import ConfigError, PixaceError

# name -> what the short help says of it; the code is in pixace.cli.NAME, or NAME_ where that is a keyword of Python
COMMANDS = {
    "train": "train a model on a folder of pictures, or go on with its training",
    "predict": "draw new pictures, or complete prompts, with a trained model",
    "evaluate": "measure a model: likelihood, bits a dimension, quality of what it draws, copies",
    "refine": "make large, sharp pictures of small drawings",
    "style": "one picture in the style of others, and networks that learn it (style train, apply, unpaired, ui)",
    "guide": "draw what YAML files ask for in words and pictures, by descent under CLIP",
    "clip": "rate pictures by texts and other pictures, and train a small CLIP (clip rate, train)",
    "tokenize": "show pictures under several bit depths, with the loss of quality",
    "import": "make a model of Trax's model.pkl.gz, or of an exported file",
    "export": "write a model as one safetensors file, or as Trax loads it",
    "download": "download models, or pictures to train on",
    "publish": "write a model as a folder with a card, for `pixace download` from any web server",
    "plan": "tell the memory and time that a training run will take, before it starts",
    "doctor": "tell what this machine has, how fast it is, and what is missing",
}
LESS_MEMORY = defaultdict(
    lambda: "smaller or fewer pictures",
    train="a smaller --batch_size, --accumulate, --model_type=reformer (or --residual=remat) or a smaller model",
    predict="a smaller --batch_size or --scale, or fewer prompts or temperatures",
    **dict.fromkeys(
        ("import", "export", "download", "publish"), "a machine with more of it: the file's weights must fit"
    ),
    refine="a smaller --size, or fewer pictures at once",
    style="a smaller --size or --tile, or --optimizer=adam (train: a smaller --batch_size, --image_size or --width)",
    evaluate="a smaller --batch_size, --n_images or --n_samples",
    clip="a smaller --model (train: a smaller --batch_size, --image_size or --image_width)",
    guide="a smaller resolution, batch_size or number of cutouts in the file, or --model=emoji-clip",
)
USAGE = "usage: pixace COMMAND [--flags]\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line (default: this process's) and exit with its code: 0, or 1 or 2 for errors."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # a process of its own
        signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


class _Terminated(KeyboardInterrupt):
    """SIGTERM: it ends a command as Ctrl-C does, with nothing half done left behind."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _run(arguments: list[str]) -> int:
    if not arguments:
        print(_short_help(), file=sys.stderr)
        return 2
    name, rest = arguments[0], arguments[1:]
    if name in ("--help", "-h", "-help", "help", "--helpfull", "-helpfull", "--helpshort"):
        print(_short_help())
        return 0
    if name == "--version":
        from pixace import __version__

        print(f"pixace {__version__}")
        return 0
    if name not in COMMANDS:
        print(f"pixace: there is no command {name!r}\n\n{_short_help()}", file=sys.stderr)
        return 2
    debug = any(re.fullmatch(r"--?debug(=(t|true|y|yes|1))?", word, re.IGNORECASE) for word in rest)
    try:
        return command(name).run(rest)
    except PixaceError as error:
        if debug:
            traceback.print_exc()
        print(f"pixace {name}: {error}", file=sys.stderr)
        if isinstance(error, ConfigError):
            print(f"(pixace {name} --help shows the flags)", file=sys.stderr)
        return error.exit_code
    except PermissionError as error:  # met while looking around; where something is written, it is told there
        if debug or not error.filename:
            raise
        print(f"pixace {name}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"pixace {name}: interrupted", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT)
    except Exception as error:
        if debug or not _is_out_of_memory(error):
            raise
        print(f"pixace {name}: out of memory; try {LESS_MEMORY[name]} (--debug shows where)", file=sys.stderr)
        return 1


def command(name: str) -> ModuleType:
    """The module of a command: `make_flags()` and `run(arguments)`."""
    return import_module(f"pixace.cli.{name}{'_' if iskeyword(name) else ''}")


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)


def _short_help() -> str:
    lines = [USAGE, "commands:"]
    lines += [f"  {name:10} {text}" for name, text in COMMANDS.items()]
    lines += ["", "`pixace COMMAND --help` shows a command's flags, `pixace --version` the version."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
