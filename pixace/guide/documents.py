"""YAML from strangers as plain mappings, lists and values, within bounds.

Text is read as YAML 1.1 by PyYAML's safe loader, but words stay words: `yes`, `off`, `12:30` and `2021-05-08` are text.
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pixace.errors import ConfigError, PixaceError
from pixace.folders import expanded

LARGEST = 16 * 2**20  # bytes
MOST_NODES = 1_000_000  # with every alias written out
DEEPEST = 40
_LIMITS = f"{DEEPEST} levels and {MOST_NODES:,} values are the most"
STDIN = "-"
_PREFIX = "tag:yaml.org,2002:"


if TYPE_CHECKING:
    _Safe = yaml.SafeLoader
else:
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML has it, ten times as fast


class _Words(yaml.resolver.Resolver):
    """Which words are no text."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 (as the base class has it)


class _Loader(_Safe):
    """The safe loader, with fewer words that are no text."""

    yaml_implicit_resolvers = _Words.yaml_implicit_resolvers


_Words.add_implicit_resolver(_PREFIX + "bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Words.add_implicit_resolver(_PREFIX + "null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Words.add_implicit_resolver(_PREFIX + "merge", re.compile(r"^<<$"), ["<"])
_Words.add_implicit_resolver(
    _PREFIX + "int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$"), list("-+0123456789")
)
_Words.add_implicit_resolver(
    _PREFIX + "float",
    re.compile(r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|^\.nan$"),
    list("-+.0123456789"),
)
_RESOLVER = _Words()


def read_document(file: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, or on standard input if it is `-`; empty if there is nothing in it.

    Raises:
        PixaceError: it cannot be read.
        ConfigError: it is no YAML, no mapping, or too large.
    """
    try:
        if str(file) == STDIN:
            content = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open(expanded(file), "rb") as stream:
                content = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise PixaceError(f"{name_of(file)} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LARGEST:
        raise ConfigError(f"{name_of(file)}: larger than {LARGEST // 2**20} MiB, which no guide file needs")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name_of(file)} is no text in UTF-8: {error}") from None
    try:
        found = parse_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{name_of(file)}: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{name_of(file)}: a guide file is a mapping (KEY: VALUE), not a {type(found).__name__}")
    return found


def name_of(file: str | Path) -> str:
    """What messages call a guide file."""
    return "standard input" if str(file) == STDIN else str(file)


def parse_yaml(text: str) -> Any:
    """What a YAML text says. Raises `ConfigError` with the line if it is none, or goes beyond the bounds."""
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, {}, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{where}no valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"no valid YAML: {' '.join(str(error).split())}") from None


def parse_value(text: str) -> Any:
    """What a word on the command line says: lists, mappings and quoted text as YAML has them, else one value."""
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return parse_yaml(text)
        except ConfigError:  # an expression may begin so, too: {0: 32}.get(epoch, 64)
            if text[:1] in "\"'" or not re.search(r"[\]}].", text):
                raise
            return text
    loader, tag = _Loader(""), _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{text!r} is no value: {error}") from None
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Before anything is built of it, which is recursive: how deep and how long it is."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or count > 2 * MOST_NODES:
            raise ConfigError(f"line {event.start_mark.line + 1}: too large; {_LIMITS}")


def _measure(node: yaml.Node, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """How many nodes there are with aliases written out, and how deep they are; keys are checked on the way."""
    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    if id(node) in above:
        raise ConfigError(f"line {line}: an alias within what it stands for")
    if node.tag not in _tags(node):
        raise ConfigError(f"line {line}: values with a tag, {node.tag:.60}, are no part of guide files")
    above.add(id(node))
    inner = []
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        inner = [_measure(value, known, above) for _, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inner = [_measure(value, known, above) for value in node.value]
    total, depth = 1 + sum(count for count, _ in inner), 1 + max((depth for _, depth in inner), default=0)
    if total > MOST_NODES or depth > DEEPEST:
        raise ConfigError(f"line {line}: with every alias written out, it is too large; {_LIMITS}")
    above.discard(id(node))
    known[id(node)] = total, depth
    return total, depth


def _tags(node: yaml.Node) -> set[str]:
    """The tags that a node has if none is written."""
    if not isinstance(node, yaml.ScalarNode):
        return {_PREFIX + ("map" if isinstance(node, yaml.MappingNode) else "seq")}
    return {_PREFIX + "str", _RESOLVER.resolve(yaml.ScalarNode, node.value, (True, False))}


def _check_keys(node: yaml.MappingNode) -> None:
    """Keys are words, whatever else they look like, and each is there once."""
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"line {line}: a key must be a word")
        if key.value in seen:
            raise ConfigError(
                f"line {line}: '{key.value:.60}' is given a second time (first in line {seen[key.value]})"
            )
        seen[key.value] = line
        if key.tag != _PREFIX + "merge":
            key.tag = _PREFIX + "str"
