"""Checkpoints of Trax, read without running anything in them, and written so that Trax loads them.

Two forms, both gzipped: a pickle that holds everything (up to Trax 1.3.7, and `Layer.save_to_file`), and Trax
1.4.1's pickle `NAME.pkl.gz` with the weights beside it in `NAME.weights.npy.gz`, one `.npy` record after another.
"""

import contextlib
import gzip
import io
import math
import os
import pickle
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixace.errors import PixaceError
from pixace.folders import write_atomically
from pixace.inert_pickle import Made, Name, read_pickle

NAME = "model.pkl.gz"  # what Trax's training loop calls its checkpoint
_PICKLE, _WEIGHTS = ".pkl.gz", ".weights.npy.gz"
_LEVEL = 2  # of compression, as Trax has it: weights hardly shrink
_RATIO, _SPARE = 100, 2**26  # a file may unpack to so many times its size, and so many bytes more
_CHUNK = 2**24
_CONFIG = "pixace"  # key of our own in a pickle that we write
_DEEPEST = 8  # lists within lists round an input signature
_RECONSTRUCTED_BY_JAX = {"_reconstruct_array", "reconstruct_device_array", "_reconstruct_device_array"}
_BFLOAT16 = {"V2", "u2", "bfloat16"}  # Trax saves bfloat16 as 16-bit integers of the same bits, NumPy as raw bytes
_FLOATS = {"f2", "f4", "f8"}


@dataclass(frozen=True)
class TraxFile:
    """What a checkpoint holds.

    Attributes:
        weights: float32 arrays in the order of Trax's layers.
        step: training steps done; 0 where the file does not say.
        length: tokens of a picture in training; None where the file does not say.
        config: text of the `config.json` of the model, where `write_trax` was given one; else None.
        path: the pickle that was read.
    """

    weights: list[np.ndarray]
    step: int
    length: int | None
    config: str | None
    path: Path


def trax_file(name_or_path: str | os.PathLike, weights_dir: str | os.PathLike | None = None) -> Path | None:
    """The Trax checkpoint that is meant, or None: a file by its name or as gzip, or a folder's `model.pkl.gz`."""
    path = Path(name_or_path)
    folders = [path] if weights_dir is None else [Path(weights_dir) / path, path]
    if any((folder / "config.json").is_file() for folder in folders):
        return None
    for folder in folders:
        if (folder / NAME).is_file():
            return folder / NAME
    with contextlib.suppress(OSError):
        if path.is_file() and (path.name.endswith((".pkl", _PICKLE, _WEIGHTS)) or _is_gzip(path)):
            return path
    return None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def read_trax(path: str | os.PathLike) -> TraxFile:
    """Read a checkpoint of either form; needs neither Trax nor JAX, and runs nothing that the file names.

    Raises:
        PixaceError: if it is missing, damaged, not such a file, or names what no checkpoint needs.
    """
    path = Path(path)
    if path.name.endswith(_WEIGHTS):
        raise PixaceError(f"{path} holds only the arrays; give the {_PICKLE} file that lies beside it")
    with _about(path):
        content = read_pickle(_unpacked(path))
        if not isinstance(content, dict) or "flat_weights" not in content:
            raise PixaceError("it holds no `flat_weights`, so it is no checkpoint of Trax")
        flat = content["flat_weights"]
        step, length = _step(content.get("step", 0)), _length(content.get("input_signature"))
        config = content.get(_CONFIG) if isinstance(content.get(_CONFIG), str) else None
    if isinstance(flat, int):  # Trax 1.4.1 keeps the compression level here
        return TraxFile(_read_records(_weights_path(path)), step, length, config, path)
    with _about(path):
        if not isinstance(flat, list | tuple):
            raise PixaceError("its `flat_weights` are no list of arrays")
        weights = [_array(value, f"array {i}") for i, value in enumerate(flat)]
        return TraxFile(weights, step, length, config, path)


