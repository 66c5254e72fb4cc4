"""The table of guide files: complete, told in the reference, in the editors' schema, and in the variables it names."""

import math
import re
from pathlib import Path

import pytest

from pixace.errors import ConfigError
from pixace.guide import kinds
from pixace.guide.context import Context
from pixace.guide.converting import convert
from pixace.guide.dialects import unified
from pixace.guide.documents import parse_yaml
from pixace.guide.effect_table import CONSTRAINTS, POSTPROC_ORDER, TRANSFORMS
from pixace.guide.members import Member
from pixace.guide.reference import editor_schema, reference
from pixace.guide.schema import model_of, validate
from pixace.guide.table import FEATURE, GUIDE, INIT, TARGET
from pixace.guide.variables import (
    GROUPS,
    LEARNRATE,
    MEANING,
    RESOLUTION,
    SIMILARITY,
    TIME,
    learnrate_values,
    resolution_values,
    similarity_values,
    time_values,
)
from pixace.guide.vectors import split

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "guide-reference.md"
REQUIRED = {  # what effects need, so that they say something
    **{"value": 1, "degree": 1, "std": 0.1, "resolution": 4, "size": 2, "above": 0.1},
}


def all_blocks(block):
    yield block
    for member in block.members:
        if member.block:
            yield from all_blocks(member.block)


def effect_texts():
    """Each effect in each of its places, by itself, as a document."""
    for section, effects in (("transforms", TRANSFORMS), ("constraints", CONSTRAINTS), ("postproc", POSTPROC_ORDER)):
        for kind in effects:
            block = (CONSTRAINTS if section == "constraints" else TRANSFORMS)[kind]
            value = {m.name: REQUIRED[m.name] for m in block.members if m.required or m.name == "above"}
            entry = {kind: value}
            yield {"postproc": [entry]} if section == "postproc" else {"targets": [{section: [entry]}]}


@pytest.mark.subset
def test_the_table_has_every_effect_that_there_is():
    assert TRANSFORMS.keys() == kinds.EFFECTS.keys()
    assert set(CONSTRAINTS) == set(kinds.CONSTRAINTS)
    assert len(POSTPROC_ORDER) == len(set(POSTPROC_ORDER)) and set(POSTPROC_ORDER) == set(kinds.POST_EFFECTS)


@pytest.mark.parametrize("document", effect_texts(), ids=str)
def test_each_effect_can_be_asked_for(document):
    model, faults = validate(document, Context())
    assert model is not None and not faults


@pytest.mark.parametrize(
    ("block", "names"),
    [
        (
            GUIDE,
            "verbose output snapshot_interval epochs start_epoch resolution interpolation model device learnrate "
            "learnrate_scale optimizer init targets postproc",
        ),
        (INIT, "mean std image resolution image_tensor"),
        (TARGET, "active name start end weight batch_size select feature_scale features transforms constraints"),
        (FEATURE, "text image start end weight scale loss"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_all_that_the_source_knows_is_known(block, names):
    assert set(names.split()) <= {member.name for member in block.members}


SCOPES = {
    "resolution": "time",
    "learnrate": "time resolution",
    "learnrate_scale": "time resolution",
    "targets.weight": "time resolution learnrate similarity",
    "features.weight": "time resolution learnrate similarity",
    "features.scale": "time resolution learnrate similarity",
    "transforms.noise": "time resolution learnrate",
    "constraints.blur": "time resolution learnrate similarity",
    "postproc.noise": "time resolution learnrate",
    "epochs": "",
    "init.mean": "",
    "targets.batch_size": "",
}


@pytest.mark.parametrize("place", SCOPES)
@pytest.mark.parametrize("group", GROUPS)
def test_variables_can_be_used_where_they_are_known_and_nowhere_else(place, group):
    word = {"time": "1 + t", "resolution": "width", "learnrate": "lr", "similarity": "sim"}[group]
    section, _, name = place.rpartition(".")
    document = {"": {name: word}, "init": {"init": {name: word}}, "targets": {"targets": [{name: word}]}}
    document["features"] = {"targets": [{"features": [{"text": "a", name: word}]}]}
    document["transforms"] = {"targets": [{"transforms": [{name: {"value": word}}]}]}
    document["constraints"] = {"targets": [{"constraints": [{name: {"kernel_size": word}}]}]}
    document["postproc"] = {"postproc": [{name: {"value": word}}]}
    _, faults = validate(document[section], Context())
    if group in SCOPES[place].split():
        assert not faults
    else:
        assert len(faults) == 1 and "cannot be used here" in faults[0][1]


def test_the_reference_in_the_docs_is_that_of_the_table():
    """Written anew by `pixace guide --reference > docs/guide-reference.md`."""
    assert REFERENCE.read_text("utf-8") == reference() + "\n"


def test_the_example_of_the_reference_is_right():
    example = re.findall(r"```yaml\n(.*?)```", reference(), re.S)
    document = unified(parse_yaml(example[0]))
    assert len(example) == 1 and validate(document, Context())[1] == []


def test_the_reference_names_every_key_and_variable():
    text = reference()
    titles, rows = set(re.findall(r"^#+ (\w+)$", text, re.M)), set(re.findall(r"^\| `(\w+)`", text, re.M))
    assert {member.name for block in all_blocks(GUIDE) for member in block.members} <= titles | rows
    assert all(name in text for group in GROUPS.values() for name in group if not name[-1].isdigit())


def test_the_tables_of_the_reference_have_as_many_cells_in_every_row():
    rows = [line.replace("\\|", "").count("|") for line in reference().splitlines() if line.startswith("|")]
    assert len(rows) > 200 and set(rows) == {6, 4} and rows.count(4) == len(MEANING) + 2


@pytest.fixture(scope="module")
def editors():
    jsonschema = pytest.importorskip("jsonschema")
    schema = editor_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"epochs": "100*3", "resolution": [224, "64*t"], "optimizer": "adam", "models": ["RN50", {"name": "a"}]},
        {"optimizer": {"name": "sparse_adam"}, "init": {"image": None, "mean": 0.5}, "snapshot_interval": 20},
        {"targets": [{"transforms": [{"noise": 0.1, "start": "50%"}, {"noise": {"std": 0.1, "end": 5}}, {"blur": 5}]}]},
        {"targets": [{"constraints": [{"mean": {"above": [0.1, 0.2, "t"]}}], "features": [{"text": "a"}]}]},
        {"postproc": [{"mul": "1 2 3", "active": False}], "vars": {"a": 1, "b": "a*2"}},
    ],
    ids=str,
)
def test_editors_take_what_is_right(editors, document):
    assert not list(editors.iter_errors(document))


