"""One epoch of a guide, compiled: views of the picture, what CLIPs and constraints say of them, a step downhill.

Every number that changes over time is an argument, so that only another resolution, or other targets, compile anew.
Legend: B views, H, W the picture, F features, C constraints, S entries of a CLIP's space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from pixace.canvas.canvas import Canvas
from pixace.canvas.resizing import resize
from pixace.clip.config import ClipConfig
from pixace.clip.model import encode_image
from pixace.guide import chain, constraints
from pixace.guide.agreement import chosen, feature_loss, similarities
from pixace.guide.domains import Step as EffectStep
from pixace.guide.expressions import Expression
from pixace.guide.schedule import needs_similarity
from pixace.guide.settings import Effect, Number, Target, Vector
from pixace.guide.traced import trace
from pixace.guide.variables import similarity_values


@dataclass(frozen=True)
class Tower:
    """The image tower of a CLIP without its weights; static.

    Attributes:
        config, dtype: of `encode_image`.
        size: edge of the pictures that it is shown.
        share: how much it counts.
    """

    config: ClipConfig
    dtype: str
    size: int
    share: float


@dataclass(frozen=True)
class Part:
    """Views of one kind that one target asks for; static.

    Attributes:
        target: what is asked of them.
        effects: what is done to the picture to make them.
        steps: these without their numbers.
        sizes: of `chain.run`.
        views: B.
    """

    target: Target
    effects: tuple[Effect, ...]
    steps: tuple[EffectStep, ...]
    sizes: tuple[tuple[int, int], ...]
    views: int


class Seen(NamedTuple):
    """What a part's views were like, each a mean over the views.

    Attributes:
        applied: share of the views in which a feature counted, (F,).
        loss, similarity: of each feature, (F,).
        constraints: of each its loss, (C,).
        total: what the part adds to the loss.
    """

    applied: jax.Array
    loss: jax.Array
    similarity: jax.Array
    constraints: jax.Array
    total: jax.Array


def make_step(
    parts: Sequence[Part],
    towers: Sequence[Tower],
    rule: optax.GradientTransformation,
    view_size: int,
    *,
    mean: bool,
    compat: bool,
) -> Callable[..., tuple[Canvas, Any, jax.Array, list[Seen]]]:
    """A step: (canvas, rule state, weights, wanted, numbers, key) to (canvas, rule state, loss, seen).

    Args:
        parts: views.
        towers: CLIPs.
        rule: the optimiser at a rate of 1.
        view_size: edge of the views, which CLIPs of other sizes see resized.
        mean: a part's loss is the mean of its views, not their sum.
        compat: pixels as CLIPig has them: looked up without smoothing, above and below attract, what is beyond white
            stays there.

    The step takes the CLIPs' image weights, a list of one list of vectors (F, S) a CLIP for each part, and the numbers:
    `lr`, `tv`, `variables` by name, and for each part `scale`, `weight`, `features` and more, as `run.numbers` makes
    them.
    """

    def loss_of(
        canvas: Canvas, weights: Any, wanted: Any, numbers: Any, key: jax.Array
    ) -> tuple[jax.Array, list[Seen]]:
        picture = canvas()
        clamped = jnp.clip(picture, 0, 1)
        # What is beyond black and white is brought back after the step, and may come back by itself until then.
        picture = clamped if compat else picture + jax.lax.stop_gradient(clamped - picture)
        pairs = list(zip(parts, numbers["parts"], strict=True))
        keys = [jax.random.fold_in(key, place) for place in range(len(parts))]
        views = [
            _views(picture, part, part_numbers, part_key, view_size, compat)
            for (part, part_numbers), part_key in zip(pairs, keys, strict=True)
        ]
        vectors = _encoded(parts, views, towers, weights)
        seen = [
            _judged(
                part,
                part_numbers,
                numbers["variables"],
                part_views,
                part_vectors,
                part_wanted,
                towers,
                part_key,
                compat,
            )
            for (part, part_numbers), part_views, part_vectors, part_wanted, part_key in zip(
                pairs, views, vectors, wanted, keys, strict=True
            )
        ]
        sums = [one._replace(total=one.total.mean() if mean else one.total.sum()) for one in seen]
        totals = sum((one.total for one in sums), start=jnp.float32(0)) + numbers["tv"] * _roughness(picture)
        return totals, [one._replace(**{name: getattr(one, name).mean(0) for name in Seen._fields[:4]}) for one in sums]

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(canvas: Canvas, state: Any, weights: Any, wanted: Any, numbers: Any, key: jax.Array) -> Any:
        (loss, seen), slope = jax.value_and_grad(loss_of, has_aux=True)(canvas, weights, wanted, numbers, key)
        update, new_state = rule.update(slope, state, canvas)  # type: ignore[arg-type]
        new = jax.tree.map(lambda leaf, change: leaf - numbers["lr"] * change, canvas, update)
        new = new if compat else new.projected()
        held = loss == 0  # nothing was asked: then nothing is stepped, and the moments stay
        keep = partial(jax.tree.map, lambda old, changed: jnp.where(held, old, changed))
        return keep(canvas, new), keep(state, new_state), loss, seen

    return step


def _views(picture: jax.Array, part: Part, numbers: Any, key: jax.Array, size: int, compat: bool) -> jax.Array:
    """The part's views, (B, size, size, 3) in [0, 1]."""

    def view(values: Sequence[Mapping[str, jax.Array]], own_key: jax.Array) -> jax.Array:
        return chain.run(picture, part.steps, values, own_key, (size, size), part.sizes, nearest=compat)

    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(part.views))
    return jnp.clip(jax.vmap(view)(numbers["transforms"], keys), 0, 1)


