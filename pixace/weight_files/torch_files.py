"""State dictionaries that `torch.save` wrote, and networks of `torch.jit.save`, listed without torch or running them.

Two forms: a zip archive (torch 1.6 and later) with `NAME/data.pkl` and `NAME/data/KEY`, the bytes of each storage;
and the stream before it, in which torchvision's VGG networks still are: five pickles (a magic number, a version,
facts of the system, the dictionary, the keys of the storages), then each storage as its length and its bytes. What
`torch.jit.save` wrote (TorchScript) is a zip archive, too, whose pickle is the network: objects within each other.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from pixace.errors import PixaceError
from pixace.inert_pickle import Made, read_pickle
from pixace.weight_files.stored import Stored, exactly

MAGIC = 0x1950A86A20F9469CFC6C
LARGEST_PICKLE = 2**24  # bytes; a network of a hundred layers has some 30 kB
_TYPES = {"Float": "<f4", "Half": "<f2", "Double": "<f8", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Byte": "u1"}
_TYPES |= {"Char": "i1", "Bool": "?"}
_STORAGES = {f"torch.{name}Storage": np.dtype(code) for name, code in _TYPES.items()}
_REBUILD = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_PARAMETER = ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")  # round a tensor
_SCRIPT = "__torch__"  # the package of all classes of TorchScript
_SCRIPT_NAMES = {f"torch.jit._pickle.{name}" for name in ("build_intlist", "build_tensorlist", "build_doublelist")}
_SCRIPT_NAMES |= {"torch.jit._pickle.build_boollist", "torch.jit._pickle.restore_type_tag"}
_NAMES = {*_STORAGES, *_REBUILD, *_PARAMETER, *_SCRIPT_NAMES}
DEEPEST = 50  # networks within networks


@dataclass(frozen=True)
class _Tensor:
    """What a pickle says of a tensor: values `offset + i * strides` of storage `key`, which holds `length`."""

    key: str
    dtype: np.dtype
    length: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, data: bytes) -> np.ndarray:
        """The array, given the bytes of the values up to the last one that it has."""
        flat = np.frombuffer(data, self.dtype)[self.offset :]
        steps = [step * self.dtype.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)

    @property
    def end(self) -> int:
        """Values of the storage up to the last one that it has."""
        if 0 in self.shape:
            return self.offset
        return self.offset + 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))


def list_zip(path: Path) -> dict[str, Stored]:
    """The tensors of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        member = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = member.removesuffix("data.pkl")
        if archive.getinfo(member).file_size > LARGEST_PICKLE:
            raise PixaceError(f"its data.pkl has more than {LARGEST_PICKLE:,} bytes, as no list of weights does")
        order = folder + "byteorder"
        if order in archive.namelist():
            with archive.open(order) as file:
                _check_order(file.read(6) == b"little")
        tensors = _tensors(read_pickle(archive.read(member), _NAMES, kept=True, packages=(_SCRIPT,)))

    def read(tensor: _Tensor) -> np.ndarray:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{folder}data/{tensor.key}")
            if info.file_size != tensor.length * tensor.dtype.itemsize:
                raise PixaceError(f"{info.filename} is not as long as the list of weights says")
            with archive.open(info) as file:
                return _read(file, tensor, path)

    return _stored(tensors, read)


def is_stream(head: bytes) -> bool:
    """Whether a file that begins so is of the form before the zip archive."""
    return head[:2] == b"\x80\x02" and MAGIC.to_bytes(10, "little") in head[:15]


def list_stream(path: Path) -> dict[str, Stored]:
    """The tensors of a file in the older form."""
    with path.open("rb") as file:
        start = io.BytesIO(file.read(LARGEST_PICKLE))  # a pickle may ask for any number of bytes: here are no more
        _, _, system = (read_pickle(start) for _ in range(3))
        _check_order(isinstance(system, dict) and system.get("little_endian") is True)
        tensors = _tensors(read_pickle(start, _NAMES, kept=True))
        keys, place = read_pickle(start), start.tell()
        lengths = {tensor.key: tensor.length * tensor.dtype.itemsize for tensor in tensors.values()}
        places: dict[str, int] = {}
        for key in keys if isinstance(keys, list) else []:
            if not isinstance(key, str) or key not in lengths:
                raise PixaceError(f"its storage {key!r:.50} belongs to no tensor")
            places[key] = place
            place += 8 + lengths[key]

    def read(tensor: _Tensor) -> np.ndarray:
        with path.open("rb") as file:
            file.seek(min(places[tensor.key], path.stat().st_size))
            if int.from_bytes(exactly(file, 8), "little") != tensor.length:
                raise PixaceError(f"its storage {tensor.key:.50} is not as long as the list of weights says")
            return _read(file, tensor, path)

    return _stored(tensors, read)


def _read(file: IO[bytes], tensor: _Tensor, path: Path) -> np.ndarray:
    """A tensor whose storage the file is at."""
    size = tensor.end * tensor.dtype.itemsize
    if size > path.stat().st_size:  # before memory is asked for
        raise PixaceError("it ends too early; copy it again")
    return tensor.of(exactly(file, size))


def _check_order(little_endian: bool) -> None:
    if not little_endian:
        raise PixaceError("it was written on a big-endian machine")


def _stored(tensors: dict[str, _Tensor], read: Callable[[_Tensor], np.ndarray]) -> dict[str, Stored]:
    return {name: Stored(tensor.shape, lambda tensor=tensor: read(tensor)) for name, tensor in tensors.items()}


def _tensors(content: Any) -> dict[str, _Tensor]:
    """The tensors of a state dictionary, of the one under `state_dict` in a checkpoint of training, or of a network."""
    if isinstance(content, Made) and content.name.startswith(_SCRIPT):
        content = dict(_entries(content, "", DEEPEST))
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise PixaceError("it holds no state dictionary (torch.save(network.state_dict(), ...) writes one)")
    return {name: tensor for name, value in content.items() if (tensor := _tensor(name, value))}


def _entries(network: Made, prefix: str, deepest: int) -> Iterator[tuple[str, Any]]:
    """The attributes of a network and of those in it, by their names with dots between, as a state dictionary has."""
    if deepest == 0:
        raise PixaceError(f"its networks are more than {DEEPEST} within each other")
    for name, value in network.state.items() if isinstance(network.state, dict) else ():
        if isinstance(value, Made) and value.name.startswith(_SCRIPT):
            yield from _entries(value, f"{prefix}{name}.", deepest - 1)
        else:
            yield prefix + name, value


def _tensor(name: str, value: Any) -> _Tensor | None:
    while isinstance(value, Made) and value.name in _PARAMETER and value.args:
        value = value.args[0]
    if not isinstance(value, Made) or value.name not in _REBUILD:
        return None
    try:
        kept, offset, shape, strides = value.args[:4]
        _, kind, key, _, length, *view = kept.id
        tensor = _Tensor(key, _STORAGES[kind.text], length, offset, shape, strides)
        numbers = (length, offset, *shape, *strides)
        good = isinstance(key, str) and len(shape) == len(strides) and view in ([], [None])
        good = good and all(type(number) is int and number >= 0 for number in numbers) and tensor.end <= length
    except (ValueError, TypeError, LookupError, AttributeError):
        good, tensor = False, None
    if not good:
        raise PixaceError(f"its entry {name!r:.100} is no tensor of numbers that fits its storage")
    return tensor
