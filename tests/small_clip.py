"""A small CLIP as a folder of the hub: random weights, and byte pairs that know a few words."""

import json
from pathlib import Path

import numpy as np
from golden.clip_weights import make_weights
from safetensors.numpy import save_file

MERGES = ["h e", "he l", "hel l", "hell o</w>", "r e", "re d</w>", "a t</w>", "c at</w>", "1 0", "' s</w>", "! !</w>"]


def letters() -> dict[int, str]:
    """The letter that stands for each byte: itself where it can be seen, or one from 256 on."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def vocabulary() -> dict[str, int]:
    known = list(letters().values())
    names = [*known, *(letter + "</w>" for letter in known), *("".join(pair.split()) for pair in MERGES)]
    return {name: i for i, name in enumerate([*names, "<|startoftext|>", "<|endoftext|>"])}


def write_pairs(folder: Path) -> Path:
    """The two files that texts need."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    return folder


def write_clip(folder: Path, seed: int = 0) -> Path:
    """The folder of a whole CLIP, whose pictures have 32x32 pixels."""
    arrays = make_weights("vit", seed)
    random = np.random.default_rng(seed)
    arrays["token_embedding.weight"] = random.standard_normal((len(vocabulary()), 64)).astype(np.float32)
    write_pairs(folder)
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, folder / "model.safetensors")
    return folder
