"""Opens anything safely: a file, an address, bytes, a PIL image or an array becomes a PIL image of mode RGB."""

import contextlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image, ImageColor, UnidentifiedImageError

from pixace.errors import ConfigError, PixaceError
from pixace.fetching.content import fetch_bytes
from pixace.folders import expanded

PictureSource = str | os.PathLike | bytes | Image.Image | np.ndarray

MAX_PIXELS = 128 * 2**20  # a larger picture is refused before it is decoded
ORIENTATION = 0x0112  # EXIF tag
# What sets a picture upright, by its EXIF orientation.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(
    source: PictureSource,
    *,
    background: str = "white",
    draft: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
    timeout: float = 20.0,
    public_only: bool = False,
) -> Image.Image:
    """Any picture as a new PIL image of mode RGB: upright, without alpha, of an animation the first frame.

    Args:
        source: path, http(s) address, content of a file, PIL image (stays as it is), or array of shape (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4) of bool, uint8, uint16 (0 to 65535) or floats in [0, 1].
        background: colour behind transparent pixels, as Pillow writes colours: a name or #rrggbb.
        draft: (width, height) that is enough: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as
            neither edge falls below the larger of the two.
        max_pixels: more pixels are an error, raised before they are decoded.
        timeout: seconds to wait for the server of an address, see `fetch_bytes`.
        public_only: addresses of this computer and of private networks are an error.

    Raises:
        PixaceError: `source` cannot be read; one line that names it.
        ConfigError: `background` is no colour.
    """
    colour = parse_colour(background)
    with opened(source, max_pixels, timeout, public_only) as picture:
        if draft and picture is not source and picture.format in ("JPEG", "MPO"):
            edge = max(1, *draft)  # for both edges: turning the picture upright may swap them
            picture.draft("RGB", (edge, edge))
        picture.load()
        return _flatten(_upright(picture), colour)


@contextlib.contextmanager
def opened(source: PictureSource, max_pixels: int, timeout: float, public_only: bool = False) -> Iterator[Image.Image]:
    """`source` as a PIL image, as a rule not decoded yet. What fails, also inside the `with`, ends as one line."""
    name, stream, kind = _locate(source, timeout, public_only)
    with stream, _QUIET:
        try:
            if isinstance(source, np.ndarray):
                picture = _from_array(source)
            else:
                picture = source if isinstance(source, Image.Image) else Image.open(stream)
            if picture.format == "EPS":  # to decode it, Pillow would run Ghostscript, a language with access to files
                raise UnidentifiedImageError
            if 0 in picture.size:
                raise PixaceError(f"{name} has no pixels ({picture.width} x {picture.height})")
            if picture.width * picture.height > max_pixels:
                raise Image.DecompressionBombError
            yield picture
        except PixaceError:
            raise
        except Image.DecompressionBombError as error:
            limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
            raise PixaceError(f"{name} has more than {limit:,} pixels; scale it down first") from error
        except UnidentifiedImageError as error:
            found = f"but {kind}" if kind and not kind.startswith("image/") else "in a format that can be read"
            raise PixaceError(f"{name} is not a picture {found}") from error
        except Exception as error:  # Pillow's readers raise almost anything when a file is damaged
            reason = " ".join(str(error).split()) or type(error).__name__
            raise PixaceError(f"{name} cannot be decoded: {reason}; is it complete?") from error


def parse_colour(background: str) -> tuple[int, ...]:
    """Red, green and blue of a colour as Pillow writes colours; raises `ConfigError` if it is none."""
    try:
        return ImageColor.getrgb(background)[:3]
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"background={background!r} is no colour; give a name such as white, or #rrggbb") from error


class _QuietPillow:
    """In a `with`, Pillow does not warn: what it warns of is either harmless here or raised as an error.

    `warnings.catch_warnings` alone would, in threads that overlap, restore filters that are out of date.
    """

    def __init__(self) -> None:
        self._lock, self._depth = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._depth += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._saved.__exit__(None, None, None)


_QUIET = _QuietPillow()


def _locate(source: PictureSource, timeout: float, public_only: bool) -> tuple[str, IO[bytes], str]:
    """What to call `source`, its content, and the type that a server gave it ("" if none did)."""
    name, kind = "the picture", ""
    if isinstance(source, np.ndarray | Image.Image):
        return name, io.BytesIO(), kind
    if isinstance(source, bytes):
        stream: IO[bytes] = io.BytesIO(source)
    elif isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
        content, kind = fetch_bytes(source, timeout=timeout, public_only=public_only)
        name, stream = source, io.BytesIO(content)
    elif isinstance(source, str | os.PathLike):
        name = os.fsdecode(source)
        stream = _open_file(name)
    else:
        raise PixaceError(f"a picture is a path, address, bytes, PIL image or array, not {type(source).__name__}")
    if stream.seek(0, os.SEEK_END) == 0:
        stream.close()
        raise PixaceError(f"{name} is empty (0 bytes)")
    stream.seek(0)
    return name, stream, kind


def _open_file(name: str) -> IO[bytes]:
    try:
        path = expanded(name)
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except FileNotFoundError as error:
        raise PixaceError(f"{name} does not exist; check the path") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise PixaceError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    raise PixaceError(f"{name} is a {'folder' if stat.S_ISDIR(mode) else 'device'}, not a picture file")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise PixaceError(f"an array of shape {array.shape} is no picture; (H, W), (H, W, 3) or (H, W, 4) is")
    flat = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return Image.fromarray(np.ascontiguousarray(_eight_bits(flat)))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """bool, uint8, uint16 or floats in [0, 1] as uint8 over the full range, rounded to the nearest."""
    kind = values.dtype.kind + str(values.dtype.itemsize)
    if kind == "u1":
        return values
    if kind == "b1":
        return values * np.uint8(255)
    if kind == "u2":
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind[0] == "f":
        low, high = values.min(), values.max()
        if low >= -1e-4 and high <= 1 + 1e-4:  # not true of NaN
            return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
        raise PixaceError(f"floats of a picture must lie in [0, 1]; these reach from {low:g} to {high:g}")
    raise PixaceError(f"an array of {values.dtype} is no picture; bool, uint8, uint16 or floats in [0, 1] are")


def _upright(picture: Image.Image) -> Image.Image:
    """`picture`, turned as its EXIF orientation asks."""
    try:
        turn = UPRIGHT.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged EXIF block must not cost the picture
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _flatten(picture: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    """A new picture of mode RGB, over `colour` where it is transparent, and without metadata."""
    if picture.mode.startswith("I"):  # 16 bits, also as I, which Pillow would cut off at 255
        values, clear = np.clip(np.asarray(picture), 0, 65535).astype(np.uint16), picture.info.get("transparency")
        picture = Image.fromarray(_eight_bits(values))
        if isinstance(clear, int):
            picture.putalpha(Image.fromarray(_eight_bits(values != clear)))
    elif picture.mode == "F":  # up to 1, or else up to 255 as Pillow has it
        floats = np.nan_to_num(np.asarray(picture))
        picture = Image.fromarray(_eight_bits(np.clip(floats / (255 if floats.max() > 1 else 1), 0, 1)))
    if picture.has_transparency_data:
        cover = (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")
        flat = Image.new("RGB", picture.size, colour)
        flat.paste(cover, mask=cover)
        return flat
    flat = picture.convert("RGB")
    flat.info = {}  # its orientation, above all: nobody shall turn the picture again
    return flat
