"""`pixace clip`: what a CLIP, which knows pictures and words, is good for by itself."""

from collections.abc import Sequence
from importlib import import_module

from pixace.cli.flags import FlagSet
from pixace.errors import ConfigError

# Words that follow `pixace clip`: each has a module of its own.
COMMANDS = {"rate": "clip_rate", "train": "clip_train"}
ABOUT = (
    "How well pictures agree with texts and with other pictures: pixace clip rate. A small CLIP of one's own: pixace "
    "clip train. Their --help tells their flags."
)


def make_flags() -> FlagSet:
    """The flags of this command, which has none: its words have."""
    return FlagSet("pixace clip rate|train [--flags]", ABOUT)


def run(arguments: Sequence[str]) -> int:
    """Run the command that the first word names; returns the exit code."""
    if arguments and arguments[0] in COMMANDS:
        return import_module(f"pixace.cli.{COMMANDS[arguments[0]]}").run(arguments[1:])
    _, words = make_flags().parse(arguments, positional=True)
    given = f"pixace clip {words[0]}: there is no such command" if words else "pixace clip needs a command"
    raise ConfigError(f"{given}; there is {', '.join(COMMANDS)}")