@pytest.mark.parametrize(
    "document",
    [
        {"epoch": 1},
        {"interpolation": "cubick"},
        {"targets": {}},
        {"targets": [{"transforms": [{"nois": 0.1}]}]},
        {"postproc": [{"center_crop": 5}]},
        {"resolution": [1, 2, 3]},
        {"targets": [{"transforms": [{"rnoise": {"std": 1}}]}]},
    ],
    ids=str,
)
def test_editors_mark_what_is_wrong(editors, document):
    assert list(editors.iter_errors(document))


def test_models_of_pydantic_forbid_unknown_keys_everywhere():
    assert all(model_of(block).model_config.get("extra") == "forbid" for block in all_blocks(GUIDE))


def test_time_goes_from_nought_to_one():
    assert [time_values(epoch, 5)["t"] for epoch in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert time_values(0, 1)["t"] == 0
    values = time_values(1, 5)
    assert values.keys() == TIME
    assert (values["epoch"], values["epoch_f"], values["t2"], values["time5"]) == (1, 0.25, 0.25**2, 0.25**5)
    assert (values["ti"], values["ti3"], values["time_inverse4"]) == (0.75, 0.75**3, 0.75**4)


@pytest.mark.parametrize(
    ("start", "end", "values"),
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (0.25, 0.75, [0, 0, 0.5, 1, 1]), (0.75, 0.25, [1, 1, 0.5, 0, 0])],
)
def test_time_step_is_a_ramp(start, end, values):
    assert [time_values(epoch, 5)["ts"](start, end) for epoch in range(5)] == values


def test_time_step_of_one_time_is_a_jump():
    assert [time_values(epoch, 5)["time_step"](0.5, 0.5) for epoch in range(5)] == [0, 0, 1, 1, 1]


def test_values_of_the_other_groups_are_those_they_are_made_of():
    size = resolution_values(30, 20)
    assert size.keys() == RESOLUTION and (size["res"], size["width"], size["height"]) == ([30, 20], 30, 20)
    rate = learnrate_values(0.02, 0.5)
    assert rate.keys() == LEARNRATE and (rate["lr"], rate["lrs"]) == (0.02, 0.5)
    assert similarity_values(25.0) == dict.fromkeys(SIMILARITY, 25.0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1 2", ["1", "2"]),
        (" 1,2 , 3", ["1", "2", "3"]),
        ("max(t, .1) 2", ["max(t, .1)", "2"]),
        ("{0: 1, 1: 2}.get(0, 1), [1, 2][0]", ["{0: 1, 1: 2}.get(0, 1)", "[1, 2][0]"]),
        ("{'a b': 1, 'c, )': 2}['a b']", ["{'a b': 1, 'c, )': 2}['a b']"]),
        ("", [""]),
    ],
)
def test_texts_are_split_outside_of_brackets_and_quotes(text, parts):
    assert split(text) == parts


def test_whole_numbers_lose_what_follows_the_point():
    member = Member("n", "int", "", least=-5, most=5)
    assert [convert(member, raw, Context()) for raw in ("2.9", -2.9, "29/10", True)] == [2, -2, 2, 1]
    for raw, reason in (
        (6, "5 is the most"),
        ("-6", "-5 is the least"),
        (math.nan, "no number"),
        ([1, 2], "no number"),
    ):
        with pytest.raises(ConfigError, match=reason):
            convert(member, raw, Context())


def test_an_expression_needs_to_work_at_one_time_at_least():
    member = Member("n", "float", "", groups=("time",), least=0)
    assert convert(member, "1/t", Context()).source == "1/t"
    for text in ("1/(t - t)", "-1 - t", "[t]", "log(-t)"):
        with pytest.raises(ConfigError):
            convert(member, text, Context())
