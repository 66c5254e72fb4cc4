"""Sets of TensorFlow Datasets: their pictures, splits and classes are read without TensorFlow.

`tests/tfds` holds a small set that `make_tfds_set.py` drew; what it drew is known here, too.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import pixels

from pixace.config import TokenizerConfig
from pixace.dataset import load_tokens, split
from pixace.errors import PixaceError
from pixace.sources import tfds as tfds_source
from pixace.sources.finding import find_source
from pixace.tokenizer import Tokenizer

SETS = Path(__file__).parent / "tfds"
CONFIG = TokenizerConfig(image_size=8)
needs_tfds = pytest.mark.skipif(
    sys.version_info >= (3, 12) and importlib.util.find_spec("array_record") is None,
    reason="array_record is not installed; the dev extra brings it where there is a wheel for this Python",
)
pytestmark = needs_tfds


@pytest.fixture(autouse=True)
def sets(monkeypatch):
    """The folder of sets, for this process and those that it starts."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(SETS))


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The folder of a copy of the set, which tests may change."""
    shutil.copytree(SETS, tmp_path / "sets")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    return tmp_path / "sets" / "tiny_shapes" / "1.0.0"


@pytest.fixture
def without_tensorflow(tmp_path):
    """The environment of processes in which importing TensorFlow fails."""
    fake = tmp_path / "fake" / "tensorflow"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text('raise ImportError("TensorFlow was imported")')
    paths = [str(fake.parent), str(Path(__file__).parents[1])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PIXACE_CACHE": str(tmp_path / "cache")}


def drawn() -> dict[str, list[tuple[np.ndarray, str]]]:
    """What the script draws, by split: its module imports TensorFlow Datasets, which tests of skipping have not."""
    import make_tfds_set

    counts = make_tfds_set.COUNTS.items()
    return {split: [make_tfds_set.draw(split, i) for i in range(count)] for split, count in counts}


def pairs(tokens) -> list[tuple[bytes, str]]:
    names = [tokens.classes[label] for label in tokens.labels]
    return sorted((row.tobytes(), name) for row, name in zip(np.asarray(tokens.tokens), names, strict=True))


def expected(name: str) -> list[tuple[bytes, str]]:
    return sorted((Tokenizer(CONFIG).encode(picture).tobytes(), label) for picture, label in drawn()[name])


def refusal(text: str, **options) -> str:
    with pytest.raises(PixaceError) as caught:
        load_tokens(text, CONFIG, **options)
    assert "\n" not in str(caught.value) and text in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["train", "test"])
def test_every_picture_of_a_split_is_read_with_its_class(name, tmp_path):
    found = load_tokens(f"tfds:tiny_shapes:1.0.0/{name}", CONFIG, cache=tmp_path)
    assert found.classes == ("cross", "disc", "stripes") and found.skipped == ()
    assert pairs(found) == expected(name)


def test_a_set_is_read_without_tensorflow(without_tensorflow):
    code = (
        "import sys; from pixace.config import TokenizerConfig as C; from pixace.dataset import load_tokens;"
        "print(len(load_tokens('tfds:tiny_shapes', C(image_size=8)))); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=without_tensorflow, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("48\nFalse\n", "")
    shown = subprocess.run([sys.executable, "-c", "import tensorflow"], env=without_tensorflow, capture_output=True)
    assert b"TensorFlow was imported" in shown.stderr  # so it would have failed


def test_splits_are_cut_as_tensorflow_datasets_cuts_them():
    counts = {"train": 48, "train[:25%]": 12, "train[10:20]": 10, "train+test": 64, "test[-4:]": 4, "all": 64}
    for text, count in counts.items():
        assert len(load_tokens(f"tfds:tiny_shapes/{text}", CONFIG)) == count
    first, rest = (pairs(load_tokens(f"tfds:tiny_shapes/train[{cut}]", CONFIG)) for cut in (":25%", "25%:"))
    assert sorted(first + rest) == expected("train")


def test_the_usual_split_is_train_and_to_validate_validation_or_test(copy):
    assert pairs(load_tokens("tfds:tiny_shapes", CONFIG)) == expected("train")
    assert pairs(load_tokens("tfds:tiny_shapes", CONFIG, validation=True)) == expected("test")
    for file in [copy / "dataset_info.json", *copy.glob("*-test.*")]:  # the same set without a split of that name
        if file.suffix == ".json":
            file.write_text(file.read_text().replace('"test"', '"extra"'))
        else:
            file.rename(file.with_name(file.name.replace("-test", "-extra")))
    assert "tfds:tiny_shapes/train, tfds:tiny_shapes/extra" in refusal("tfds:tiny_shapes", validation=True)


def test_a_set_with_configurations_is_named_with_one_of_them(copy):
    home = copy.parents[1]
    for name in ("big", "small"):
        shutil.copytree(copy, home / "shapes" / name / "1.0.0")
    assert len(load_tokens("tfds:shapes/small", CONFIG)) == 48
    assert len(load_tokens("tfds:shapes/small:1.0.0/test", CONFIG)) == 16
    assert "tfds:shapes/big, tfds:shapes/small" in refusal("tfds:shapes")


def test_the_newest_version_is_read_where_none_is_said(copy):
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(copy, copy.parent / version)
        info = copy.parent / version / "dataset_info.json"
        info.write_text(info.read_text().replace("1.0.0", version))
    assert "1.10.0" in find_source("tfds:tiny_shapes").fingerprint()
    assert "1.9.0" in find_source("tfds:tiny_shapes:1.9.0").fingerprint()


def test_a_set_that_was_prepared_anew_is_tokenised_anew(copy):
    before = load_tokens("tfds:tiny_shapes", CONFIG)
    (shard,) = copy.glob("*-train.*")
    os.utime(shard, ns=(1, 1))
    after = load_tokens("tfds:tiny_shapes", CONFIG)
    assert before.tokens.filename != after.tokens.filename and np.array_equal(before.tokens, after.tokens)
    assert load_tokens("tfds:tiny_shapes/train", CONFIG).tokens.filename == after.tokens.filename


def test_any_part_of_a_set_is_a_fair_sample():
    train, val = split(load_tokens("tfds:tiny_shapes", CONFIG), 0.5)
    assert set(train.labels) == set(val.labels) == {0, 1, 2}
    assert not {row for row, _ in pairs(train)} & {row for row, _ in pairs(val)}


def test_a_set_that_is_not_there_is_told_with_what_prepares_it():
    told = refusal("tfds:cifar10:3.0.2/train[:10%]")
    assert "not prepared" in told and "TensorFlow is installed" in told
    command = re.search(r'python -c "(.*)"$', told)
    assert command, told
    wanted = f"t.builder('cifar10:3.0.2', data_dir='{SETS}', file_format='array_record').download_and_prepare()"
    assert wanted in command.group(1)
    compile(command.group(1), "command", "exec")
    assert "did you mean cifar10?" in refusal("tfds:cifr10")
    assert "did you mean tiny_shapes?" in refusal("tfds:tiny_shape")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tfds:tiny_shapes/nope", "train (48 pictures), test (16 pictures)"),
        ("tfds:tiny_shapes/train[100:200]", "train (48 pictures)"),
        ("tfds:tiny_shapes/train[:x]", "train (48 pictures)"),
        ("tfds:tiny_shapes/train[5:5]", "no pictures"),
        ("tfds:tiny_shapes:2.0.0", "but 1.0.0"),
        ("tfds:", "is not of the form"),
        ("tfds:tiny_shapes/", "is not of the form"),
        ("tfds:a/b/c/d", "is not of the form"),
        ("tfds:../tiny_shapes", "is not of the form"),
    ],
)
def test_wrong_names_versions_and_splits_are_told_with_the_right_ones(text, told):
    assert told in refusal(text)


def test_another_file_format_is_told_with_what_prepares_array_records(copy):
    info = copy / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    told = refusal("tfds:tiny_shapes")
    assert f"prepared as tfrecord in {copy}" in told and "file_format='array_record'" in told


def test_a_set_without_pictures_says_what_it_has(copy):
    file = copy / "features.json"
    features = json.loads(file.read_text())
    del features["featuresDict"]["features"]["image"]
    file.write_text(json.dumps(features))
    assert "no pictures; its features are id, label" in refusal("tfds:tiny_shapes")


def test_of_several_pictures_in_a_record_the_same_one_is_read_each_time(copy):
    file = copy / "features.json"
    features = json.loads(file.read_text())["featuresDict"]["features"]
    for name in "bcdefa":
        features[name] = features["image"]
    del features["image"]
    file.write_text(json.dumps({**json.loads(file.read_text()), "featuresDict": {"features": features}}))
    assert {find_source("tfds:tiny_shapes")._image for _ in range(10)} == {"a"}


def test_a_set_without_classes_has_no_labels(copy):
    file = copy / "features.json"
    features = json.loads(file.read_text())
    del features["featuresDict"]["features"]["label"]
    file.write_text(json.dumps(features))
    found = load_tokens("tfds:tiny_shapes", CONFIG)
    assert found.classes == () and len(found) == 48 and (found.labels == -1).all()


@pytest.mark.parametrize("fault", ["cut", "gone", "not json"])
def test_damaged_sets_are_told_in_one_line(copy, fault):
    (shard,) = copy.glob("*-train.*")
    if fault == "cut":
        shard.write_bytes(shard.read_bytes()[:1000])
    elif fault == "gone":
        shard.unlink()
    else:
        (copy / "dataset_info.json").write_text("{")
    refusal("tfds:tiny_shapes")


@pytest.mark.parametrize("missing", ["tensorflow_datasets", "array_record"])
def test_a_missing_extra_is_told_with_its_pip_command(monkeypatch, missing):
    monkeypatch.setattr(tfds_source, "find_spec", lambda name: None if name == missing else object())
    assert "pip install '.[tfds]'" in refusal("tfds:tiny_shapes")


def test_training_on_a_set_runs_end_to_end_and_goes_on(tmp_path, without_tensorflow):
    command = [sys.executable, "-m", "pixace.cli.main", "train", "--model_name=m", f"--weights_dir={tmp_path}"]
    options = ["--image_size=8", "--bitdepth=2,2,2", "--d_model=16", "--n_layers=1", "--n_heads=2", "--batch_size=4"]
    sets = ["--images=tfds:tiny_shapes", "--val_images=tfds:tiny_shapes/test"]
    for steps in (2, 4):
        done = subprocess.run(
            [*command, *options, *sets, f"--n_steps={steps}", "--n_samples=0"],
            env=without_tensorflow,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "m" / "config.json").read_text())["training"]
    assert (saved["images"], saved["val_images"]) == ("tfds:tiny_shapes", "tfds:tiny_shapes/test")
    steps = [json.loads(line)["step"] for line in (tmp_path / "m" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 4
    done = subprocess.run([*command, "--images=tfds:nope"], env=without_tensorflow, capture_output=True, text=True)
    assert done.returncode == 2 and "--images=tfds:tiny_shapes" in done.stderr
    command[-2] = "--model_name=other"
    done = subprocess.run([*command, "--images=tfds:nope"], env=without_tensorflow, capture_output=True, text=True)
    assert done.returncode == 1 and "tfds:nope" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "other").exists()


def test_the_script_draws_the_set_that_is_there_record_by_record(tmp_path, monkeypatch):
    script = Path(__file__).parent / "make_tfds_set.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True)
    for name in ("train", "test"):
        records = []
        for home in (SETS, tmp_path):
            monkeypatch.setenv("TFDS_DATA_DIR", str(home))
            pictures = find_source(f"tfds:tiny_shapes/{name}").pictures()
            records.append([(p.name, p.label, pixels(p.content).tolist()) for p in pictures])
        assert records[0] == records[1]
