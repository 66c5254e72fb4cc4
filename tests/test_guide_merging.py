"""Several guide files, and the command line, as one."""

import pytest

from pixace.errors import ConfigError
from pixace.guide.settings import Model


def test_several_files_are_merged(guide):
    first = """
epochs: 10
resolution: 100 50
init: {mean: .1 .2 .3, std: .2}
targets:
- {name: sky, weight: 2, features: [{text: a}], transforms: [{noise: .1}]}
- features: [{text: b}]
postproc: [{add: .1}]
"""
    second = """
epochs: 20
resolution: [30, 40]
init: {mean: .5}
targets:
- {name: sky, weight: 3, features: [{text: c}], transforms: [{blur: 3}]}
- features: [{text: d}]
postproc: [{mul: 1}]
"""
    found = guide(first, second).guide
    assert (found.epochs, found.resolution, found.init.mean, found.init.std) == (20, (30, 40), (0.5,) * 3, (0.2,) * 3)
    assert [each.name for each in found.targets] == ["sky", "target", "target"]
    assert [[feature.text for feature in each.features] for each in found.targets] == [["a", "c"], ["b"], ["d"]]
    assert found.targets[0].weight == 3.0
    assert [effect.kind for effect in found.targets[0].transforms] == ["noise", "blur"]
    assert [effect.kind for effect in found.postproc] == ["add", "mul"]


def test_constants_of_one_file_are_known_in_others(guide):
    found = guide("vars: {rate: 2}", "vars: {twice: rate*2}\nlearnrate: twice*t", "learnrate_scale: rate").guide
    assert (found.vars, found.learnrate_scale) == ({"rate": 2, "twice": 4}, 2.0)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("epochs", "7", lambda g: g.epochs == 7),
        ("init.std", "1 2 3", lambda g: g.init.std == (1.0, 2.0, 3.0)),
        ("model", "RN50", lambda g: g.models == (Model("RN50", 1.0),)),
        ("optimizer", "SGD", lambda g: g.optimizer.name == "sgd"),
        ("optimizer.momentum", ".9", lambda g: g.optimizer.momentum == 0.9),
        ("targets[0].batch_size", "4", lambda g: g.targets[0].batch_size == 4),
        ("targets.sky.weight", "1/4", lambda g: g.targets[1].weight == 0.25),
        ("targets.sky.features[0].text", "a: b # c", lambda g: g.targets[1].features[0].text == "a: b # c"),
        ("targets[0].transforms[0].noise", "[1, 2, 3]", lambda g: g.targets[0].transforms[0].values["value"][2] == 3),
        ("targets[0].transforms[0].noise.start", ".5", lambda g: g.targets[0].transforms[0].start == 0.5),
        ("targets[0].transforms", "[{blur: 5}]", lambda g: g.targets[0].transforms[0].kind == "blur"),
    ],
)
def test_the_command_line_changes_single_values(guide, path, text, expected):
    file = "targets:\n- {transforms: [{noise: .1}]}\n- {name: sky, features: [{text: x}]}"
    assert expected(guide(file, overrides={path: text}).guide)


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("epoch", "7", "epoch: unknown key; did you mean epochs?"),
        ("targets[3].weight", "1", "targets[3] is not there; targets has 1 entries"),
        ("targets.sly.weight", "1", "nothing is named 'sly' there; sky is"),
        ("targets..weight", "1", "is no path"),
        ("init.mean", "1 2", "init.mean: 2 numbers, where 3 are wanted"),
        ("targets[0].weight", "[", "no valid YAML"),
    ],
)
def test_changes_that_cannot_be_made_name_their_path(guide, path, text, reason):
    with pytest.raises(ConfigError) as caught:
        guide("targets: [{name: sky}]", overrides={path: text})
    assert "the command line: " in str(caught.value) and reason in str(caught.value)