def _encoded(
    parts: Sequence[Part], views: Sequence[jax.Array], towers: Sequence[Tower], weights: Any
) -> list[list[jax.Array]]:
    """For each part the vectors (B, S) of each CLIP: all views that features look at go through a CLIP together."""
    looked = [place for place, part in enumerate(parts) if part.target.features]
    found: list[list[jax.Array]] = [[] for _ in parts]
    if not looked:
        return found
    together = jnp.concatenate([views[place] for place in looked])
    ends = [sum(parts[place].views for place in looked[:i]) for i in range(1, len(looked))]
    for tower, own in zip(towers, weights, strict=True):
        if together.shape[1] == tower.size:
            shown = together
        else:
            shown = jax.vmap(lambda view, edge=tower.size: resize(view, (edge, edge), "area"))(together)
        vectors = encode_image(own, tower.config, tower.dtype, shown)
        for place, piece in zip(looked, jnp.split(vectors, ends), strict=True):
            found[place].append(piece)
    return found


def _judged(
    part: Part,
    numbers: Any,
    variables: Mapping[str, Any],
    views: jax.Array,
    vectors: Sequence[jax.Array],
    wanted: Sequence[jax.Array],
    towers: Sequence[Tower],
    key: jax.Array,
    compat: bool,
) -> Seen:
    """What the part's views are worth, each field with a leading B."""
    target, shares = part.target, [tower.share for tower in towers]
    kinds = [feature.loss for feature in target.features]

    def judge(view: jax.Array, own: Sequence[jax.Array], judged: Any, own_key: jax.Array) -> Seen:
        similar, mean_similar = jnp.zeros(0), jnp.float32(0)
        loss, each, counted = jnp.float32(0), jnp.zeros(0), jnp.zeros(0)
        if kinds:
            plain = jax.lax.stop_gradient(similarities(own, wanted, shares)) * numbers["scale"]
            scales = [
                _number(f.scale, numbers["feature_scale"][i], variables, plain[i])
                for i, f in enumerate(target.features)
            ]
            similar = plain * jnp.stack(scales)
            mean_similar = similar.mean()
            weights = [
                jnp.where(
                    numbers["enabled"][i] > 0, _number(f.weight, numbers["feature_weight"][i], variables, similar[i]), 0
                )
                for i, f in enumerate(target.features)
            ]
            counted = chosen(target.select, similar, numbers["enabled"])
            loss, each = feature_loss(target.select, kinds, own, wanted, shares, jnp.stack(weights), counted)
        asked = []
        for place, constraint in enumerate(target.constraints):
            values = {
                name: _vector(given, judged[place][name], variables, mean_similar)
                for name, given in constraint.values.items()
            }
            weight = values.pop("weight", jnp.ones(1))[0]
            own_loss = constraints.loss(
                constraint.kind, view, values, constraint.texts, jax.random.fold_in(own_key, 1000 + place), compat
            )
            on = numbers["constraint_on"][place]
            asked.append(on * own_loss)
            loss += jnp.where(on > 0, weight, 0) * own_loss
        weight = _number(target.weight, numbers["weight"], variables, mean_similar)
        return Seen(counted, each, similar, jnp.stack(asked) if asked else jnp.zeros(0), weight * loss)

    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(part.views))
    return jax.vmap(judge)(views, list(vectors), numbers["constraints"], keys)


def _number(number: Number, known: jax.Array, variables: Mapping[str, Any], similarity: jax.Array) -> jax.Array:
    """A number that is known beforehand, or one that hangs on the similarity."""
    if isinstance(number, Expression) and needs_similarity(number):
        return trace(number, {**variables, **_functions(variables["t"]), **similarity_values(similarity)})
    return known


def _functions(time: jax.Array) -> dict[str, Callable[..., jax.Array]]:
    """The functions among the variables, of a time that is traced."""

    def ramp(start: float, end: float) -> jax.Array:
        low, high = jnp.minimum(start, end), jnp.maximum(start, end)
        risen = jnp.where(time >= high, 1.0, jnp.clip((time - low) / jnp.maximum(high - low, 1e-9), 0, 1))
        return jnp.where(jnp.asarray(end) < start, 1 - risen, risen)

    return {"time_step": ramp, "ts": ramp}


def _vector(given: Vector, known: jax.Array, variables: Mapping[str, Any], similarity: jax.Array) -> jax.Array:
    if not any(map(needs_similarity, given)):
        return known
    return jnp.stack([_number(number, known[i], variables, similarity) for i, number in enumerate(given)])


def _roughness(picture: jax.Array) -> jax.Array:
    """The mean squared difference of neighbours, in x and in y, times 100."""
    steps = [jnp.square(jnp.diff(picture, axis=axis)) for axis in range(2)]
    return 100 * sum((each.sum() / max(each.size, 1) for each in steps), jnp.float32(0))  # one pixel has no neighbour


def make_postprocess(
    steps: Sequence[EffectStep], size: tuple[int, int], nearest: bool
) -> Callable[[jax.Array, Any, jax.Array], jax.Array]:
    """Effects on the picture itself, compiled: (picture (H, W, 3), values, key) to the picture.

    Args:
        steps: the effects.
        size: (H, W).
        nearest: pixels are looked up without smoothing.
    """
    fixed = [size] * len(steps)

    @jax.jit
    def run(picture: jax.Array, values: Any, key: jax.Array) -> jax.Array:
        return chain.run(picture, steps, values, key, size, fixed, nearest=nearest)

    return run


def effect_steps(effects: Sequence[Effect]) -> tuple[EffectStep, ...]:
    """Effects as compiled programs know them."""
    return tuple(EffectStep(effect.kind, tuple(effect.texts.items())) for effect in effects)
