"""Guide files: what they mean, in every way of writing them, and what is said of those that are wrong."""

import dataclasses
import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from pixace.errors import ConfigError, PixaceError
from pixace.guide.documents import parse_yaml
from pixace.guide.expressions import Expression
from pixace.guide.outputs import record, unused
from pixace.guide.reading import read_again, read_guides
from pixace.guide.settings import Model

EVERYTHING = """
epochs: 50
resolution: "{0: 8, 1: 16}.get(int(t*2), 32)"
learnrate_scale: 1-drop*t5
optimizer: {name: AdamW, betas: .9 .99, weight_decay: .01}
models: [ViT-B/32, {name: RN50, weight: .5}]
init: {image: start.png, mean: 0, std: 1, resolution: 10}
compat: clipig
total_variation: .1*t
seed: 7
vars: {drop: .95, half: drop/2}
targets:
- name: whole
  weight: ts(.2, .8)
  start: 10%
  batch_size: 3
  select: mix
  feature_scale: fair
  features:
  - {text: a spoon, weight: "max(0, 40-sim)", scale: sim/50, loss: L1}
  - {image: start.png, weight: -1, end: 20}
  - image: http://example.org/a.png
  transforms:
  - noise: .1*ti
    start: 50%
  - {random_rotate: {degree: -10 10, center: 0 1}, random_scale: .5 1}
  - center_crop: {size: width/2, end: 10}
  - noise: random()
  - {mul: .2, active: false}
  constraints:
  - blur: {kernel_size: 31*ti, weight: 10*half, end: 0.5}
  - saturation: {below: .01, above: 0 0 .1, loss: mae}
- active: false
postproc:
- {shift: 1 0, blur: 3 .35, end: 10}
- {saturation: 0, active: no}
"""

AUTHORS = {  # of the kinds that the source's author published
    "minimal": "targets: [{features: [{text: a strawberry}]}]",
    "wallpaper": """
resolution: 512
learnrate_scale: 1-.95*t5
init: {mean: .33, std: .03}
targets:
- batch_size: 5
  features: [{text: strawberries}]
  transforms:
  - random_shift: -1 1
  - random_rotate: {degree: -10 10, center: 0 1}
  - random_scale: .5 1
  - center_crop: 224
  constraints: [{blur: {kernel_size: 31}}]
""",
    "spoon": """
targets:
- features: [{text: a spoon}]
  transforms: [{noise: 0.1*ti}, {repeat: 3}, {random_rotate: {degree: -5 5}}, {center_crop: 224}, {mul: 1./5.}]
  constraints: [{blur: {kernel_size: 51}}, {saturation: {below: .01, weight: 10}}, {blur: {kernel_size: 31*ti}}]
postproc: [{border: {color: .1 .2 .3}}]
""",
    "continuation": """
resolution: 672
init: {image: start.png, mean: 0, std: 1}
targets:
- {features: [{text: a}], transforms: [{center_crop: width/2}, {random_crop: 224}]}
- {features: [{text: b}], transforms: [{random_scale: ".5 if t < .4 else 1., 1"}]}
- {start: 30%, select: best, features: [{text: a, weight: .5}, {text: b}, {text: c}, {text: d, weight: -1}]}
postproc: [{mean: .33}]
""",
    "selection": """
targets:
- select: mix
  feature_scale: fair
  features:
  - {text: a, weight: "max(0, 40-sim)", scale: .9, start: 10, end: 50%}
  - {text: b, loss: mse}
""",
    "growing": """
resolution: "{0: 8, 1: 16, 2: 32}.get(int(t*16), 224)"
interpolation: linear
optimizer: rmsprob
targets:
- features: [{text: a}]
  transforms: [{resize: 224}, {pad: {size: 32, mode: edge}}, {random_crop: 224}, {mean: .5}, {bwnoise: 1/5*ti}]
  constraints: [{std: {above: .3, start: 50%}}]
""",
    "schedules": "epochs: 20\nstart_epoch: 5\nsnapshot_interval: 10.\ninit: {resolution: 10}\noptimizer: adadelta",
}


