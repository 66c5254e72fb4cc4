"""Draws `tiny_shapes`, the small TensorFlow Datasets set that the tests read, and prepares it as array_record files.

Needs TensorFlow, which reading does not; with the environment that scripts/test-trax makes:

    .venv-trax/bin/python tests/make_tfds_set.py tests/tfds
"""

import io
import sys

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

CLASSES = ("cross", "disc", "stripes")
COUNTS = {"train": 48, "test": 16}


def draw(split: str, index: int) -> tuple[np.ndarray, str]:
    """A picture of 8 to 16 pixels an edge, uint8 (h, w, 3), and its class."""
    random = np.random.default_rng([len(split), index])
    name = CLASSES[index % len(CLASSES)]
    height, width = random.integers(8, 17, 2)
    y, x = np.mgrid[:height, :width]
    y, x = y - height // 2, x - width // 2
    shape = {"cross": (abs(x) < 2) | (abs(y) < 2), "disc": x * x + y * y < 16, "stripes": (x + y) % 4 < 2}[name]
    paper, ink = random.integers(0, 256, (2, 3), np.uint8)
    return np.where(shape[..., None], ink, paper), name


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """48 pictures to train on and 16 to test with, of three classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return tfds.core.DatasetInfo(
            builder=self, description="Crosses, discs and stripes.", features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        for index in range(COUNTS[split]):
            picture, name = draw(split, index)
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG")
            file.seek(0)
            yield index, {"id": f"{split}-{index:02d}", "image": file, "label": name}


def make(folder: str) -> None:
    """Prepare the set in a folder of sets, as array_record files."""
    builder = TinyShapes(data_dir=folder, file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))


if __name__ == "__main__":
    make(sys.argv[1])
