"""Parquet files as Hugging Face writes them: pictures and labels, several shards, and what is wrong with one."""

import io
import json

import numpy as np
import pytest
from pictures import noise
from PIL import Image
from runs import quiet_train

from pixace.config import TokenizerConfig
from pixace.dataset import load_tokens
from pixace.errors import PixaceError
from pixace.sources import parquet as parquet_source
from pixace.tokenizer import Tokenizer

pa = pytest.importorskip("pyarrow", reason="the dev extra brings pyarrow")
CONFIG = TokenizerConfig(image_size=8)
COUNT = 40
NAMES = ("cat", "dog", "fish")
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": NAMES}}


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(8, 8, seed=seed)).save(file, "PNG")
    return file.getvalue()


def write(path, contents, labels=None, features=None, column="image", **others):
    """A parquet file in small row groups; `features` are what Hugging Face notes of the columns."""
    from pyarrow import parquet

    table = pa.table({**others, column: contents, **({} if labels is None else {"label": labels})})
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=7)
    return path


def pictures(count=COUNT, start=0):
    return [{"bytes": png(start + i), "path": f"{i}.png"} for i in range(count)]


def labelled(found) -> dict[bytes, str | None]:
    names = [found.classes[label] if label >= 0 else None for label in found.labels]
    return {row.tobytes(): name for row, name in zip(np.asarray(found.tokens), names, strict=True)}


def test_pictures_and_classes_of_a_file_are_read(tmp_path):
    file = write(tmp_path / "a.parquet", pictures(), [i % 3 for i in range(COUNT)], FEATURES, text=["x"] * COUNT)
    found = load_tokens(file, CONFIG)
    assert found.classes == NAMES and found.skipped == ()
    assert labelled(found) == {Tokenizer(CONFIG).encode(png(i)).tobytes(): NAMES[i % 3] for i in range(COUNT)}


def test_plain_bytes_and_labels_without_names_are_read(tmp_path):
    found = load_tokens(
        write(tmp_path / "a.parquet", [png(i) for i in range(4)], [3, 0, 1, None], column="jpg"), CONFIG
    )
    assert found.classes == ("0", "1", "2", "3") and sorted(found.labels) == [-1, 0, 1, 3]
    found = load_tokens(write(tmp_path / "b.parquet", [png(i) for i in range(2)], ["b", "a"], column="scan"), CONFIG)
    assert found.classes == ("a", "b")
    found = load_tokens(write(tmp_path / "c.parquet", [png(i) for i in range(2)]), CONFIG)
    assert found.classes == () and (found.labels == -1).all()


def test_shards_are_read_together(tmp_path):
    for i in range(2):
        write(tmp_path / f"train-0000{i}-of-00002.parquet", pictures(5, 5 * i), [i] * 5, FEATURES)
    found = load_tokens(f"{tmp_path}/train-*.parquet", CONFIG)
    assert len(found) == 10 and sorted(found.labels) == [0] * 5 + [1] * 5
    again = load_tokens(f"{tmp_path}/train-{{00000..00001}}-of-00002.parquet", CONFIG)
    assert again.tokens.filename == found.tokens.filename


def test_rows_without_a_good_picture_are_listed(tmp_path):
    rows = [*pictures(2), {"bytes": None, "path": "/etc/passwd"}, None, {"bytes": b"hello", "path": "x.png"}]
    found = load_tokens(write(tmp_path / "a.parquet", rows), CONFIG)
    assert len(found) == 2 and [name for name, _ in found.skipped] == ["2", "3", "4"]
    assert "no picture" in found.skipped[0][1]


def test_what_is_wrong_with_a_file_is_told_in_one_line(tmp_path, monkeypatch):
    good = write(tmp_path / "good.parquet", pictures(3))
    (tmp_path / "cut.parquet").write_bytes(good.read_bytes()[:-20])
    (tmp_path / "text.parquet").write_text("hello")
    write(tmp_path / "two.parquet", [b"x"], column="left", right=[b"y"])
    write(tmp_path / "none.parquet", ["x"], column="text")
    write(tmp_path / "void.parquet", pa.array([], pa.binary()))
    told = {
        "cut": "complete?",
        "text": "complete?",
        "two": "left",
        "none": "text",
        "void": "no pictures",
        "gone": "exist",
    }
    for name, words in told.items():
        with pytest.raises(PixaceError) as caught:
            load_tokens(tmp_path / f"{name}.parquet", CONFIG)
        said = str(caught.value)
        assert f"{name}.parquet" in said and words in said and "\n" not in said
    monkeypatch.setattr(parquet_source, "find_spec", lambda name: None)
    with pytest.raises(PixaceError, match=r"good\.parquet needs pyarrow: pip install '\.\[parquet\]'"):
        load_tokens(good, CONFIG)


def test_training_on_a_parquet_file_runs(tmp_path):
    file = write(tmp_path / "a.parquet", pictures(), [0] * COUNT, FEATURES)
    quiet_train("m", tmp_path, file, val_fraction=0.25, n_steps=2)
    assert (tmp_path / "m" / "weights.safetensors").exists()


def test_what_hugging_face_notes_of_lists_and_unnamed_classes_is_passed_over(tmp_path):
    features = {"objects": [{"id": {"_type": "Value"}}], "label": {"_type": "ClassLabel", "names": None}}
    file = write(tmp_path / "a.parquet", pictures(4), labels=[0, 1, 0, 1], features=features)
    assert len(load_tokens(file, CONFIG)) == 4
