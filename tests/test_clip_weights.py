"""CLIPs from files: tokens as the published files say, and what is said where something is missing."""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from golden.clip_weights import LENGTH, make_weights, pictures
from safetensors.numpy import save_file
from small_clip import MERGES, letters, vocabulary, write_clip, write_pairs

from pixace.clip import weights as clip_weights
from pixace.clip.tokens import read_pairs
from pixace.clip.weights import load_clip
from pixace.errors import PixaceError
from pixace.inert_pickle import read_pickle
from pixace.weight_files.listing import list_arrays

GOLDEN = Path(__file__).parent / "golden"
TEXTS = ["Hello red cat", "hello,  hello\n\tHELLO", "the cat's 10 hats!!", "räd 日本 \U0001f600", "", "x" * 200]


def pairs_of(word):
    """The definition: of all pairs that stand side by side, the one of the best rank is joined, again and again."""
    parts = [letters()[byte] for byte in word.encode()]
    parts[-1] += "</w>"
    while True:
        sides = [f"{a} {b}" for a, b in pairwise(parts)]
        ranked = [(MERGES.index(pair), i) for i, pair in enumerate(sides) if pair in MERGES]
        if not ranked:
            return parts
        _, i = min(ranked)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@pytest.fixture
def files(tmp_path):
    return write_pairs(tmp_path)


@pytest.mark.subset
@pytest.mark.parametrize("text", [*TEXTS, "don't we'll"])
def test_tokens_are_those_of_the_definition(files, text):
    found = read_pairs(files / "vocab.json", files / "merges.txt", 40)([text, "cat"])
    words = re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+|_+", text.lower())
    ids = [vocabulary()[part] for word in words for part in pairs_of(word)][:38]
    start, end = (vocabulary()[name] for name in ("<|startoftext|>", "<|endoftext|>"))
    expected = np.zeros(40, int)
    expected[: len(ids) + 2] = [start, *ids, end]
    np.testing.assert_array_equal(found[0], expected)
    assert found.dtype == np.int32 and found[1, 3] == 0


def test_damaged_files_of_pairs_are_an_error(files):
    (files / "vocab.json").write_text("{")
    with pytest.raises(PixaceError, match="cannot be read as byte pairs"):
        read_pairs(files / "vocab.json", files / "merges.txt", 9)
    (files / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (files / "merges.txt").write_text("#version: 0.2\na b\n")
    with pytest.raises(PixaceError, match="lacks"):
        read_pairs(files / "vocab.json", files / "merges.txt", 10)


def test_a_folder_as_the_hub_has_it_reads_pictures_and_texts(files):
    write_clip(files)
    clip = load_clip(files)
    assert clip.config.activation == "quick_gelu" and clip.image_size == 32
    words, images = clip.encode_text(["red cat", "hello"]), clip.encode_image(pictures(32))
    assert words.shape == (2, 24) and images.shape == (3, 24) and clip.config.text.length == LENGTH
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, rtol=1e-5)
    assert np.abs(np.asarray(words[0] - words[1])).max() > 0.01
    for document, activation in (
        ({"text_config": {"hidden_act": "gelu"}}, "gelu"),
        ({"model_cfg": {"embed_dim": 24}}, "gelu"),
        ({"model_cfg": {"quick_gelu": True}}, "quick_gelu"),
        ({}, "quick_gelu"),
    ):
        (files / "config.json").write_text(json.dumps(document))
        assert load_clip(files / "model.safetensors").config.activation == activation


def test_what_is_missing_is_said_with_the_download(files, monkeypatch, tmp_path):
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path / "none"))
    with pytest.raises(PixaceError, match="`pixace download clip-vit-b32` fetches the weights"):
        load_clip(offline=True)
    with pytest.raises(PixaceError, match=r"there is no CLIP .*nowhere; to download: clip-vit-b32"):
        load_clip("nowhere")
    with pytest.raises(PixaceError, match=r"has none of model\.safetensors"):
        load_clip(files)
    save_file({name: np.ascontiguousarray(v) for name, v in make_weights("vit").items()}, files / "model.safetensors")
    (files / "merges.txt").unlink()
    with pytest.raises(PixaceError, match=r"merges.txt is missing.*pixace download"):
        load_clip(files).encode_text(["red"])
    (files / "model.safetensors").write_bytes(b"PK not a zip")
    with pytest.raises(PixaceError, match="cannot be read as weights"):
        load_clip(files)


def test_the_names_to_download_are_in_the_index():
    from pixace.zoo.index import find_entry

    for name in clip_weights.NAMES:
        assert find_entry(name).kind == "network"


def test_a_network_of_torch_script_is_read_as_its_state_dictionary():
    """As OpenAI publishes its CLIPs."""
    found = list_arrays(GOLDEN / "torch_script.pt")
    with np.load(GOLDEN / "torch_script.npz") as wanted:
        assert found.keys() == set(wanted.files)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name].read(), array, err_msg=name)
            assert found[name].read().dtype == array.dtype


def test_classes_of_torch_script_may_be_named_in_archives_of_torch_alone():
    with pytest.raises(PixaceError, match="nothing in it was run"):
        read_pickle(b"c__torch__.a\nB\n.")
