"""What guide files may say: one table, of which the reading, the reference and the editors' schema are made.

The effects are in `effect_table`; here are all other blocks.
"""

from pixace.guide.converting import OPENAI_MODELS
from pixace.guide.effect_table import CONSTRAINTS, POSTPROC_ORDER, TRANSFORMS, WINDOW
from pixace.guide.members import COMPARED, SIZED, TIME_ONLY, Block, Member
from pixace.guide.settings import (
    CANVASES,
    FEATURE_LOSSES,
    FEATURE_SCALES,
    INTERPOLATIONS,
    OPTIMIZERS,
    REDUCTIONS,
    SELECT,
)

LARGEST_EDGE = 8192  # pixels
LOSSES = {"mae": "l1", "mse": "l2"}  # other spellings
POSTPROC = {name: TRANSFORMS[name] for name in POSTPROC_ORDER}
DEFAULT_MODEL = OPENAI_MODELS[0]


def _entry(name: str, doc: str, effects: dict[str, Block]) -> Block:
    """An entry of a list of effects."""
    members = [Member(kind, "block", block.doc, block=block) for kind, block in effects.items()]
    active = Member("active", "bool", "false: the entry does nothing", default=True)
    return Block(name, doc, (*members, active, *WINDOW), ordered=True)


TRANSFORM = _entry("Transform", "What happens to a view, in the order of the list, and of the keys in it.", TRANSFORMS)
CONSTRAINT = _entry("Constraint", "What views shall be like, whatever the words.", CONSTRAINTS)
PROCESSING = _entry("Postproc", "What happens to the picture itself, before each step.", POSTPROC)

