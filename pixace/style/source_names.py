"""The calls of the source project under their names, as thin wrappers over `stylize` and the fast networks."""

import os
from collections.abc import Sequence
from typing import Any

import jax
from PIL import Image

from pixace import devices
from pixace.fields import require
from pixace.opening import PictureSource
from pixace.style.descending import Diverged
from pixace.style.recording import Recorder
from pixace.style.transfer import stylize

Labels = str | Sequence[str] | None


def run_gatys_optimization(
    content_src: PictureSource,
    style_src: PictureSource,
    image_size: int | tuple[int, int] = (512, 512),
    center_crop: bool = True,
    content_labels: Labels = "default",
    style_labels: Labels = "default",
    content_weight: float = 1.0,
    style_weight: float = 1e6,
    lbfgs_iters: int = 10,
    num_steps: int = 50,
    lr: float | None = None,
    tv_weight: float = 1e-6,
    device: str = "auto",
    init_noise: bool = False,
    save_fp: str | os.PathLike | None = None,
    save_gif: bool = False,
    save_all: bool = False,
    save_losses: bool = False,
    **given: Any,
) -> Image.Image:
    """Gatys' method with the source project's settings; returns the best picture.

    Args:
        content_src, style_src: pictures.
        image_size: (height, width), or the longer edge, keeping the content's shape.
        center_crop: cut the content to the shape of `image_size`; otherwise it is stretched.
        content_labels, style_labels: layers such as conv_4_2, `default`, or None for no such term.
        content_weight, style_weight, tv_weight: of the terms.
        lbfgs_iters, num_steps: their product is the number of iterations.
        lr: a fixed step length, as in the source; None searches for a good one at every step.
        device: auto, cpu, gpu or tpu.
        init_noise: start from noise instead of the content.
        save_fp: file of the picture; with it, `save_gif` writes an animation, `save_all` the iterations, and
            `save_losses` the figures beside it.
        given: further fields of `StyleOptions`, such as `network`.

    Raises:
        ConfigError, PixaceError: as `stylize`.
    """
    require(
        save_fp is not None or not (save_gif or save_all or save_losses),
        "save_gif, save_all and save_losses write beside save_fp, which is None",
    )
    found = devices.find_devices(device)
    recorder = None
    if save_fp is not None:
        recorder = Recorder(save_fp, gif=save_gif, frames=save_all, losses=save_losses, every=lbfgs_iters)
    options = source_options(
        image_size=image_size,
        center_crop=center_crop,
        content_labels=content_labels,
        style_labels=style_labels,
        lbfgs_iters=lbfgs_iters,
        num_steps=num_steps,
        init_noise=init_noise,
    )
    options |= dict(content_weight=content_weight, style_weight=style_weight, lr=lr, tv_weight=tv_weight, **given)
    with jax.default_device(found[0]):
        try:
            result = stylize(content_src, style_src, on_step=recorder, recipe="gatys", **options)
        except Diverged as error:
            if recorder is None:
                raise
            raise recorder.rescue(error, {"Software": "pixace"}) from error
    if recorder is not None:
        recorder.finish(result, {"Software": "pixace"})
    return result.to_pil()


def source_options(
    *,
    image_size: int | tuple[int, int] | None = None,
    center_crop: bool | None = None,
    content_labels: Labels = "default",
    style_labels: Labels = "default",
    lbfgs_iters: int | None = None,
    num_steps: int | None = None,
    init_noise: bool | None = None,
) -> dict[str, Any]:
    """Options of the source project as fields of `StyleOptions`; what is None, or `default`, says nothing."""
    options: dict[str, Any] = {}
    if image_size is not None:
        options["size"] = str(image_size) if isinstance(image_size, int) else ",".join(map(str, image_size))
    if center_crop is not None:
        options["fit"] = "crop" if center_crop else "stretch"
    for name, labels in (("content_layers", content_labels), ("style_layers", style_labels)):
        if labels != "default":
            options[name] = "none" if labels is None else labels if isinstance(labels, str) else ",".join(labels)
    if lbfgs_iters is not None or num_steps is not None:
        options |= {"optimizer": "lbfgs", "steps": (lbfgs_iters or 10) * (num_steps or 50)}
    if init_noise is not None:
        options["init"] = "noise" if init_noise else "content"
    return options
