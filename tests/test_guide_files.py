"""Guide files: what they mean, in every way of writing them."""

import pytest
from guide_files import plain, target

from pixace.guide.documents import parse_yaml
from pixace.guide.settings import Model

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
