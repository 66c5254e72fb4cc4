"""What targets want, as vectors of each CLIP, and how alike the picture is to begin with.

Legend: F features of a target, S entries of a CLIP's space.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from pixace.canvas.resizing import resize
from pixace.clip.model import Clip
from pixace.clip.views import view
from pixace.errors import PixaceError
from pixace.guide.agreement import similarities
from pixace.guide.settings import Guide, Target

LEAST_SIMILARITY = 1.0  # in `fair`: what is less alike, or the opposite, counts as this


def feature_vectors(clips: Sequence[Clip], guide: Guide, pictures: Mapping[str, Image.Image]) -> list[list[jax.Array]]:
    """For each target its features' unit vectors (F, S) of each CLIP.

    Args:
        clips: in the order of the guide's models.
        guide: whose targets.
        pictures: those that features name.

    Raises:
        PixaceError: a CLIP's tokenizer is missing.
    """
    return [[_vectors(clip, target, pictures) for clip in clips] if target.features else [] for target in guide.targets]


def _vectors(clip: Clip, target: Target, pictures: Mapping[str, Image.Image]) -> jax.Array:
    texts = [feature.text for feature in target.features if feature.text is not None]
    of_texts = clip.encode_text(texts) if texts else jnp.zeros((0, 0))
    rows = iter(of_texts)
    found: list[jax.Array] = []
    for feature in target.features:
        if feature.text is not None:
            found.append(next(rows))
        elif feature.image is not None:
            seen = view(pictures[feature.image], clip.image_size)
            found.append(clip.encode_image(jnp.asarray(seen[None]))[0])
        else:
            raise PixaceError(f"{feature.path} has neither text nor image")
    return jnp.stack(found)


def feature_scales(
    clips: Sequence[Clip],
    shares: Sequence[float],
    guide: Guide,
    wanted: Sequence[Sequence[jax.Array]],
    picture: jax.Array,
) -> list[np.ndarray]:
    """For each target what its features' similarities are multiplied by, (F,).

    Ones; or, with `fair`, as much less the more a feature is like the picture (H, W, 3) at the beginning, so that all
    begin with the similarity of the one that is least alike.
    """
    own: list[jax.Array] = []
    if any(target.feature_scale == "fair" for target in guide.targets):
        own = [clip.encode_image(resize(picture, (clip.image_size,) * 2, "area")[None])[0] for clip in clips]
    scales = []
    for target, vectors in zip(guide.targets, wanted, strict=True):
        scale = np.ones(len(target.features), np.float32)
        if target.feature_scale == "fair" and target.features:
            alike = np.maximum(np.asarray(similarities(own, vectors, shares)), LEAST_SIMILARITY)
            scale = alike.min() / alike
        scales.append(scale)
    return scales
