"""Stand-ins for modules that Trax names when it is imported and never calls on the way to a model of ours.

TensorFlow and its companions (3 GB) are not there on the GPU machine, nor do they exist for every Python. `install`
puts empty modules in their place, in this process alone: any attribute of one is again a stand-in, which serves as
module, class or decorator; whatever is really asked of them gives nothing. Real modules, where installed, win.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from typing import Any

NAMES = ("tensorflow", "tensorflow_datasets", "tensorflow_text", "t5", "gym", "matplotlib", "seqio")


class _Anything(type):
    """A class whose attributes, calls and items are itself: enough to be subclassed, decorated with or listed."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        only = arguments[0] if len(arguments) == 1 and not options else None
        return only if isinstance(only, types.FunctionType) else cls  # as a decorator it leaves the function alone

    def __getitem__(cls, key: Any) -> Any:
        return cls

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__


class StandIn(metaclass=_Anything):
    """What every name in a stand-in module is."""


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names: tuple[str, ...]):
        self._names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] in self._names:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def install() -> tuple[str, ...]:
    """Make those of `NAMES` that are not installed importable; returns which."""
    missing = tuple(name for name in NAMES if name not in sys.modules and importlib.util.find_spec(name) is None)
    if missing:
        sys.meta_path.append(_Finder(missing))
    return missing
