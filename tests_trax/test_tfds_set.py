"""A set of TensorFlow Datasets, prepared with TensorFlow at hand and decoded by TensorFlow, and what is read of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from pixace.opening import open_picture
from pixace.sources.finding import find_source

TESTS = Path(__file__).parents[1] / "tests"


def records(home: Path, split: str, monkeypatch) -> list[tuple[str, str | None, list]]:
    monkeypatch.setenv("TFDS_DATA_DIR", str(home))
    pictures = find_source(f"tfds:tiny_shapes/{split}").pictures()
    return [(p.name, p.label, np.asarray(open_picture(p.content)).tolist()) for p in pictures]


def test_a_set_prepared_anew_is_the_one_that_the_tests_read(tmp_path, monkeypatch):
    subprocess.run([sys.executable, TESTS / "make_tfds_set.py", tmp_path], check=True)
    for split, count in (("train", 48), ("test", 16)):
        old, new = (records(home, split, monkeypatch) for home in (TESTS / "tfds", tmp_path))
        assert len(old) == count and old == new


def test_tensorflow_decodes_the_same_pictures(trax, monkeypatch):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(TESTS / "tfds" / "tiny_shapes" / "1.0.0"))
    raw = builder.as_data_source("train", deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    for i, (_, label, picture) in enumerate(records(TESTS / "tfds", "train", monkeypatch)):
        example = tf.io.parse_single_example(raw[i], features)
        assert builder.info.features["label"].int2str(int(example["label"])) == label
        assert tf.io.decode_image(example["image"]).numpy().tolist() == picture