@pytest.fixture
def guide(here):
    """Reads texts as guide files, with a picture beside them."""
    Image.new("RGB", (4, 4)).save("start.png")

    def read(*texts, **options):
        names = []
        for text in texts:
            names.append("abcdef"[len(names)] + ".yaml")
            Path(names[-1]).write_text(text)
        return read_guides(names, **options)

    return read


def plain(value):
    """Settings with expressions as their texts, which can be compared."""
    if isinstance(value, Expression):
        return f"<{value.source}>"
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


def target(text):
    return "targets:\n- " + text.replace("\n", "\n  ")


def first_transform(guide, text):
    return guide(target(f"transforms:\n- {text}")).guide.targets[0].transforms[0]


def test_a_file_without_anything_has_the_defaults_of_the_source(guide):
    found = guide("").guide
    assert (found.epochs, found.start_epoch, found.resolution) == (300, 0, (224, 224))
    assert (found.learnrate, found.learnrate_scale, found.optimizer.name) == (1.0, 1.0, "adam")
    assert (found.snapshot_interval, found.verbose, found.device) == (20.0, 2, "auto")
    assert isinstance(found.snapshot_interval, float)
    assert (found.init.mean, found.init.std, found.init.image) == ((0.5,) * 3, (0.1,) * 3, None)
    assert (found.models, found.interpolation) == ((Model("ViT-B/32", 1.0),), "cubic")
    assert (found.targets, found.postproc) == ((), ())
    assert (found.seed, found.canvas, found.total_variation, found.cutouts) == (0, "pixels", 0.0, 0)
    assert (found.reduction, found.compat, found.dtype, found.vars) == ("sum", None, "float32", {})


def test_defaults_are_filled_in_inside_lists(guide):
    text = "features: [{text: a}]\nconstraints: [{mean: {above: .1}}]\ntransforms: [{blur: {}}, {border: {}}]"
    found = guide(target(text) + "\n- {}").guide.targets
    assert (found[0].weight, found[0].batch_size, found[0].select, found[0].feature_scale) == (1.0, 1, "all", "equal")
    assert (found[0].features[0].weight, found[0].features[0].scale, found[0].features[0].loss) == (1.0, 1.0, "cosine")
    assert found[0].constraints[0].values == {"above": (0.1,) * 3, "weight": (1.0,)}
    assert found[0].constraints[0].texts == {"loss": "l2"}
    assert found[0].transforms[0].values == {"kernel_size": (3, 3)}
    assert found[0].transforms[1].values == {"size": (1, 1), "color": (0.0, 0.0, 0.0)}
    assert (found[1].name, found[1].features, found[1].start, found[1].end) == ("target", (), 0.0, 1.0)


@pytest.mark.parametrize("text", AUTHORS.values(), ids=AUTHORS)
def test_files_like_those_of_the_author_are_read(guide, text):
    document = guide(text).document
    assert set(parse_yaml(text)) <= document.keys()


