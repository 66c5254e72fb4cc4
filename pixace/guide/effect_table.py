"""The table of effects: transforms of views, which but for those that change sizes also process the picture, and
constraints on views."""

from dataclasses import replace
from typing import Any

from pixace.guide.kinds import EFFECTS, PAD_MODES
from pixace.guide.members import COMPARED, RUNNING, Block, Kind, Member

SHARE = "values below 1 are shares of the size, others pixels"


def _rgb(name: str, doc: str, **options: Any) -> Member:
    return Member(name, "float", f"{doc}; one number is gray", lengths=(3,), **options)


def _size(name: str, doc: str, kind: Kind = "int", **options: Any) -> Member:
    return Member(name, kind, f"{doc}: width and height, or one for both", lengths=(2,), **options)


def _pair(name: str, doc: str, **options: Any) -> Member:
    return Member(name, "float", doc, lengths=(2,), **options)


def _one(name: str, doc: str, **options: Any) -> Member:
    return Member(name, "float", doc, **options)


_KERNEL = _size("kernel_size", "kernel in pixels; even numbers are raised by 1", default=3)
_SIGMA = _pair("sigma", "standard deviations in x and y, pixels; without, 0.15 * kernel_size + 0.35", nullable=True)
_CENTER = "shares of width and height"
WINDOW = (
    Member("start", "time", "when it begins: epoch if whole, share of the time if 0.5 or 50%", default=0.0),
    Member("end", "time", "when it ends, that epoch or time included", default=1.0),
)
_OWN_WINDOW = tuple(
    replace(member, default=None, doc=f"{member.doc}; that of the entry unless given") for member in WINDOW
)


def _transform(
    name: str,
    doc: str,
    *members: Member,
    bare: tuple[str, ...] = (),
    alias: str = "",
) -> tuple[str, Block]:
    own = tuple(replace(member, groups=RUNNING if member.kind in ("float", "int") else ()) for member in members)
    title = "Transform" + name.title().replace("_", "")
    first = bare or (members[0].name,)
    kind = EFFECTS[name]
    return name, Block(title, doc, (*own, *_OWN_WINDOW), first, alias, kind.random, kind.resizes)


def _color_value(doc: str, **options: Any) -> Member:
    return _rgb("value", doc, required=True, **options)


