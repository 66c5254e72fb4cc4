"""Pictures in the styles of a trained network: files in, files out.

Legend: B pictures, H, W their size, S styles.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace import devices
from pixace.errors import ConfigError, PixaceError, naming
from pixace.fields import require
from pixace.folders import expanded
from pixace.images import find_pictures
from pixace.opening import open_picture
from pixace.progress import Bar, Progress, silent
from pixace.sheets import check_format, save_picture
from pixace.style.fast.config import TransformConfig
from pixace.style.fast.model import FastModel, load_model
from pixace.style.fast.network import Weights, transform
from pixace.threads import in_threads

LARGEST_EDGE = 16384  # pixels
KEPT = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP")  # formats with all colours, whose files give such files
GROUPS = 4  # so many batches wait for more pictures of their size

Redraw = Callable[[np.ndarray], jax.Array]


class Applied(NamedTuple):
    """The files that were written, and what could not be read: (name, reason)."""

    saved: list[Path]
    skipped: list[tuple[str, str]]


def run_fast_style_transfer_batched(
    img_paths: str | os.PathLike | Sequence[str | os.PathLike],
    out_dir: str | os.PathLike,
    checkpoint: str | os.PathLike,
    img_size: int | None = None,
    device: str = "cpu",
    batch_size: int = 4,
) -> list[Path]:
    """Redraw pictures with the trained network in the folder `checkpoint`; returns the files that were written.

    `img_paths` are pictures and folders of them, or one of these; the rest is as in `apply_style`. Of several styles
    it takes the first.
    """
    devices.prepare(device)
    paths = [img_paths] if isinstance(img_paths, str | os.PathLike) else img_paths
    with jax.default_device(devices.find_devices(device)[0]), Bar("styling") as bar:
        model = load_model(checkpoint)
        done = apply_style(model, paths, out_dir, image_size=img_size, batch_size=batch_size, progress=bar)
    for name, why in done.skipped:
        print(f"skipped {naming(name, why)}", file=sys.stderr)
    return done.saved


def apply_style(
    model: FastModel,
    sources: Sequence[str | os.PathLike],
    out_dir: str | os.PathLike,
    *,
    mixture: Sequence[float] | np.ndarray | None = None,
    image_size: int | None = None,
    batch_size: int = 4,
    format: str | None = None,
    progress: Progress = silent,
) -> Applied:
    """Redraw pictures and write each as OUT_DIR/STEM_MODEL with its own ending; those that cannot be read are left out.

    Args:
        model: the network.
        sources: files, addresses, and folders, of which all pictures are taken.
        out_dir: is made where it is missing.
        mixture: (S,) the share of each style (default: all of the first).
        image_size: longer edge of the results in pixels (default: that of each picture).
        batch_size: pictures of one size that are computed together.
        format: ending of all results, such as png or .jpg; None for each picture's own, or .png where that is of a
            format with few colours, or one that cannot be written.
        progress: gets the number of pictures that are done.

    Raises:
        ConfigError: a number makes no sense.
        PixaceError: a folder holds no pictures, a result cannot be written, or there is not enough memory.
    """
    shares = jnp.asarray(style_mixture(model, style_index=0) if mixture is None else mixture, jnp.float32)
    return redraw_files(
        lambda pictures: _redraw(model.weights, model.config.network, pictures, shares),
        sources,
        out_dir,
        name=model.name,
        metadata={"Software": "pixace", "model": model.name, "styles": _told(model, shares)},
        image_size=image_size,
        batch_size=batch_size,
        format=format,
        progress=progress,
    )


def redraw_files(
    redraw: Redraw,
    sources: Sequence[str | os.PathLike],
    out_dir: str | os.PathLike,
    *,
    name: str,
    metadata: dict[str, str],
    image_size: int | None,
    batch_size: int,
    format: str | None,
    progress: Progress,
) -> Applied:
    """The same with any network: `redraw` takes and gives uint8 (B, H, W, 3), `name` ends the names of results."""
    require(batch_size >= 1, f"batch_size={batch_size}: at least 1 is needed")
    good = image_size is None or 1 <= image_size <= LARGEST_EDGE
    require(good, f"image_size={image_size}: 1 to {LARGEST_EDGE} pixels are possible")
    ending = None if format is None else f".{format.removeprefix('.')}"
    if ending is not None:
        check_format(f"format={ending}")
    todo = _name_results(sources, expanded(out_dir), name, ending)
    skipped: list[tuple[str, str]] = []
    saved: list[Path] = []

    def save(result: tuple[Path, np.ndarray]) -> Path:
        return save_picture(Image.fromarray(result[1]), result[0], metadata=metadata)

    # Both ends are work for threads, so that the device does not wait for files.
    with (
        contextlib.closing(in_threads(partial(_read, image_size=image_size), todo)) as read,
        contextlib.closing(in_threads(save, _styled(redraw, _readable(read, skipped), batch_size))) as files,
    ):
        for path in files:
            saved.append(path)
            progress(len(saved) + len(skipped), len(todo), f"{len(skipped)} skipped" if skipped else "")
    return Applied(saved, skipped)


def style_mixture(
    model: FastModel, style_index: int | None = None, style_weights: Sequence[float] | None = None
) -> np.ndarray:
    """The share of each style, float32 (S,): all of one, or shares in proportion to `style_weights`.

    Raises:
        ConfigError: the network has no such style, or not so many; says which it has.
    """
    names = model.config.styles
    there = ", ".join(f"{i} ({Path(name).name})" for i, name in enumerate(names))
    if style_weights is None:
        index = style_index or 0
        require(0 <= index < len(names), f"style_index={index}: {model.name} has the styles {there}")
        return np.eye(len(names), dtype=np.float32)[index]
    weights = np.asarray(style_weights, np.float32)
    if style_index is not None:
        raise ConfigError("style_index takes one style, style_weights several: give one of them")
    require(len(weights) == len(names), f"style_weights: {model.name} needs {len(names)}, for the styles {there}")
    good = np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0
    require(bool(good), f"style_weights={','.join(map(str, style_weights))}: they must not be negative, nor all 0")
    return weights / weights.sum()


def _told(model: FastModel, shares: jax.Array) -> str:
    """The styles in a result, for its metadata."""
    named = zip(model.config.styles, np.asarray(shares), strict=True)
    return ", ".join(f"{Path(name).name} {share:.2f}" for name, share in named if share > 0)


def _name_results(
    sources: Iterable[str | os.PathLike], folder: Path, model: str, ending: str | None
) -> list[tuple[str | os.PathLike, Path]]:
    """Each picture with the file of its result; a number tells apart those of one name.

    Of a folder, what lies in the folder of results below it is left out: those are of the last time.
    """
    named: list[tuple[str | os.PathLike, Path]] = []
    taken: set[str] = set()
    for source in sources:
        for picture in _pictures_of(source, folder):
            stem, suffix = f"{Path(picture).stem}_{model}", ending or _kept_suffix(picture)
            name, number = f"{stem}{suffix}", 1
            while name.lower() in taken:
                number += 1
                name = f"{stem}-{number}{suffix}"
            taken.add(name.lower())
            named.append((picture, folder / name))
    return named


def _kept_suffix(picture: str | os.PathLike) -> str:
    """A picture's own ending, if such files can hold any colours, or .png."""
    suffix = Path(picture).suffix
    kind = Image.registered_extensions().get(suffix.lower(), "")
    return suffix if kind in KEPT and kind in Image.SAVE else ".png"