@pytest.mark.subset
@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('resolution: "23"', "resolution", (23, 23)),
        ("resolution: 224*2 224//2", "resolution", (448, 112)),
        ("resolution: [22, 23]", "resolution", (22, 23)),
        ("epochs: 100*3", "epochs", 300),
        ("epochs: 3.9", "epochs", 3),
        ("epochs: 1e3", "epochs", 1000),
        ("learnrate: 1/4", "learnrate", 0.25),
        ("learnrate: 2", "learnrate", 2.0),
        ("learnrate_scale: (1. - .95 * pow(t, 5.))", "learnrate_scale", "<(1. - .95 * pow(t, 5.))>"),
        ("learnrate: epoch_f + t2 + ti5 + time_step(0, 1)", "learnrate", "<epoch_f + t2 + ti5 + time_step(0, 1)>"),
        ("resolution: '[64, 32 + t]'", "resolution", ("<([64, 32 + t])[0]>", "<([64, 32 + t])[1]>")),
        ("resolution: '[64, 32]'", "resolution", (64, 32)),
        ("resolution: '{0: 8}.get(int(t*16), 224)'", "resolution", ("<{0: 8}.get(int(t*16), 224)>",) * 2),
        ("vars: {a: 2, b: a*3}\nlearnrate: b", "learnrate", 6.0),
        ("vars: {a: 2}\nlearnrate: a*t", "learnrate", "<a*t>"),
        ("snapshot_interval: 20", "snapshot_interval", 20),
        ("output: pictures/", "output", "pictures/"),
        ("model: RN50x4", "models", ({"name": "RN50x4", "weight": 1.0},)),
        ("model: ViT-L/14", "models", ({"name": "ViT-L/14", "weight": 1.0},)),
        ("interpolation: Linear", "interpolation", "linear"),
        ("compat: null", "compat", None),
        ("seed: 2**20", "seed", 1048576),
    ],
)
def test_values_are_converted(guide, text, name, value):
    found = plain(getattr(guide(text).guide, name))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (".1", (0.1,) * 3),
        ("1 2 3", (1.0, 2.0, 3.0)),
        ("1,2, 3", (1.0, 2.0, 3.0)),
        ("[1, 1/2, 3]", (1.0, 0.5, 3.0)),
        ("1 -1 +2", (1.0, -1.0, 2.0)),
        ("max(t,.1)", ("<max(t,.1)>",) * 3),
        ("max(t, .1), t, 1", ("<max(t, .1)>", "<t>", 1.0)),
        (".1 if t<.5 else .2", ("<.1 if t<.5 else .2>",) * 3),
        ("1 - t", ("<1 - t>",) * 3),
        ("['.1 if t<.5 else .2']", ("<.1 if t<.5 else .2>",) * 3),
        ("random()", ("<random()>",) * 3),
        (
            "'[t, 0, ti] if t < 2 else [0, 0, 0]'",
            tuple(f"<([t, 0, ti] if t < 2 else [0, 0, 0])[{i}]>" for i in range(3)),
        ),
        ("true", (1.0,) * 3),
    ],
)
def test_vectors_are_split_between_their_numbers_only(guide, written, values):
    assert plain(first_transform(guide, f"noise: {written}").values["value"]) == values


@pytest.mark.parametrize(
    ("written", "start"),
    [
        *[("1", 1), (".5", 0.5), ('"25%"', 0.25), ('"300"', 300), ('"0.5"', 0.5), ("99.9%", 0.999), ("0", 0)],
        *[("100/4%", 0.25), ("10*3", 30), ("1/4", 0.25)],
    ],
)
def test_times_are_epochs_if_whole_and_shares_otherwise(guide, written, start):
    found = guide(target(f"start: {written}")).guide.targets[0].start
    assert (found, type(found)) == (pytest.approx(start), type(start))


@pytest.mark.parametrize(
    ("written", "value"),
    [*[(word, True) for word in ("true", "yes", "On", "'true'", "1")], *[(w, False) for w in ("no", "'false'", "0")]],
)
def test_words_for_true_and_false_mean_it(guide, written, value):
    assert guide(target(f"active: {written}")).guide.targets[0].active is value


def test_texts_stay_as_they_are_written(guide):
    texts = ["on", "2021-05-08", "12:30", "1e3", "5"]
    found = guide(target("features:\n" + "\n".join(f"- text: {text}" for text in texts))).guide.targets[0].features
    assert [feature.text for feature in found] == texts


@pytest.mark.parametrize(("numbers", "count"), [("1", 2), ("0 1", 2), ("0 1 2 3", 4)])
def test_a_random_shift_takes_one_two_or_four_numbers(guide, numbers, count):
    assert len(first_transform(guide, f"random_shift: {numbers}").values["value"]) == count


@pytest.mark.parametrize(
    ("bare", "mapping"),
    [
        ("noise: .1", "noise: {std: .1}"),
        ("noise: .1", "noise: {value: .1 .1 .1}"),
        ("blur: 5", "blur: {kernel_size: 5}"),
        ("blur: 3 .35", "blur: {kernel_size: 3, sigma: .35}"),
        ("blur: [3, .35]", "blur: {kernel_size: 3, sigma: .35}"),
        ("edge: 3 3", "edge: {kernel_size: 3}"),
        ("multiply: 1 2 3", "mul: {color: [1, 2, 3]}"),
        ("rotate: 5", "rotate: {degree: 5}"),
        ("random_rotate: 5", "random_rotate: {degree: 5 5, center: .5}"),
        ("crop: 0 0 .5 20", "crop: {box: [0, 0, .5, 20]}"),
        ("pad: 3", "pad: {size: 3, mode: fill, color: 0}"),
        ("blur: {sigma: null}", "blur: {}"),
        ("noise: .1\n  start: 20%\n  end: 30", "noise: {std: .1, start: .2, end: 30}"),
    ],
)
def test_effects_have_two_notations(guide, bare, mapping):
    assert plain(first_transform(guide, bare)) == plain(first_transform(guide, mapping))