def write_trax(path: str | os.PathLike, weights: Sequence[np.ndarray], step: int, config: str | None = None) -> None:
    """Write `NAME.pkl.gz` and, beside it, `NAME.weights.npy.gz`, as Trax 1.4.1 does.

    `config` is the text of a `config.json` that goes along, of which Trax takes no note: without it the number
    of heads and the bits of the tokens would be lost.

    The pickle holds plain values alone, so no class is needed to open it. In Trax:
    `model.init_from_file(path, weights_only=True, input_signature=ShapeDtype((1, length), np.int32))`.

    Raises:
        PixaceError: if the name does not end with `.pkl.gz`, or the files cannot be written.
    """
    path = Path(path)
    if not path.name.endswith(_PICKLE):
        raise PixaceError(f"{path}: the name of a Trax checkpoint must end with {_PICKLE}")
    content = {
        "step": int(step),
        "flat_weights": _LEVEL,
        "flat_state": (),
        "flat_eval_state": (),
        "history": {},
        "slots_per_task": [],
        "input_signature": None,
        "version_timestamp": "Mar-10-2021",
        **({} if config is None else {_CONFIG: config}),
    }
    records = io.BytesIO()
    for array in weights:
        np.save(records, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    arrays = gzip.compress(records.getbuffer(), _LEVEL, mtime=0)
    data = gzip.compress(pickle.dumps(content, protocol=4), _LEVEL, mtime=0)
    write_atomically(arrays_beside(path), lambda to: to.write_bytes(arrays))
    write_atomically(path, lambda to: to.write_bytes(data))  # last: a checkpoint that is there is whole


def arrays_beside(path: Path) -> Path:
    """`NAME.weights.npy.gz` for `NAME.pkl.gz`."""
    return path.with_name(path.name.removesuffix(_PICKLE) + _WEIGHTS)


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Errors within say which file they are about."""
    try:
        yield
    except PixaceError as error:
        raise PixaceError(f"{path} cannot be read as a Trax checkpoint: {error}") from None


def _unpacked(path: Path) -> bytes:
    """The content of a gzip file, unless it grows beyond all measure."""
    try:
        limit = _RATIO * path.stat().st_size + _SPARE
        chunks, total = [], 0
        with gzip.open(path) as file:
            while chunk := file.read(_CHUNK):
                chunks.append(chunk)
                total += len(chunk)
                if total > limit:
                    raise PixaceError(f"it unpacks to more than {_RATIO} times its size, as no weights do")
        return b"".join(chunks)
    except gzip.BadGzipFile:
        raise PixaceError(
            "it is no gzip file, or damaged; a pickle that is not compressed wants `gzip` first"
        ) from None
    except (EOFError, zlib.error) as error:
        raise PixaceError(f"it is damaged or not whole ({error}); copy it again") from None
    except OSError as error:
        raise PixaceError(error.strerror or str(error)) from None


def _weights_path(path: Path) -> Path:
    """Where Trax itself looks for the arrays of a pickle."""
    places = [arrays_beside(path)] if path.name.endswith(_PICKLE) else []
    places.append(path.with_name(path.name + ".npy"))
    for place in places:
        if place.is_file():
            return place
    raise PixaceError(
        f"{path} holds no weights itself, and {places[0]} is missing: Trax 1.4.1 writes the two files together; "
        "copy both into one folder"
    )


def _step(value: Any) -> int:
    if isinstance(value, Made):
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):
            value = _number(value)
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise PixaceError("its `step` is no number of steps")
    return value


def _number(made: Made) -> int | None:
    """A whole number that was pickled as a NumPy scalar or an array of one number."""
    code, order, shape, data, _ = _parts(made)
    if code[:1] not in "iu" or math.prod(shape) != 1 or not isinstance(data, bytes):
        return None
    return int.from_bytes(data, "big" if order == ">" else "little", signed=code[0] == "i")


def _length(signature: Any) -> int | None:
    """T of the first `ShapeDtype((B, T), ...)` in an input signature."""
    for _ in range(_DEEPEST):  # a list may hold itself
        if isinstance(signature, list | tuple) and signature:
            signature = signature[0]
    state = signature.state if isinstance(signature, Made) else None
    fields = state[-1] if isinstance(state, tuple) and state else state
    shape = fields.get("shape", fields.get("_shape")) if isinstance(fields, dict) else None
    if isinstance(shape, tuple) and len(shape) == 2 and type(shape[1]) is int and 0 < shape[1] < 2**31:
        return shape[1]
    return None


# ---- arrays


def _array(value: Any, what: str) -> np.ndarray:
    """The float32 array that a pickled one describes."""
    if not isinstance(value, Made):
        raise PixaceError(f"{what} of its `flat_weights` is no array")
    try:
        code, order, shape, data, axes = _parts(value)
        return _decoded(code, order, shape, data, axes)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise PixaceError(f"{what} of its `flat_weights` cannot be read ({_brief(error)})") from None


def _parts(made: Made) -> tuple[str, str, tuple[int, ...], Any, Any]:
    """Type code, byte order, shape, bytes and memory order ('C', 'F' or the order of axes) of a pickled array."""
    last = made.name.rpartition(".")[2]
    if made.name.startswith("jax") and last in _RECONSTRUCTED_BY_JAX:  # (function, arguments, state, more)
        function, arguments, state = made.args[:3]
        made = Made(function.text, arguments, state)
        last = made.name.rpartition(".")[2]
    if last == "_reconstruct" and made.name.startswith("numpy"):
        _, shape, dtype, by_columns, data = made.state
        axes = "F" if by_columns else "C"
    elif last == "_frombuffer":
        data, dtype, shape, axes = made.args[:4]
        axes = made.args[4] if axes == "K" else axes
    elif last == "scalar":
        (dtype, data), shape, axes = made.args, (), "C"
    else:
        raise ValueError(f"it is a {made.name:.100}, not an array")
    if isinstance(data, str):  # bytes of Python 2
        data = data.encode("latin-1")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("its shape is not made of whole numbers")
    return *_type(dtype), shape, data, axes


def _type(dtype: Any) -> tuple[str, str]:
    """Code such as `f4` and byte order of a pickled `numpy.dtype`."""
    if not isinstance(dtype, Made) or dtype.name != "numpy.dtype":
        raise ValueError("it has no type")
    code = dtype.args[0]
    if isinstance(code, Name):  # a type from outside NumPy
        code = code.text.rpartition(".")[2]
    order = dtype.state[1] if isinstance(dtype.state, tuple) else "<"
    if not isinstance(code, str) or order not in ("<", ">", "=", "|"):
        raise ValueError("its type is not known")
    return code, order


def _decoded(code: str, order: str, shape: tuple[int, ...], data: Any, axes: Any) -> np.ndarray:
    if code not in _FLOATS | _BFLOAT16:
        kind = "objects" if code.startswith("O") else f"values of type {code:.20}"
        raise ValueError(f"it holds {kind}, not weights")
    size = int(code[1]) if code in _FLOATS else 2
    if not isinstance(data, bytes | bytearray) or len(data) != math.prod(shape) * size:
        raise ValueError("its bytes do not fit its shape")
    order = ">" if order == ">" else "<"
    flat = np.frombuffer(data, order + (code if code in _FLOATS else "u2"))
    if code in _BFLOAT16:  # the upper half of a float32
        flat = (flat.astype(np.uint32) << np.uint32(16)).view(np.float32)
    flat = flat.astype(np.float32, copy=False)
    if not np.isfinite(flat).all():
        raise ValueError("it holds values that are no finite numbers")
    if isinstance(axes, str):
        return np.ascontiguousarray(flat.reshape(shape, order="F" if axes == "F" else "C"))
    return np.ascontiguousarray(flat.reshape(shape).transpose(axes))


def _read_records(path: Path) -> list[np.ndarray]:
    """All arrays of a `.npy.gz`; never unpickles, and trusts no header about how much there is."""
    with _about(path):
        data = _unpacked(path)
        stream, arrays = io.BytesIO(data), []
        while stream.tell() < len(data):
            try:
                arrays.append(_next_record(stream))
            except Exception as error:  # NumPy's reader of headers has many kinds
                raise PixaceError(f"its array {len(arrays)} cannot be read ({_brief(error)})") from None
        return arrays


def _next_record(stream: io.BytesIO) -> np.ndarray:
    form = np.lib.format
    first = form.read_magic(stream) == (1, 0)
    shape, by_columns, dtype = (form.read_array_header_1_0 if first else form.read_array_header_2_0)(stream)
    data = stream.read(math.prod(shape) * dtype.itemsize)
    return _decoded(dtype.str[1:], dtype.str[0], shape, data, "F" if by_columns else "C")


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
