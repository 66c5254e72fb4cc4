"""The CLIPs that guides name: by OpenAI's names, those of `pixace download`, or as files."""

from collections.abc import Callable

from pixace.clip.model import Clip
from pixace.clip.weights import SMALL, load_clip
from pixace.errors import PixaceError
from pixace.guide.settings import Guide

OPENAI = {"ViT-B/32": "clip-vit-b32", "ViT-L/14": "clip-vit-l14"}
OPENAI |= {"RN50": "clip-rn50", "RN101": "clip-rn101", "RN50x4": "clip-rn50x4"}


def load_models(guide: Guide, say: Callable[[str], None] | None = None) -> list[Clip]:
    """The CLIPs of a guide; none where no target has features.

    Raises:
        PixaceError: one is not at hand and cannot be downloaded; the message says what to do.
    """
    if not any(target.features for target in guide.targets if target.active):
        return []
    found = []
    for model in guide.models:
        try:
            found.append(load_clip(OPENAI.get(model.name, model.name), dtype=guide.dtype, say=say))
        except PixaceError as error:
            hint = "" if SMALL in str(error) else f"; {SMALL}, which knows emoji alone, is here already"
            raise PixaceError(f"model {model.name}: {error}{hint} (--model={SMALL})") from None
    return found