@pytest.mark.parametrize(
    ("text", "name", "betas"),
    [
        *[("sparse_adam", "rmsprop", None), ("RMSprop", "rmsprop", None), ("rmsprob", "rmsprob", None)],
        *[("SGD", "sgd", None), ("{name: Lion, betas: .9 .99}", "lion", (0.9, 0.99))],
    ],
)
def test_optimisers_have_several_spellings(guide, text, name, betas):
    found = guide(f"optimizer: {text}").guide.optimizer
    assert (found.name, found.betas) == (name, betas)


def test_losses_have_several_spellings(guide):
    features = guide(target("features: [{text: a, loss: MAE}, {text: a, loss: mse}, {text: a, loss: L2}]")).guide
    assert [each.loss for each in features.targets[0].features] == ["l1", "l2", "l2"]
    constraint = guide(target("constraints: [{mean: {above: 1, loss: L1}}]")).guide.targets[0].constraints[0]
    assert constraint.texts == {"loss": "l1"}


def test_the_example_of_the_first_dialect_is_read(guide):
    text = """
epochs: 200
learnrate_scale: (1. - .95 * pow(t, 5.))
targets:
- batch_size: 5
  features:
  - {text: a, loss: L2}
  - {text: words, weight: -1.}
  - {image: start.png, loss: L2}
  transforms:
  - {random_crop: 100 100, noise: .1 .2 .3}
  - {random_scale: .5 1., edge: 3 3}
  constraints:
  - mean: {above: .1 .2 .3}
  - edge_max: {below: .1, weight: .5}
postproc:
- {blur: 3 .35, end: 50%}
- {multiply: .9 1 1}
"""
    found = guide(text).guide
    assert [effect.kind for effect in found.targets[0].transforms] == ["random_crop", "noise", "random_scale", "edge"]
    assert [effect.kind for effect in found.targets[0].constraints] == ["mean", "edge_max"]
    blur, mul = found.postproc
    assert (blur.values, blur.end) == ({"kernel_size": (3, 3), "sigma": (0.35, 0.35)}, 0.5)
    assert (mul.kind, mul.values["value"], mul.path) == ("mul", (0.9, 1.0, 1.0), "postproc[1].mul")


