"""Short flags, and flags that take several words, as other programs have them: spelt out for absl."""

from collections.abc import Callable, Collection, Mapping, Sequence

from pixace.errors import ConfigError


def no_flag(word: str) -> bool:
    """Whether a word is none that begins a flag; a dash alone is standard input."""
    return not word.startswith("-") or word == "-"


def spelt_out(
    arguments: Sequence[str],
    short: Mapping[str, str],
    several: Mapping[str, Callable[[str], bool]] | None = None,
    switches: Collection[str] = (),
) -> list[str]:
    """Arguments with `-o FILE` as `--output=FILE`, and each of several words as a flag of its own.

    Args:
        arguments: what was given.
        short: names of flags by their short form, dash included.
        several: flags that take words, one at least, as long as this holds of them.
        switches: flags that take none.

    Raises:
        ConfigError: a word is missing.
    """
    several = several or {}
    found: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name = short.get(word) or word.removeprefix("--")
        if word not in short and (name not in several or not word.startswith("--")):
            found.append(word)
        elif name in switches:
            found.append(f"--{name}")
        elif name in several:
            taken = []
            while words and several[name](words[0]):
                taken.append(words.pop(0))
            if not taken:
                raise ConfigError(f"{word} needs at least one word after it")
            found += [f"--{name}={text}" for text in taken]
        else:
            if not words:
                raise ConfigError(f"{word} needs a word after it")
            found.append(f"--{name}={words.pop(0)}")
    return found
