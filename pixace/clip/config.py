"""The sizes of a CLIP: two towers, one for pictures and one for texts, that end in vectors of one space.

Radford et al., https://arxiv.org/abs/2103.00020. A picture goes through a vision transformer (https://arxiv.org/abs/
2010.11929) or a residual network whose last layer attends (section 2.4 there).
"""

from dataclasses import dataclass, field

from pixace.fields import require

HEAD = 64  # channels of one head of attention, in every published model
ACTIVATIONS = ("quick_gelu", "gelu")  # OpenAI's x * sigmoid(1.702 x), and the exact one


@dataclass(frozen=True)
class VitConfig:
    """A vision transformer.

    Attributes:
        image_size: edge of the pictures it was trained on, in pixels.
        patch: edge of the square that is one token.
        width, layers, heads: of its transformer.
    """

    image_size: int = 224
    patch: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12

    @property
    def grid(self) -> int:
        """Patches along an edge."""
        return self.image_size // self.patch


@dataclass(frozen=True)
class ResnetConfig:
    """A residual network with three convolutions as its stem, average pools, and attention at its end.

    Attributes:
        image_size: edge of the pictures it was trained on, in pixels.
        width: channels after the stem; those at the end are 32 times as many.
        blocks: in each of the four stages.
    """

    image_size: int = 224
    width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)

    @property
    def features(self) -> int:
        """Channels of the last map."""
        return 32 * self.width

    @property
    def heads(self) -> int:
        """Of the attention at the end."""
        return self.features // HEAD

    @property
    def grid(self) -> int:
        """Edge of the last map."""
        return self.image_size // 32


@dataclass(frozen=True)
class ConvnetConfig:
    """A small residual network of our own with norms and smooth activations, for `pixace clip train`.

    Attributes:
        image_size: edge of the pictures it was trained on, in pixels.
        width: channels of the first map, whose cells are 4 pixels apart; each further stage doubles both.
        blocks: in each stage.
    """

    image_size: int = 64
    width: int = 64
    blocks: tuple[int, ...] = (2, 2, 2)

    @property
    def features(self) -> int:
        """Channels of the last map."""
        return self.width << (len(self.blocks) - 1)


@dataclass(frozen=True)
class TextConfig:
    """The transformer for texts: it is causal, and what it says stands at the token that ends the text.

    Attributes:
        vocabulary: number of tokens.
        length: tokens of a text at most, those that begin and end it included.
        width, layers, heads: of its transformer.
    """

    vocabulary: int = 49408
    length: int = 77
    width: int = 512
    layers: int = 12
    heads: int = 8


@dataclass(frozen=True)
class ClipConfig:
    """Both towers.

    Attributes:
        space: entries of the vectors that both towers end in.
        activation: one of `ACTIVATIONS`, in both transformers.
    """

    image: VitConfig | ResnetConfig | ConvnetConfig = field(default_factory=VitConfig)
    text: TextConfig = field(default_factory=TextConfig)
    space: int = 512
    activation: str = "quick_gelu"

    def __post_init__(self) -> None:
        known = ", ".join(ACTIVATIONS)
        require(self.activation in ACTIVATIONS, f"activation={self.activation!r} is not known; choose one of {known}")