def test_transforms_keep_the_order_of_keys_and_postproc_has_its_own(guide):
    entry = "- {add: 1, noise: 1, blur: 3, saturation: 0}"
    found = guide(target(f"transforms:\n{entry}") + f"\npostproc:\n{entry}\n- {{add: 1, active: 'false'}}").guide
    assert [each.kind for each in found.targets[0].transforms] == ["add", "noise", "blur", "saturation"]
    assert [each.kind for each in found.postproc] == ["blur", "noise", "add", "saturation"]
    assert found.postproc[-1].values == {"value": (0.0,)}


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


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("init: {mean: 1 2}", "init.mean", "2 numbers, where 3 are wanted"),
        ("resolution: 1 2 3", "resolution", "3 numbers, where 2 are wanted"),
        (target("transforms: [{random_shift: 1 2 3}]"), "targets[0].transforms[0].random_shift", "2 or 4"),
        ("epoch: 5", "epoch", "did you mean epochs?"),
        (
            target("transforms: [{}, {blur: {kernel_siz: 3}}]"),
            "targets[0].transforms[1].blur.kernel_siz",
            "kernel_size?",
        ),
        ("postproc: [{center_crop: 5}]", "postproc[0].center_crop", "for transforms alone"),
        (target("transforms: [{noise: sim}]"), "targets[0].transforms[0].noise", "sim cannot be used here"),
        ("resolution: width", "resolution", "width cannot be used here"),
        ("learnrate: lrs", "learnrate", "lrs cannot be used here"),
        (target("start: t"), "targets[0].start", "t cannot be used here"),
        ("init: {std: t}", "init.std", "t cannot be used here"),
        (target("select: bets"), "targets[0].select", "did you mean best?"),
        (target("feature_scale: fare"), "targets[0].feature_scale", "did you mean fair?"),
        ("optimizer: adamm", "optimizer.name", "did you mean adam?"),
        (target("features: [{text: a, loss: cosin}]"), "targets[0].features[0].loss", "did you mean cosine?"),
        ("interpolation: cubick", "interpolation", "did you mean cubic?"),
        ("resolution: null", "resolution", "leave the key out"),
        ("targets:", "targets", "must be a list"),
        ("targets: {a: 1}", "targets", "must be a list"),
        (target("transforms: [noise]"), "targets[0].transforms[0]", "must be a mapping"),
        (target("transforms: [{blur: }]"), "targets[0].transforms[0].blur", "must be a mapping"),
        ("learnrate: 1/0", "learnrate", "division by zero"),
        ("learnrate: 1/(t-t)", "learnrate", "division by zero"),
        ("learnrate: foo(3)", "learnrate", "foo is not known here"),
        ("learnrate: \"'a' if t < 2 else 'b'\"", "learnrate", "is no number"),
        ("init: {image: b.png}", "init.image", "b.png does not exist"),
        ("init: {image: ftp://example.org/b.png}", "init.image", "must begin with http:// or https://"),
        ("init: {image: file:///etc/hostname}", "init.image", "must begin with http:// or https://"),
        ("init: {image_tensor: [[[1]], [[1]]]}", "init.image_tensor", "[3][height][width]"),
        (target("features: [{weight: 1}]"), "targets[0].features[0]", "needs text or image"),
        (target("constraints: [{mean: {weight: 1}}]"), "targets[0].constraints[0].mean", "above or below"),
        (target("transforms: [{rnoise: .1}]"), "targets[0].transforms[0].rnoise.resolution", "is missing"),
        (target("batch_size: 0"), "targets[0].batch_size", "1 is the least"),
        (target("active: perhaps"), "targets[0].active", "neither true nor false"),
        ("resolution: 10000", "resolution", "8192 is the most"),
        ("epochs: .inf", "epochs", "no whole number"),
        ("start_epoch: 300", "start_epoch", "below epochs"),
        ("seed: -1", "seed", "too small"),
        ("vars: {t: 1}", "vars", "t: it is a name of expressions already"),
        ("vars: {sin: 1}", "vars", "sin: it is a name of expressions already"),
        ("vars: {if: 1}", "vars", "if: it is no name"),
        ("vars: {a b: 1}", "vars", "a b: it is no name"),
        (f"learnrate: {'1+' * 2000}1", "learnrate", "too long"),
        (f"resolution: {'1+' * 2000}1", "resolution", "too long"),
        ("resolution: 1 +(2", "resolution", "'+(2' in '1 +(2' is no number or expression"),
        ("vars: {a: random()}", "vars", "a: a constant cannot be random"),
        ("model: a\nmodels: [b]", "", "model or models, not both"),
        ("model: ../weights.pt", "models[0].name", "outside"),
        ("output: /tmp/a.png", "output", "outside"),
        ("output: ~/a.png", "output", "outside"),
        ("epochs: 5\nepochs: 6", "line 2", "'epochs' is given a second time (first in line 1)"),
        ("a: b: c", "line 1", "no valid YAML"),
        ("\na: !!python/name:os.system x", "line 2", "values with a tag, tag:yaml.org,2002:python/name:os.system"),
        ("a: !!timestamp x", "line 1", "values with a tag"),
        ("a: !!bool x", "line 1", "values with a tag"),
        ("a: !!set {x: 1}", "line 1", "values with a tag"),
        ("[1]", "", "a guide file is a mapping"),
    ],
)
def test_faults_name_file_path_and_reason(guide, text, path, reason):
    with pytest.raises(ConfigError if "does not exist" not in reason else PixaceError) as caught:
        guide(text)
    message = str(caught.value)
    assert message.startswith(f"a.yaml: {path}{': ' if path else ''}") and reason in message and "\n" not in message


