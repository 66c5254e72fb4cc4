"""Flags made from the configuration dataclasses: one set a command, nothing global.

This package is the only place that knows absl.
"""

import dataclasses
import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from pixace.config import ModelOptions, TokenizerConfig
from pixace.errors import ConfigError
from pixace.fields import convert

OTHER = "other flags"
HELP = ("--help", "-help", "--helpfull", "-helpfull", "--helpshort", "-helpshort", "-h", "-?")


class FlagSet:
    """The flags of one command."""

    def __init__(self, command: str, about: str):
        self.command, self.about = command, about
        self.values = flags.FlagValues()
        self.values.set_gnu_getopt(True)  # flags may follow words
        self._hints: dict[str, Any] = {}
        self._help: dict[str, str] = {}
        self._sections: dict[str, list[str]] = {}
        self._aliases: dict[str, str] = {}
        self.add("debug", False, bool, "show the traceback of an error", OTHER)
        for name, help in (
            ("flagfile", "read flags from this file, one a line"),
            ("undefok", "unknown flags of these names are no error"),
        ):
            flags.DEFINE_string(name, "", help, flag_values=self.values)
            self._help[name] = help
            self._sections[OTHER].append(name)

    @property
    def names(self) -> list[str]:
        """All flags of the command, without absl's own."""
        return list(self._hints)

    def add_section(self, title: str, config: type) -> None:
        """A flag for each field of a configuration dataclass."""
        hints = typing.get_type_hints(config)
        for field in dataclasses.fields(config):
            choices = field.metadata["choices"]
            self.add(field.name, field.default, hints[field.name], field.metadata["help"], title, choices)

    def add(
        self, name: str, default: Any, hint: Any, help: str, section: str = "flags", choices: Sequence[str] = ()
    ) -> None:
        """One flag; `hint` is its type: bool, int, float, str, tuple[int, ...], list[...] or one of them | None."""
        self._hints[name], self._help[name] = hint, help
        self._sections.setdefault(section, []).append(name)
        kind = _plain(hint)
        if kind is bool:
            flags.DEFINE_bool(name, default, help, flag_values=self.values)
        elif typing.get_origin(kind) is list:
            flags.DEFINE_multi_string(name, default, help, flag_values=self.values)
        elif choices:
            flags.DEFINE_enum(name, default, list(choices), help, flag_values=self.values)
        else:  # text here, made a number by `given`: our errors are clearer than absl's
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
            flags.DEFINE_string(name, None if shown is None else str(shown), help, flag_values=self.values)

    def add_alias(self, alias: str, name: str) -> None:
        """A second spelling."""
        self._aliases[alias] = name
        flags.DEFINE_alias(alias, name, flag_values=self.values)

    def parse(self, arguments: Sequence[str], positional: bool = False) -> tuple[dict[str, Any], list[str]]:
        """What was given explicitly, as values of the right types, and the words that are not flags.

        Prints the help to standard output and exits 0 where it is asked for.

        Raises:
            ConfigError: for unknown flags, bad values, or words where none belong.
        """
        if any(word in HELP for word in arguments):
            print(self.help())
            sys.stdout.flush()
            sys.exit(0)
        try:
            words = self.values([self.command, *arguments])[1:]
        except UnicodeDecodeError as error:
            raise ConfigError(f"a --flagfile is not text: {error}") from None
        except (flags.Error, ValueError) as error:  # a ValueError is --noNAME=VALUE
            text = str(error).removeprefix("ERROR:: ").removeprefix("flag ")
            raise ConfigError(text[:1].lower() + text[1:].replace(" ?", "?")) from None
        if words and not positional:
            raise ConfigError(f"{words[0]!r} is not a flag; flags look like --name=value")
        return self._given(), words

    def _given(self) -> dict[str, Any]:
        found = {}
        for name, hint in self._hints.items():
            flag = self.values[name]
            if flag.present or flag.using_default_value is False:
                found[name] = self._typed(name, hint, flag.value)
        return found

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        """The values of all flags but --debug: those given, else the defaults."""
        return {name: given.get(name, self.default(name)) for name in self.names if name != "debug"}

    def default(self, name: str) -> Any:
        """The default of a flag, typed."""
        return self._typed(name, self._hints[name], self.values[name].default)

    def _typed(self, name: str, hint: Any, value: Any) -> Any:
        kind = _plain(hint)
        if value is None or not isinstance(value, str) or kind is str:
            return value
        if value.lower() == "none" and isinstance(hint, types.UnionType):
            return None
        try:
            if kind is int:
                value = int(value.replace("_", ""))
            elif kind is float:
                value = float(value)
            elif typing.get_origin(kind) is tuple:
                value = tuple(int(part) for part in value.replace("(", "").replace(")", "").split(","))
        except ValueError:
            wanted = {int: "a whole number", float: "a number"}.get(kind, "a list of whole numbers, such as 5,4,4,")
            raise ConfigError(f"--{name}={value}: {wanted} is needed") from None
        return convert(hint, name, value)

    def help(self) -> str:
        """This command's flags for people."""
        width = min(shutil.get_terminal_size((100, 24)).columns, 110)
        lines = [f"usage: {self.command}", "", *textwrap.wrap(self.about, width)]
        for title, names in sorted(self._sections.items(), key=lambda entry: entry[0] == OTHER):
            lines += ["", f"{title}:"]
            for name in names:
                lines += self._help_of(name, width)
        return "\n".join(lines)

    def _help_of(self, name: str, width: int) -> list[str]:
        flag = self.values[name]
        default = flag.default
        if isinstance(default, list):
            default = " ".join(map(str, default))
        text = self._help[name]
        choices = getattr(flag.parser, "enum_values", None)
        if choices and not all(choice in text for choice in choices):
            text += f" ({', '.join(choices)})"
        if default not in (None, "", False):
            text += f" [{str(default).lower() if default is True else default}]"
        spellings = [f"--[no]{name}" if flag.boolean else f"--{name}"] + [
            f"--{alias}" for alias, of in self._aliases.items() if of == name
        ]
        head = f"  {', '.join(spellings)}"
        body = textwrap.wrap(text, width - 24)
        if len(head) > 22:
            return [head] + [" " * 24 + line for line in body]
        return [f"{head:24}{body[0]}"] + [" " * 24 + line for line in body[1:]]


