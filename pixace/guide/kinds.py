"""The names of what guide files may do to pictures and ask of them, and how these kinds differ; without JAX."""

from typing import Literal, NamedTuple


class Kind(NamedTuple):
    """What must be known of an effect before any picture is there.

    Attributes:
        group: `geometry` moves pixels, `colour` changes them, `noise` adds to them.
        random: each view gets another.
        resizes: the picture gets another size, so that post-processing cannot use it.
    """

    group: Literal["geometry", "colour", "noise"]
    random: bool = False
    resizes: bool = False


EFFECTS = {
    "pad": Kind("geometry", resizes=True),
    "repeat": Kind("geometry", resizes=True),
    "resize": Kind("geometry", resizes=True),
    "crop": Kind("geometry", resizes=True),
    "center_crop": Kind("geometry", resizes=True),
    "random_crop": Kind("geometry", random=True, resizes=True),
    "rotate": Kind("geometry"),
    "random_rotate": Kind("geometry", random=True),
    "random_scale": Kind("geometry", random=True),
    "random_translate": Kind("geometry", random=True),
    "random_perspective": Kind("geometry", random=True),
    "shift": Kind("geometry"),
    "random_shift": Kind("geometry", random=True),
    "flip": Kind("geometry"),
    "random_flip": Kind("geometry", random=True),
    "add": Kind("colour"),
    "mul": Kind("colour"),
    "mean": Kind("colour"),
    "clamp": Kind("colour"),
    "quantize": Kind("colour"),
    "saturation": Kind("colour"),
    "contrast": Kind("colour"),
    "blur": Kind("colour"),
    "edge": Kind("colour"),
    "border": Kind("colour"),
    "noise": Kind("noise", random=True),
    "bwnoise": Kind("noise", random=True),
    "rnoise": Kind("noise", random=True),
    "fnoise": Kind("noise", random=True),
}
POST_EFFECTS = tuple(name for name, kind in EFFECTS.items() if not kind.resizes)
CONSTRAINTS = ("mean", "std", "saturation", "contrast", "edge_mean", "edge_max", "blur", "border", "normalize", "noise")
CONSTRAINTS += ("total_variation", "symmetry")
PAD_MODES = ("fill", "edge", "wrap")
CONSTRAINT_LOSSES = ("l1", "mae", "l2", "mse")
