"""A model as a folder for others: put on any web server or hub, `pixace download` takes and checks it."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from pixace.errors import ConfigError, PixaceError
from pixace.folders import expanded, name_folder, staging_folder
from pixace.progress import Bar
from pixace.zoo.card import Facts, card, figures_at
from pixace.zoo.manifest import MANIFEST, MODEL_FILES, PICTURE, make_manifest, read_manifest

DTYPES = ("float32", "bfloat16")
LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
COLUMNS, TILE = 3, 192  # of the sheet; pixels of a tile


def publish_model(
    name_or_path: str | os.PathLike,
    out: str | os.PathLike,
    weights_dir: str | os.PathLike | None = "model-weights",
    *,
    dtype: str = "float32",
    n_samples: int = 9,
    temperature: float = 1.0,
    seed: int = 0,
    licence: str | None = None,
    about: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write `weights.safetensors`, `config.json`, `README.md`, `sheet.png` and `manifest.json`; returns the folder.

    Nothing in them tells where on this computer the model or its pictures were.

    Args:
        name_or_path: a name in `weights_dir`, or a path.
        out: the new folder; its name is what the card calls the model.
        weights_dir: None if `name_or_path` is a path.
        dtype: number format of the weights in the file; bfloat16 halves it and rounds to three digits.
        n_samples: pictures on the sheet; 0 for no sheet.
        temperature, seed: of these pictures.
        licence: its short name (SPDX), for the card, which has it in lower case as the hub wants it.
        about: a paragraph for the card, such as what the pictures were.
        say: takes lines for people (default: printed on standard error).

    Raises:
        ConfigError: for another `dtype`, a negative `n_samples`, or a `licence` that is no short name.
        PixaceError: the model cannot be read, or `out` holds files already or cannot be written.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype={dtype} is not known; choose one of {', '.join(DTYPES)}")
    if n_samples < 0:
        raise ConfigError(f"--n_samples={n_samples}: it must not be negative")
    if licence is not None and not LICENCE.fullmatch(licence):
        raise ConfigError(f"--licence={licence!r} is not the short name of one, such as apache-2.0 or CC-BY-4.0")
    out = expanded(out)
    if out.name in ("", "..") or out.is_mount():
        raise ConfigError(f"--out={out}: the name of a new folder is needed")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PixaceError(f"{out} exists already; remove it, or choose another --out")
    import jax

    from pixace.checkpoints import save_config, save_weights
    from pixace.exchange import find_model
    from pixace.models.spec import count_parameters

    say = say or partial(print, file=sys.stderr, flush=True)
    found = find_model(name_or_path, weights_dir, say=say)
    parameters, step = found.load()
    config = replace(found.config, training=None)
    with staging_folder(out) as folder:
        save_weights(folder, jax.tree.map(lambda leaf: leaf.astype(dtype), parameters), step)
        save_config(folder, config)
        names = list(MODEL_FILES)
        if n_samples:
            _draw(folder, n_samples, temperature, seed)
            names.append(PICTURE)
        (folder / MANIFEST).write_text(make_manifest(folder, names))
        facts = Facts(
            name=out.name,
            weights=count_parameters(config.model),
            step=step,
            dtype=dtype,
            files=read_manifest(folder / MANIFEST),
            figures=figures_at(found.path, step) if found.path.is_dir() else {},
            seed=seed if n_samples else None,
            licence=licence and licence.lower(),
            about=about,
        )
        (folder / "README.md").write_text(card(found.config, facts), encoding="utf8")
        name_folder(folder, out)
    return out


def _draw(folder: Path, count: int, temperature: float, seed: int) -> None:
    """Draw the sheet with the weights as they are published."""
    from pixace.sampling.model import load
    from pixace.sheets import save_picture, sheet

    model = load(folder, None)
    with Bar("drawing") as bar:
        pictures = list(model.tokenizer.decode(model.sample(n=count, temperature=temperature, seed=seed, progress=bar)))
    rows = [pictures[i : i + COLUMNS] for i in range(0, count, COLUMNS)]
    metadata = {"seed": str(seed), "temperature": f"{temperature:g}"}
    save_picture(sheet(rows, scale=TILE), folder / PICTURE, metadata=metadata)