def add_model(flags: FlagSet, name: str = "name of the model in WEIGHTS_DIR") -> None:
    """Flags that say which model: by its name, or by the path of its folder or file; `name` is what help says."""
    flags.add("model_name", None, str | None, name, "where")
    flags.add("weights_dir", "model-weights", str, "folder that holds the models", "where")
    flags.add_alias("model_dir", "weights_dir")
    checkpoint = "a model's folder, exported file or Trax's model.pkl.gz, instead of a name"
    flags.add("checkpoint", None, str | None, checkpoint, "where")


def chosen_model(options: dict[str, Any]) -> tuple[str, str | None]:
    """Which model `add_model`'s flags name, and the folder to look for it in: None for a path.

    Raises:
        ConfigError: if they name none, or two.
    """
    name, checkpoint = options["model_name"], options["checkpoint"]
    if name and checkpoint:
        raise ConfigError(f"--model_name={name} and --checkpoint={checkpoint} each name a model; give one of them")
    if checkpoint:
        return checkpoint, None
    if not name:
        raise ConfigError("which model? give its name as --model_name=NAME, or its folder or file as --checkpoint=PATH")
    return name, options["weights_dir"]


def add_facts(flags: FlagSet, section: str) -> None:
    """Flags for what is known of a model that is there already; none of them is needed."""
    kinds = {"model_type": str | None, "n_heads": int | None}
    for name, kind in (kinds | {"image_size": int | None, "bitdepth": tuple[int, ...] | None}).items():
        entry = (ModelOptions if name in kinds else TokenizerConfig).__dataclass_fields__[name].metadata
        flags.add(name, None, kind, entry["help"], section, entry["choices"])


def _plain(hint: Any) -> Any:
    """The type without `| None`."""
    if isinstance(hint, types.UnionType):
        return next(arg for arg in typing.get_args(hint) if arg is not types.NoneType)
    return hint


def comma_list(values: Sequence[str] | None) -> list[str]:
    """The entries of a flag that may repeat and hold commas."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]