def test_all_faults_of_all_files_are_told_at_once(guide):
    with pytest.raises(ConfigError) as caught:
        guide("epoch: 1\nlearnrate: x\ntargets: [{weigth: 2}]", "seed: a")
    assert [line.rpartition(": ")[0] for line in str(caught.value).splitlines()] == [
        *("a.yaml: learnrate: 'x'", "a.yaml: targets[0].weigth", "a.yaml: epoch", "b.yaml: seed: 'a'"),
    ]


BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "with every alias written out"),
        (
            "a0: &a0 {x: 1}\n"
            + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 9)),
            "with every alias written out",
        ),
        ("a0: &a0 1\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 500)), "40 levels"),
        ("a: &a [*a]", "an alias within what it stands for"),
        ("[" * 100, "too large"),
        ("{a: " * 5000, "too large|nesting"),
        ("a: " + "9" * 5000, "no valid YAML"),
        ("a: \0", "no valid YAML"),
        ("? [a]\n: 1", "a key must be a word"),
        ("a: 1\n---\nb: 1", "no valid YAML"),
    ],
)
def test_yaml_from_strangers_keeps_within_bounds(text, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_yaml(text)


def test_files_that_are_too_large_or_no_text_are_refused(here):
    Path("large.yaml").write_bytes(b"#" * (16 * 2**20 + 1))
    Path("latin.yaml").write_bytes(b"a: \xe4")
    for name, reason in (("large.yaml", "16 MiB"), ("latin.yaml", "UTF-8"), ("none.yaml", "No such file")):
        with pytest.raises(PixaceError, match=reason):
            read_guides([name])


def test_pictures_are_read_from_the_folder_of_the_file_alone(guide, here):
    (here / "inner").mkdir()
    Image.new("RGB", (4, 4)).save("inner/own.png")
    os.symlink(here / "start.png", "inner/link.png")
    inner = here / "inner" / "a.yaml"
    for name in ("../start.png", str(here / "start.png"), "link.png"):
        inner.write_text(f"init: {{image: {name}}}")
        with pytest.raises(ConfigError, match=r"init.image: .* is outside .*inner"):
            read_guides([inner])
        assert read_guides([inner], folders=[here]).guide.init.image == str(here / "start.png")
    inner.write_text("init: {image: sub/../own.png}\ntargets: [{features: [{image: own.png}]}]")
    read = read_guides([inner]).guide
    assert read.init.image == read.targets[0].features[0].image == str(here / "inner" / "own.png")
    assert read_guides([inner], {"init.image": "start.png"}).guide.init.image == str(here / "start.png")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (target("end: 1"), "targets[0].end: is epoch 1, not the end"),
        (target("transforms: [{noise: .1, end: 1}]"), "targets[0].transforms[0].end: is epoch 1"),
        ("snapshot_interval: 20", "snapshot_interval: is 20 epochs"),
        ("init: {image: start.png}", "init.image: without mean and std its colours are"),
        ("init: {image: start.png, mean: 0}", "init.image: without std its colours are"),
        (target("transforms: [{random_shift: 0 5}]"), "targets[0].transforms[0].random_shift: draws from 0 to 5"),
        (target("transforms: [{random_shift: 0 1 -3 3}]"), "targets[0].transforms[0].random_shift: draws from -3 to 3"),
        (target("batch_size: 5\ntransforms: [{blur: 3}]"), "targets[0].batch_size: its 5 views are all alike"),
        (target("transforms: [{center_crop: 10 20}]"), "targets[0].transforms[0].center_crop: is width, then height"),
        (target("constraints: [{std: {below: .1}}]"), "targets[0].constraints[0].std.below: is a limit"),
        ("learnrate: 1/t", "learnrate: cannot be used at t = 0: '1/t' cannot be computed"),
        (target("weight: sim*random()"), "targets[0].weight: draws its random numbers once"),
        ("resolution: t*300", "resolution: cannot be used at t = 0: 0 is too small"),
    ],
)
def test_what_may_mean_something_else_is_told(guide, text, warning):
    found = guide(text).warnings
    assert len(found) == 1 and found[0].startswith(f"a.yaml: {warning}")


