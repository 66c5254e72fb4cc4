"""A folder of pictures as one uint16 memory map of tokens, and the batch of each step.

Pictures are tokenised once; the result lies in the cache folder under a name made from the pictures'
paths, sizes and dates and from the tokenizer's configuration. Which pictures a step sees is a pure
function of the seed and the step, so that going on after an interruption needs nothing but the step.

Legend: N pictures, B batch, T tokens a picture.
"""

import dataclasses
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL

from pixace.config import TokenizerConfig
from pixace.errors import PixaceError
from pixace.folders import cache_folder, write_atomically
from pixace.images import find_pictures
from pixace.progress import Progress, silent
from pixace.tokenizer import Tokenizer

CHUNK = 64  # pictures a thread takes at a time


@dataclass(frozen=True)
class TokenSet:
    """Tokens (N, T) uint16, perhaps a memory map, and what was left out: (file, reason)."""

    tokens: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)


def load_folder(
    folder: str | os.PathLike,
    config: TokenizerConfig,
    *,
    cache: Path | None = None,
    progress: Progress = silent,
) -> TokenSet:
    """The tokens of all pictures below a folder, from the cache if nothing changed.

    Files that cannot be read are left out and listed in `skipped`.

    Raises:
        PixaceError: if the folder is missing or holds no picture that can be read.
    """
    root = Path(folder).expanduser()
    files = find_pictures(root)
    base = (cache or cache_folder() / "tokens") / _digest(root, files, config)
    tokens_file, header_file = base.with_suffix(".npy"), base.with_suffix(".json")
    if not header_file.exists():
        _tokenise(root, files, config, tokens_file, header_file, progress)
    header = json.loads(header_file.read_text())
    return TokenSet(np.load(tokens_file, mmap_mode="r"), tuple((name, why) for name, why in header["skipped"]))


def _digest(root: Path, files: list[Path], config: TokenizerConfig) -> str:
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(config)).encode())
    digest.update(f"{PIL.__version__}\n{root.resolve()}\n".encode())
    for file in files:
        status = file.stat()
        digest.update(f"{file.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf8", "replace"))
    return digest.hexdigest()[:32]


def _tokenise(
    root: Path, files: list[Path], config: TokenizerConfig, tokens_file: Path, header_file: Path, progress: Progress
) -> None:
    tokenizer, skipped = Tokenizer(config), []

    def work(start: int) -> tuple[np.ndarray, list[tuple[str, str]]]:
        pictures, bad = [], []
        for file in files[start : start + CHUNK]:
            try:
                pictures.append(tokenizer.read(file))
            except PixaceError as error:
                bad.append((str(file.relative_to(root)), str(error)))
        if not pictures:
            return np.empty((0, config.n_tokens), np.uint16), bad
        return tokenizer.encode_rgb(np.stack(pictures)).reshape(len(pictures), -1), bad

    def write(path: Path) -> None:
        done = 0
        with open(path, "wb") as out, ThreadPoolExecutor(os.cpu_count()) as threads:
            out.write(_npy_header(0, config.n_tokens))
            for i, (tokens, bad) in enumerate(threads.map(work, range(0, len(files), CHUNK))):
                out.write(tokens.tobytes())
                done += len(tokens)
                skipped.extend(bad)
                progress(min((i + 1) * CHUNK, len(files)), len(files), f"{len(skipped)} skipped" if skipped else "")
            out.seek(0)
            out.write(_npy_header(done, config.n_tokens))
        if not done:
            raise PixaceError(f"none of the {len(files)} pictures in {root} could be read; the first: {skipped[0][1]}")

    write_atomically(tokens_file, write)
    header = {"folder": str(root), "tokenizer": dataclasses.asdict(config), "skipped": skipped}
    write_atomically(header_file, lambda path: path.write_text(json.dumps(header, indent=1)))


def _npy_header(rows: int, columns: int) -> bytes:
    """The head of a .npy file of uint16 (rows, columns), of one length for every number of rows."""
    text = f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def split(tokens: TokenSet, fraction: float) -> tuple[TokenSet, TokenSet]:
    """Hold out a share of the pictures: (training, validation). The choice depends on N and share alone."""
    count = round(len(tokens) * fraction)
    if not 0 < count < len(tokens):
        raise PixaceError(f"--val_fraction={fraction} of {len(tokens)} pictures leaves one side empty")
    order = np.random.default_rng(0).permutation(len(tokens))
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    return TokenSet(tokens.tokens[kept], tokens.skipped), TokenSet(tokens.tokens[held])


def batch_at(
    tokens: np.ndarray, step: int, *, batch_size: int, seed: int, flip: bool = False, width: int | None = None
) -> np.ndarray:
    """The batch of a step (0, 1, ...): uint16 (B, T), a pure function of its arguments.

    Every picture comes once an epoch, in a new order each epoch. With `flip`, half of the pictures are
    mirrored left to right; `width` is then the number of pixels in a row.
    """
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, within = np.divmod(places, len(tokens))
    rows = np.array([_order(len(tokens), seed, int(e))[i] for e, i in zip(epochs, within, strict=True)])
    batch = np.asarray(tokens[rows])
    if flip:
        mirrored = batch.reshape(batch_size, -1, width or 1)[:, :, ::-1].reshape(batch.shape)
        chosen = np.random.default_rng([seed, step, 1]).random(batch_size) < 0.5
        batch = np.where(chosen[:, None], mirrored, batch)
    return batch


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)
