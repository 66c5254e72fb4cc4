"""Files of weights: their arrays are listed by name first, and read one at a time, so that the rest costs nothing.

Safetensors, NumPy's `.npz`, and what `torch.save` writes (`torch_files.py`). Nothing that a file says is ever run.
"""

import math
import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import safe_open

from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.weight_files.stored import Stored, exactly
from pixace.weight_files.torch_files import is_stream, list_stream, list_zip


def list_arrays(path: str | os.PathLike) -> dict[str, Stored]:
    """The arrays of a file by name; the kind of file is told by its content.

    Errors of a damaged file are of many kinds: call this, and then `Stored.read`, within `about(path)`.
    """
    path = expanded(path)
    with path.open("rb") as file:
        head = file.read(64)
    if head[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            inside = archive.namelist()
        return list_zip(path) if any(name.endswith("/data.pkl") for name in inside) else _list_npz(path)
    if is_stream(head):
        return list_stream(path)
    if head[8:9] == b"{":
        return _list_safetensors(path)
    raise PixaceError("it is neither .safetensors nor .npz, nor what torch.save writes")


def _list_safetensors(path: Path) -> dict[str, Stored]:
    def stored(name: str, shape: list[int]) -> Stored:
        def read() -> np.ndarray:
            with safe_open(path, "numpy") as file:
                return file.get_tensor(name)

        return Stored(tuple(shape), read)

    with safe_open(path, "numpy") as file:
        return {name: stored(name, file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _list_npz(path: Path) -> dict[str, Stored]:
    def stored(member: str, shape: tuple[int, ...], dtype: np.dtype, by_columns: bool) -> Stored:
        def read() -> np.ndarray:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                _header(file)
                flat = np.frombuffer(exactly(file, math.prod(shape) * dtype.itemsize), dtype)
                return flat.reshape(shape, order="F" if by_columns else "C")

        return Stored(shape, read)

    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    shape, by_columns, dtype = _header(file)
                if dtype.kind in "fiub":  # Python objects are passed over, and never unpickled
                    found[member.removesuffix(".npy")] = stored(member, shape, dtype, by_columns)
    return found


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type."""
    form = np.lib.format
    first = form.read_magic(file) == (1, 0)
    return (form.read_array_header_1_0 if first else form.read_array_header_2_0)(file)
