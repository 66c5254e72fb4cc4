"""From pydantic's model of a guide file to the frozen settings, and to the whole document with its defaults."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from pixace.guide.effect_table import POSTPROC_ORDER
from pixace.guide.expressions import Expression
from pixace.guide.members import Block
from pixace.guide.schema import Entry
from pixace.guide.settings import Effect, Feature, Guide, Init, Model, Optimizer, Target
from pixace.guide.table import CONSTRAINT, DEFAULT_MODEL, PROCESSING, TRANSFORM


def guide_of(model: Any) -> Guide:
    """The settings that a validated model stands for."""
    return Guide(
        verbose=model.verbose,
        output=model.output,
        snapshot_interval=model.snapshot_interval,
        epochs=model.epochs,
        start_epoch=model.start_epoch,
        resolution=model.resolution,
        interpolation=model.interpolation,
        models=_models(model),
        device=model.device,
        learnrate=model.learnrate,
        learnrate_scale=model.learnrate_scale,
        optimizer=Optimizer(**dict(model.optimizer)),
        init=Init(**dict(model.init)),
        targets=tuple(_target(target, f"targets[{i}]") for i, target in enumerate(model.targets)),
        postproc=tuple(_effects(PROCESSING, model.postproc, "postproc")),
        canvas=model.canvas,
        total_variation=model.total_variation,
        cutouts=model.cutouts,
        reduction=model.reduction,
        compat=model.compat,
        dtype=model.dtype,
        seed=model.seed,
        vars=model.vars,
    )


def _models(model: Any) -> tuple[Model, ...]:
    if model.models:
        return tuple(Model(each.name, each.weight) for each in model.models)
    return (Model(model.model or DEFAULT_MODEL, 1.0),)


def _target(target: Any, path: str) -> Target:
    own = {name: getattr(target, name) for name in ("active", "name", "start", "end", "weight", "batch_size")}
    return Target(
        **own,
        select=target.select,
        feature_scale=target.feature_scale,
        features=tuple(_feature(each, f"{path}.features[{i}]") for i, each in enumerate(target.features)),
        transforms=tuple(_effects(TRANSFORM, target.transforms, f"{path}.transforms")),
        constraints=tuple(_effects(CONSTRAINT, target.constraints, f"{path}.constraints")),
        path=path,
    )


def _feature(feature: Any, path: str) -> Feature:
    return Feature(**{**dict(feature), "text": feature.text or None}, path=path)


def _effects(block: Block, entries: Iterable[Entry], path: str) -> Iterable[Effect]:
    """The effects of a list, without those that are not active, in the order in which they work."""
    for i, entry in enumerate(entries):
        if not entry.model.active:
            continue
        kinds = sorted(entry.kinds, key=POSTPROC_ORDER.index) if block is PROCESSING else entry.kinds
        for kind in kinds:
            member = block.member(kind)
            assert member is not None and member.block is not None
            yield _effect(member.block, entry.model, kind, f"{path}[{i}].{kind}")


def _effect(block: Block, entry: Any, kind: str, path: str) -> Effect:
    model = getattr(entry, kind)
    given = {member: value for member in block.members if (value := getattr(model, member.name)) is not None}
    return Effect(
        kind=kind,
        values={
            member.name: value if isinstance(value, tuple) else (value,)
            for member, value in given.items()
            if member.kind in ("float", "int")
        },
        texts={member.name: value for member, value in given.items() if member.kind == "choice"},
        start=entry.start if model.start is None else model.start,
        end=entry.end if model.end is None else model.end,
        path=path,
    )


def document_of(block: Block, model: BaseModel) -> dict[str, Any]:
    """What a file would say to mean a model: all values with their defaults, but what is absent or an empty list."""
    found: dict[str, Any] = {}
    for member in block.members:
        value = getattr(model, member.name)
        if value is None or value in ([], {}):
            continue
        found[member.name] = _plain(member.block, value)
    return found


def _plain(block: Block | None, value: Any) -> Any:
    """A value as YAML can have it."""
    if isinstance(value, Expression):
        return value.source
    if block is not None and isinstance(value, BaseModel):
        return document_of(block, value)
    if block is not None and isinstance(value, Entry):
        return _entry(block, value)
    if isinstance(value, list | tuple):
        return [_plain(block, each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value


def _entry(block: Block, entry: Entry) -> dict[str, Any]:
    whole = document_of(block, entry.model)
    effects = {kind: whole.pop(kind) for kind in entry.kinds}
    return {kind: effect["value"] if effect.keys() == {"value"} else effect for kind, effect in effects.items()} | whole
