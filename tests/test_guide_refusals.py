"""Guide files that are wrong, hostile, or may mean something else than they seem to: what is said of them."""

import os
from pathlib import Path

import pytest
from guide_files import target
from PIL import Image

from pixace.errors import ConfigError, PixaceError
from pixace.guide.documents import parse_yaml
from pixace.guide.reading import read_guides


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