INIT = Block(
    "Init",
    "The picture before the first epoch: noise, or a picture, its colours multiplied by std and mean added.",
    (
        Member("mean", "float", "of the noise; one number is gray", default=0.5, lengths=(3,)),
        Member("std", "float", "standard deviation of the noise; one number is gray", default=0.1, lengths=(3,)),
        Member("image", "image", "file or address of a picture to begin with", nullable=True),
        Member(
            "resolution",
            "int",
            "size, width first, at which the noise is drawn or the picture fitted before it gets the guide's",
            lengths=(2,),
            least=1,
            most=LARGEST_EDGE,
        ),
        Member("image_tensor", "tensor", "colours in [0, 1], [3][height][width], to begin with", nullable=True),
    ),
)
FEATURE = Block(
    "Feature",
    "What a view shall be like; with a negative weight, unlike.",
    (
        Member("text", "text", "words", nullable=True),
        Member("image", "image", "file or address of a picture", nullable=True),
        *WINDOW,
        Member("weight", "float", "factor of its loss", default=1.0, groups=COMPARED),
        Member("scale", "float", "factor of its similarity, not of its loss", default=1.0, groups=COMPARED),
        Member("loss", "choice", "how far a view is from it", default="cosine", choices=FEATURE_LOSSES, spelled=LOSSES),
    ),
)
TARGET = Block(
    "Target",
    "Views of the picture, and what is asked of them.",
    (
        Member("active", "bool", "false: as if it were not there", default=True),
        Member("name", "text", "for figures; targets of one name are merged where several files are given", "target"),
        *WINDOW,
        Member("weight", "float", "factor of all its losses", default=1.0, groups=COMPARED),
        Member("batch_size", "int", "how many views each epoch has", default=1, least=1, most=4096),
        Member("select", "choice", "which features count, view by view", default="all", choices=SELECT),
        Member(
            "feature_scale",
            "choice",
            "fair: features that are alike at the beginning count as much",
            default="equal",
            choices=FEATURE_SCALES,
        ),
        Member("features", "list", "what views shall be like", default=(), block=FEATURE),
        Member("transforms", "list", "what makes views of the picture", default=(), block=TRANSFORM),
        Member("constraints", "list", "what views shall be like, whatever the words", default=(), block=CONSTRAINT),
    ),
)
MODEL = Block(
    "Model",
    "A CLIP.",
    (
        Member("name", "model", "its name, file or folder", required=True),
        Member("weight", "float", "how much its opinion counts", default=1.0),
    ),
    bare=("name",),
)
OPTIMIZER = Block(
    "Optimizer",
    "What makes the steps. Its base rate is multiplied by learnrate and learnrate_scale.",
    (
        Member(
            "name",
            "choice",
            "which; rmsprob is RMSprop, centred and with momentum",
            default="adam",
            choices=OPTIMIZERS,
            spelled={"sparse_adam": "rmsprop"},
        ),
        Member("betas", "float", "of Adam and Lion; its usual ones unless given", lengths=(2,), least=0, most=1),
        Member("momentum", "float", "of SGD and RMSprop; its usual one unless given", least=0, most=1),
        Member("weight_decay", "float", "how much the canvas is pulled to 0", default=0.0, least=0),
    ),
    bare=("name",),
)
GUIDE = Block(
    "Guide",
    "The keys at the top.",
    (
        Member("verbose", "int", "0: silent, 1: progress, 2: figures too", default=2, least=0),
        Member("output", "place", "file, or folder if it ends with /; named after the guide file unless given"),
        Member(
            "snapshot_interval",
            "interval",
            "the picture is saved each so many epochs if whole, else seconds; 0: never",
            default=20.0,
            least=0,
        ),
        Member("epochs", "int", "how many steps", default=300, least=1, most=10**7),
        Member("start_epoch", "int", "number of the first epoch", default=0, least=0),
        Member(
            "resolution",
            "int",
            "width and height of the picture, or one for both; may change over time",
            default=224,
            lengths=(2,),
            groups=TIME_ONLY,
            least=1,
            most=LARGEST_EDGE,
        ),
        Member(
            "interpolation",
            "choice",
            "how the picture gets another resolution",
            default="cubic",
            choices=INTERPOLATIONS,
        ),
        Member(
            "model",
            "model",
            f"a CLIP, by name, file or folder ({', '.join(OPENAI_MODELS)}, those of `pixace download`)",
        ),
        Member("models", "list", f"several CLIPs; {DEFAULT_MODEL} unless given", block=MODEL),
        Member("device", "text", "auto, cpu, gpu (or cuda) or tpu", default="auto"),
        Member("learnrate", "float", "factor of the base rate", default=1.0, groups=SIZED),
        Member("learnrate_scale", "float", "another factor, for schedules", default=1.0, groups=SIZED),
        Member("optimizer", "block", "what makes the steps, by name or with its options", default={}, block=OPTIMIZER),
        Member("init", "block", "the picture before the first epoch", default={}, block=INIT),
        Member("targets", "list", "what is asked of the picture", default=(), block=TARGET),
        Member("postproc", "list", "what happens to the picture before each step", default=(), block=PROCESSING),
        Member("canvas", "choice", "what the optimiser changes", default="pixels", choices=CANVASES),
        Member(
            "total_variation", "float", "weight of a penalty on differences of neighbours", default=0.0, groups=SIZED
        ),
        Member("cutouts", "int", "views cut out at random, for each target", default=0, least=0, most=4096),
        Member("reduction", "choice", "what is made of the losses of views", default="sum", choices=REDUCTIONS),
        Member(
            "compat",
            "choice",
            "clipig: the ways of that program where they change looks",
            choices=("clipig",),
            nullable=True,
        ),
        Member(
            "dtype",
            "choice",
            "what the CLIPs compute in",
            default="float32",
            choices=("float32", "bfloat16"),
            spelled={"fp32": "float32", "bf16": "bfloat16"},
        ),
        Member("seed", "int", "of all randomness", default=0, least=0, most=2**32 - 1),
        Member("vars", "vars", "names with constants, for expressions", default={}),
    ),
)
# What CLIPig has not: a file that says one of these was not written for it.
OURS = ("canvas", "total_variation", "cutouts", "reduction", "compat", "dtype", "seed", "vars")