TRANSFORMS: dict[str, Block] = dict(
    (
        _transform("add", "adds a colour", _color_value("what is added"), alias="color"),
        _transform("mul", "multiplies by a colour", _color_value("the factors"), alias="color"),
        _transform("mean", "moves each channel to this mean", _color_value("the means"), alias="color"),
        _transform("clamp", "cuts colours off", _pair("value", "the least and the largest colour", required=True)),
        _transform("quantize", "rounds colours down to steps", _color_value("the steps"), alias="step"),
        _transform(
            "saturation", "0 is gray, 1 changes nothing", _one("value", "the factor", default=1.0), alias="factor"
        ),
        _transform(
            "contrast",
            "0 is the mean gray, 1 changes nothing",
            _one("value", "the factor", default=1.0),
            alias="factor",
        ),
        _transform("blur", "Gaussian blur", _KERNEL, _SIGMA, bare=("kernel_size", "sigma")),
        _transform(
            "edge",
            "what blurring takes away: amount * |picture - blurred|",
            *(_KERNEL, _SIGMA, _rgb("amount", "the factors", default=1.0)),
        ),
        _transform("noise", "adds noise, in each channel another", _color_value("standard deviations"), alias="std"),
        _transform(
            "bwnoise",
            "adds noise, the same in all channels",
            _one("value", "standard deviation", required=True),
            alias="std",
        ),
        _transform(
            "rnoise",
            "adds noise of a coarser resolution",
            _rgb("std", "standard deviations", required=True),
            _size("resolution", "of the noise", required=True, least=1),
        ),
        _transform("fnoise", "adds noise to the frequencies", _color_value("standard deviations"), alias="std"),
        _transform(
            "border",
            "paints the edge",
            _size("size", "of the edge in pixels", default=1, least=0),
            _rgb("color", "its colour", default=0.0),
        ),
        _transform(
            "pad",
            "adds pixels on all sides",
            _size("size", "pixels on each side", required=True),
            _rgb("color", "for the mode fill", default=0.0),
            Member(
                "mode",
                "choice",
                "a colour, the pixels of the edge, or the other side's",
                default="fill",
                choices=PAD_MODES,
            ),
        ),
        _transform("repeat", "tiles", _size("value", "how often", required=True, least=1), alias="count"),
        _transform("resize", "another size", _size("value", "pixels", required=True, least=1), alias="size"),
        _transform(
            "crop",
            "cuts a rectangle out",
            Member(
                "value",
                "float",
                f"x and y of its upper left corner, width, height; {SHARE}",
                lengths=(4,),
                required=True,
            ),
            alias="box",
        ),
        _transform(
            "center_crop",
            "cuts the middle out",
            _size("value", "pixels", required=True, least=1),
            alias="size",
        ),
        _transform(
            "random_crop",
            "cuts a rectangle out anywhere",
            _size("value", "pixels", required=True, least=1),
            alias="size",
        ),
        _transform(
            "rotate",
            "turns to the left",
            _one("degree", "the angle", required=True),
            _pair("center", f"what it turns round, {_CENTER}", default=0.5),
        ),
        _transform(
            "random_rotate",
            "turns by a random angle",
            _pair("degree", "the least and the largest angle", required=True),
            _pair("center", f"range of both coordinates of what it turns round, {_CENTER}", default=0.5),
        ),
        _transform(
            "random_scale",
            "zooms about the middle",
            _pair("value", "the least and the largest factor", required=True, least=1e-3),
            alias="factor",
        ),
        _transform(
            "random_translate",
            "shifts, black coming in",
            _pair("value", "how far at most in x and y, shares of the size", required=True, least=0, most=1),
            alias="distance",
        ),
        _transform(
            "random_perspective",
            "moves the corners inward by random distances",
            _one("value", "how far at most, shares of half the size", required=True, least=0, most=1),
            alias="distance",
        ),
        _transform(
            "flip",
            "mirrors",
            _pair("value", "1 or 0: whether left and right, and whether up and down change places", default=(1, 0)),
            alias="axes",
        ),
        _transform(
            "random_flip",
            "mirrors some views",
            _pair(
                "value", "how probably left and right, and up and down change places", default=(0.5, 0), least=0, most=1
            ),
            alias="probability",
        ),
        _transform(
            "shift",
            "shifts, what leaves coming in on the other side",
            _pair("value", f"to the right and down; {SHARE}", required=True),
            alias="distance",
        ),
        _transform(
            "random_shift",
            "shifts by a random distance, what leaves coming in on the other side",
            Member(
                "value",
                "float",
                f"least and largest, of both axes or of x and then of y; {SHARE}",
                lengths=(2, 4),
                required=True,
            ),
            alias="distance",
        ),
    )
)
# The order in which several effects in one entry of postproc work.
POSTPROC_ORDER = (
    *("blur", "border", "noise", "bwnoise", "rnoise", "fnoise", "edge", "rotate", "random_rotate", "random_scale"),
    *("random_translate", "random_perspective", "flip", "random_flip", "shift", "random_shift", "add", "mul", "mean"),
    *("clamp", "quantize", "saturation", "contrast"),
)
_LIMITS = (
    _rgb("above", "values below this are pulled up to it"),
    _rgb("below", "values above this are pulled down to it"),
)
_COMMON = (
    Member("weight", "float", "factor of its loss", default=1.0),
    Member(
        "loss",
        "choice",
        "mean of the difference, absolute or squared",
        default="l2",
        choices=("l1", "l2"),
        spelled={"mae": "l1", "mse": "l2"},
    ),
)


def _constraint(name: str, doc: str, *members: Member) -> tuple[str, Block]:
    own = tuple(
        replace(member, groups=COMPARED if member.kind in ("float", "int") else ()) for member in (*members, *_COMMON)
    )
    title = "Constraint" + name.title().replace("_", "")
    return name, Block(title, doc, (*own, *_OWN_WINDOW), () if members[:2] == _LIMITS else (own[0].name,))


CONSTRAINTS: dict[str, Block] = dict(
    (
        _constraint("mean", "limits the mean of each channel", *_LIMITS),
        _constraint("std", "limits the standard deviation of each channel", *_LIMITS),
        _constraint("saturation", "limits how far each channel is from gray", *_LIMITS),
        _constraint("contrast", "limits how far pixels above a channel's mean are from those below it", *_LIMITS),
        _constraint("edge_mean", "limits the mean of what blurring takes away", *_LIMITS, _KERNEL, _SIGMA),
        _constraint(
            "edge_max",
            "limits the mean of the strongest edges, those above 70 % of the largest",
            *_LIMITS,
            _KERNEL,
            _SIGMA,
        ),
        _constraint("blur", "pulls to the blurred picture", _KERNEL, _SIGMA),
        _constraint(
            "border",
            "pulls the edge to a colour",
            _size("size", "of the edge in pixels", default=1, least=0),
            _rgb("color", "its colour", default=0.0),
        ),
        _constraint(
            "normalize",
            "pulls each channel to a range",
            _rgb("min", "its least", default=0.0),
            _rgb("max", "its largest", default=1.0),
        ),
        _constraint("noise", "pulls to the picture with noise", _rgb("std", "standard deviations", required=True)),
        _constraint("total_variation", "pulls neighbours together"),
        _constraint("symmetry", "pulls to the picture in a mirror"),
    )
)
