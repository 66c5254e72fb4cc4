"""Which drawings are kept: those that a CLIP likes best for what texts say."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pixace.cli.flags import FlagSet
from pixace.errors import ConfigError

if TYPE_CHECKING:
    from pixace.sampling.predictor import Drawing

CLIP_HELP = "the CLIP that reads texts: emoji-clip of the package, a name of `pixace download`, or a file"


def add_choosing(flags: FlagSet, section: str) -> None:
    """Flags that say what is kept of many drawings."""
    flags.add("text", None, list[str], "what pictures shall be like, in words: best first; may repeat", section)
    flags.add("keep", None, int | None, "with --text: so many are kept, the best ones [all]", section)
    flags.add("clip", "emoji-clip", str, CLIP_HELP, section)


def load_choice(options: dict[str, Any], rows: int) -> "Callable[[Drawing], Drawing] | None":
    """What keeps the best rows of a drawing, as the flags of `add_choosing` say; None where they ask for nothing.

    Args:
        options: of the command.
        rows: that will be drawn.

    Raises:
        ConfigError: the flags make no sense.
        PixaceError: the CLIP cannot be loaded.
    """
    texts, keep = options["text"], options["keep"]
    if keep is not None and not texts:
        raise ConfigError(f"--keep={keep} keeps what agrees best with --text=..., which is missing")
    if not texts:
        return None
    if not all(text.strip() for text in texts):
        raise ConfigError("--text= says nothing")
    if keep is not None and not 1 <= keep <= rows:
        raise ConfigError(f"--keep={keep}: 1 to {rows}, which are drawn, are possible")
    if options["animate"]:
        raise ConfigError("--animate shows all that is drawn as it goes; it cannot be had with --text")
    from pixace.clip.weights import load_clip

    clip = load_clip(options["clip"])
    clip.encode_text(list(texts))  # so that what is wrong with them, or with the CLIP's files, is told before drawing
    return lambda drawing: _best(drawing, clip, texts, keep or rows)


def _best(drawing: "Drawing", clip: Any, texts: list[str], keep: int) -> "Drawing":
    from dataclasses import replace

    import numpy as np

    from pixace.clip.liking import likings

    rated = np.mean([likings(clip, column, texts) for column in drawing.columns], axis=0)
    best = np.argsort(-rated, kind="stable")[:keep]
    print(
        f"kept {keep} of {len(rated)}: similarity {rated[best[0]]:.1f} to {rated[best[-1]]:.1f}, all {rated.mean():.1f}"
    )

    def rows(pictures: list[Any]) -> list[Any]:
        return [pictures[row] for row in best] if pictures else pictures

    columns = [rows(column) for column in drawing.columns]
    return replace(drawing, columns=columns, prompts=rows(drawing.prompts), cuts=rows(drawing.cuts))