@pytest.mark.parametrize(
    "text",
    [
        target("end: 1.0"),
        "snapshot_interval: 0",
        "snapshot_interval: 20.0",
        "init: {image: start.png, mean: 0, std: 1}",
        target("batch_size: 5\ntransforms: [{random_shift: -1 1}]"),
        target("batch_size: 5\ntransforms: [{blur: 3, mul: random()}]"),
        target("transforms: [{random_shift: 2 5}, {center_crop: 10}]"),
        target("constraints: [{std: {below: .1}}]") + "\ncompat: clipig",
        "learnrate: log(t + 1) + width/height + res[0]",
        "epochs: 2\nlearnrate: '[1, 2][epoch]'",
    ],
)
def test_what_is_clear_is_not_warned_of(guide, text):
    assert guide(text).warnings == []


@pytest.mark.parametrize(
    ("named", "output", "name"),
    [
        (None, None, "./b.png"),
        ("here/", None, "here/b.png"),
        ("here/b", None, "here/b.png"),
        ("here/b.jpg", None, "here/b.jpg"),
        ("here/c.jpg", "there/", "there/c.jpg"),
        ("here/c.jpg", "foo", "foo.png"),
        (None, "there/", "there/b.png"),
        (None, "c.webp", "c.webp"),
        (5, None, "5.png"),
    ],
)
def test_outputs_are_named_after_the_last_file(guide, named, output, name):
    assert guide("output: other/", f"output: {named}" if named else "", output=output).base_name == name


def test_standard_input_is_a_file_named_dash(here, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"epochs: 5\n")))
    read = read_guides(["-"])
    assert (read.guide.epochs, read.base_name) == (5, "./output.png")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"epoch: 5\n")))
    with pytest.raises(ConfigError, match=r"^standard input: epoch: unknown key"):
        read_guides(["-"])


def test_outputs_with_an_unknown_ending_are_refused_before_any_work(guide):
    with pytest.raises(ConfigError, match=r"\.doc"):
        guide("", output="a.doc")
    assert guide("output: a.doc", overrides={"output": "a.webp"}).base_name == "a.webp"


def test_no_file_is_ever_overwritten(here):
    assert unused("demo.png") == here / "demo.png"
    Path("demo-1.png").touch()
    assert unused("demo.png") == here / "demo.png"
    Path("demo.png").touch()
    assert unused("demo.png") == here / "demo-2.png"
    Path("demo-7.txt").touch()
    assert unused("demo.png") == here / "demo-8.png"
    assert unused("demo-1.png") == here / "demo-8.png"
    assert unused("deep/demo.png") == here / "deep" / "demo.png"


def test_a_record_makes_the_same_run_again(guide, here):
    read = guide(EVERYTHING)
    text = record(read.document, {"made": "today", "epochs": "50 of 50", "table": "a\nb"}, here / "out.png")
    assert text.startswith("# made: today\n# epochs: 50 of 50\n# table: a\n# table: b\n")
    assert "image: start.png" in text and "- &" not in text
    Path("out.yaml").write_text(text)
    again = read_guides(["out.yaml"])
    assert plain(dataclasses.replace(again.guide, output=None)) == plain(read.guide)
    assert again.guide.output == again.base_name == str(here / "out.png")
    assert record(again.document, {}, here / "out.png") == record(read.document, {}, here / "out.png")
    assert again.warnings == []


def test_a_record_elsewhere_needs_leave_to_read_the_pictures(guide, here):
    text = record(guide(EVERYTHING).document, {}, here / "deep" / "out.png")
    (here / "deep").mkdir()
    Path("deep/out.yaml").write_text(text)
    with pytest.raises(ConfigError, match="outside"):
        read_guides(["deep/out.yaml"])
    assert read_guides(["deep/out.yaml"], folders=["."]).guide.init.image == str(here / "start.png")


def test_what_was_read_is_read_again_from_its_document(guide, here):
    read = guide(EVERYTHING)
    document = json.loads(json.dumps(read.document))
    assert plain(read_again(document, "out.png").guide) == plain(read.guide)
    changed = read_again(document, "out.png", {"epochs": "9", "targets.whole.batch_size": "2"})
    assert (changed.guide.epochs, changed.guide.targets[0].batch_size, changed.base_name) == (9, 2, "out.png")
    with pytest.raises(ConfigError, match="did you mean epochs"):
        read_again(document, "out.png", {"epoch": "9"})
