"""The classes of pictures: found in the names of folders, kept in the cache, in step with the tokens everywhere."""

import numpy as np
import pytest
from pictures import noise
from PIL import Image

from pixace.config import TokenizerConfig, TrainConfig
from pixace.dataset import TokenSet, batch_at, load_tokens, split
from pixace.sources.source import folder_classes, number_classes
from pixace.tokenizer import Tokenizer
from pixace.training.pictures import load_pictures

CONFIG = TokenizerConfig(image_size=4)


@pytest.fixture
def folder(tmp_path):
    """Thirty pictures whose first pixel says their class."""
    return make(tmp_path / "pictures", "abc", 10)


def make(folder, classes, count):
    for i, name in enumerate(classes):
        (folder / name / "deep").mkdir(parents=True)
        for j in range(count):
            picture = noise(4, 4, seed=1000 * ord(name) + j)
            picture[0, 0] = (255, 0, 0) if name == "a" else (0, 255, 0) if name == "b" else (0, 0, 255)
            Image.fromarray(picture).save(folder / name / "deep" / f"{j}.png")
    return folder


def truth(tokens) -> list[str]:
    """The class of each row by its first pixel."""
    colours = Tokenizer(CONFIG).encode_rgb(np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255]]))
    return ["abc"[int(np.flatnonzero(colours == row[0])[0])] for row in np.asarray(tokens)]


def told(tokens: TokenSet) -> list[str]:
    return [tokens.classes[label] for label in tokens.labels]


@pytest.mark.subset
def test_folders_give_classes_also_from_the_cache_and_beside_bad_files(folder, tmp_path):
    (folder / "b" / "bad.png").write_text("hello")
    for _ in range(2):
        found = load_tokens(folder, CONFIG, cache=tmp_path / "cache")
        assert found.classes == ("a", "b", "c") and found.labels.dtype == np.int32
        assert len(found.skipped) == 1 and told(found) == truth(found.tokens)


def test_split_and_batches_keep_labels_and_tokens_together(folder):
    found = load_tokens(folder, CONFIG)
    for part in split(found, 0.3):
        assert part.classes == found.classes and told(part) == truth(part.tokens)
    for step in range(20):
        tokens = batch_at(found.tokens, step, batch_size=7, seed=3, flip=False)
        labels = batch_at(found.labels, step, batch_size=7, seed=3)
        assert [found.classes[label] for label in labels] == truth(tokens)


def test_validation_pictures_get_the_numbers_of_the_training_classes(folder, tmp_path):
    val = make(tmp_path / "val", "cb", 3)
    config = TrainConfig(images=str(folder), val_images=str(val))
    train_set, val_set = load_pictures(config, CONFIG, tmp_path / "log", lambda line: None)
    assert train_set.classes == val_set.classes == ("a", "b", "c")
    assert told(val_set) == truth(val_set.tokens)
    assert (val_set.with_classes(["a", "c"]).labels == [1 if c == "c" else -1 for c in truth(val_set.tokens)]).all()
    assert (val_set.with_classes([]).labels == -1).all()


def test_the_class_is_the_first_folder_if_all_pictures_lie_in_folders():
    assert folder_classes(["a/x.png", "b/c/x.png"]) == ["a", "b"]
    assert folder_classes(["a/x.png", "x.png"]) == [None, None]
    assert folder_classes(["x.png"]) == [None]
    assert folder_classes(["a/x.png", "a/y.png"]) == ["a", "a"]
    assert folder_classes(["all/a/x.png", "all/b/x.png"]) == ["a", "b"]
    assert folder_classes(["all/a/x.png", "all/x.png"]) == ["all", "all"]
    assert folder_classes([]) == []


def test_classes_are_numbered_in_a_way_that_lasts():
    labels, classes = number_classes(["b", None, "a", "b"])
    assert labels.tolist() == [1, -1, 0, 1] and classes == ("a", "b")
    labels, classes = number_classes(["2", "0", "10"] + ["0"] * 10)  # whole numbers stay what they are
    assert labels.tolist()[:3] == [2, 0, 10] and len(classes) == 11 and classes[10] == "10"
    labels, classes = number_classes(["5", "1000000"])  # but not at any price
    assert labels.tolist() == [1, 0] and classes == ("1000000", "5")
    labels, classes = number_classes(["c", "x"], known=("a", "b", "c"))
    assert labels.tolist() == [2, -1] and classes == ("a", "b", "c")
    assert number_classes([None, None])[1] == ()


def test_a_set_made_by_hand_has_no_labels():
    tokens = TokenSet(np.zeros((3, 4), np.uint16))
    assert tokens.labels.tolist() == [-1, -1, -1] and tokens.classes == ()