def _pictures_of(source: str | os.PathLike, results: Path) -> Iterable[str | os.PathLike]:
    inside = expanded(source)
    if not inside.is_dir():
        return [source]
    found, results = find_pictures(source), results.resolve()
    if results == inside.resolve():
        return found
    return [picture for picture in found if results not in Path(picture).resolve().parents]


def _read(todo: tuple[str | os.PathLike, Path], image_size: int | None) -> tuple[str, Path, np.ndarray | PixaceError]:
    """Name, file of the result and pixels, uint8 (H, W, 3), of a picture, or why it cannot be read."""
    source, target = todo
    try:
        picture = open_picture(source)
    except PixaceError as error:
        return os.fspath(source), target, error
    if image_size is not None:
        factor = image_size / max(picture.size)
        width, height = (max(1, round(factor * edge)) for edge in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    return os.fspath(source), target, np.array(picture)


def _readable(
    read: Iterable[tuple[str, Path, np.ndarray | PixaceError]], skipped: list[tuple[str, str]]
) -> Iterator[tuple[Path, np.ndarray]]:
    for name, target, pixels in read:
        if isinstance(pixels, PixaceError):
            skipped.append((name, str(pixels)))
        else:
            yield target, pixels


def _styled(
    redraw: Redraw, pictures: Iterable[tuple[Path, np.ndarray]], batch_size: int
) -> Iterator[tuple[Path, np.ndarray]]:
    """The results, those of one size computed together."""
    waiting: dict[tuple[int, ...], list[tuple[Path, np.ndarray]]] = {}
    for target, pixels in pictures:
        group = waiting.setdefault(pixels.shape, [])
        group.append((target, pixels))
        if len(group) == batch_size:
            yield from _batch(redraw, waiting.pop(pixels.shape))
        elif sum(map(len, waiting.values())) >= GROUPS * batch_size:
            yield from _batch(redraw, waiting.pop(next(iter(waiting))))
    for group in waiting.values():
        yield from _batch(redraw, group)


def _batch(redraw: Redraw, group: list[tuple[Path, np.ndarray]]) -> Iterator[tuple[Path, np.ndarray]]:
    pictures = np.stack([pixels for _, pixels in group])
    try:
        results = np.asarray(redraw(pictures))
    except Exception as error:  # JAX's own kinds of error, by device
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        count, height, width, _ = pictures.shape
        raise PixaceError(
            f"not enough memory for pictures of {width} x {height} pixels, {count} at a time; "
            "give a smaller --batch_size or --image_size"
        ) from error
    for (target, _), result in zip(group, results, strict=True):
        yield target, result


@partial(jax.jit, static_argnums=1)
def _redraw(weights: Weights, config: TransformConfig, pictures: jax.Array, shares: jax.Array) -> jax.Array:
    """uint8 (B, H, W, 3) from uint8 (B, H, W, 3)."""
    mixture = jnp.broadcast_to(shares, (len(pictures), len(shares)))
    results = transform(weights, config, pictures.astype(jnp.float32) / 255, mixture)
    return jnp.round(255 * jnp.clip(results, 0, 1)).astype(jnp.uint8)
