"""A folder of pictures as one uint16 memory map of tokens, and the batch of each step.

Pictures are tokenised once; the result lies in the cache folder under a name made from the pictures'
paths, sizes and dates and from the tokenizer's configuration. Which pictures a step sees is a pure
function of the seed and the step, so that going on after an interruption needs nothing but the step.

Legend: N pictures, B batch, T tokens a picture.
"""

import dataclasses
import hashlib
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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

CHUNK = 16  # pictures a thread takes at a time
CACHE_VERSION = 2  # to be raised when the same files give other tokens, or the same tokens in another order


@dataclass(frozen=True)
class TokenSet:
    """Tokens (N, T) uint16, perhaps a memory map, what was left out: (file, reason), and the file of each row."""

    tokens: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)


def load_folder(
    folder: str | os.PathLike,
    config: TokenizerConfig,
    *,
    without: str | os.PathLike | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> TokenSet:
    """The tokens of all pictures below a folder, from the cache if nothing changed, as a memory map.

    The pictures lie in an order made from their names, which looks random, so that any part of them is a fair
    sample. Files that cannot be read are left out and listed in `skipped`. Processes that do this at the same
    time do the work twice but do not harm one another.

    Args:
        folder: pictures in it and in folders below it are found, as by `find_pictures`.
        config: how a picture becomes tokens.
        without: a folder inside it whose pictures are left out, such as those to validate with.
        cache: folder of the caches (default: `tokens` in pixace's cache folder).
        progress: gets the number of files that are done.

    Raises:
        PixaceError: if the folder is missing, holds no picture that can be read, or the cache cannot be written.
    """
    root = Path(folder).expanduser()
    files = find_pictures(root)
    if without is not None:
        kept_out = Path(without).expanduser().resolve()
        files = [file for file in files if kept_out not in file.resolve().parents]
        if not files:
            raise PixaceError(f"all pictures in {folder} lie in {without}, which is left out")
    names = [str(file.relative_to(root)) for file in files]
    names.sort(key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    base = (cache or cache_folder() / "tokens") / _digest(root, names, config)
    tokens_file, header_file = base.with_suffix(".npy"), base.with_suffix(".json")
    cached = _read(tokens_file, header_file)
    if cached is None:
        _tokenise(root, names, config, tokens_file, header_file, progress)
        cached = _read(tokens_file, header_file)
    if cached is None:
        raise PixaceError(f"{tokens_file} was damaged while it was written; is another program working there?")
    left_out = {name for name, _ in cached.skipped}
    return replace(cached, files=tuple(str(root / name) for name in names if name not in left_out))


def _digest(root: Path, names: list[str], config: TokenizerConfig) -> str:
    """What the name of a cache is made from: all that the tokens hang on, short of reading the pictures."""
    settings = [CACHE_VERSION, PIL.__version__, dataclasses.asdict(config)]
    digest = hashlib.sha256(json.dumps(settings).encode() + b"\n" + os.fsencode(root.resolve()))
    for name in names:
        try:
            status = (root / name).stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # it has just gone; reading it will say so
            state = "missing"
        digest.update(b"\0" + os.fsencode(name) + b"\0" + state.encode())
    return digest.hexdigest()[:32]


def _read(tokens_file: Path, header_file: Path) -> TokenSet | None:
    """A cache, or None if it is not there or not whole."""
    try:
        header = json.loads(header_file.read_text())
        tokens = np.load(tokens_file, mmap_mode="r")
        return TokenSet(tokens, tuple((name, why) for name, why in header["skipped"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tokenise(
    root: Path, names: list[str], config: TokenizerConfig, tokens_file: Path, header_file: Path, progress: Progress
) -> None:
    """Fill a cache: first the tokens, then the header, each in one step, so that a header means a whole cache."""
    tokenizer, skipped = Tokenizer(config), []

    def work(start: int) -> tuple[np.ndarray, list[tuple[str, str]]]:
        pictures, bad = [], []
        for name in names[start : start + CHUNK]:
            try:
                pictures.append(tokenizer.read(root / name))
            except PixaceError as error:
                bad.append((name, str(error)))
        if not pictures:
            return np.empty((0, config.n_tokens), np.uint16), bad
        return tokenizer.encode_rgb(np.stack(pictures)).reshape(len(pictures), -1), bad

    def write(path: Path) -> None:
        done = 0
        # Pillow and NumPy let go of the interpreter lock, so threads share the work.
        with open(path, "wb") as out, ThreadPoolExecutor(os.cpu_count()) as threads:
            out.write(_npy_header(0, config.n_tokens))
            for i, (tokens, bad) in enumerate(threads.map(work, range(0, len(names), CHUNK))):
                out.write(tokens.astype("<u2", copy=False).tobytes())
                done += len(tokens)
                skipped.extend(bad)
                progress(min((i + 1) * CHUNK, len(names)), len(names), f"{len(skipped)} skipped" if skipped else "")
            out.seek(0)
            out.write(_npy_header(done, config.n_tokens))
        skipped.sort()
        if not done:
            raise PixaceError(f"none of the {len(names)} pictures in {root} could be read; the first: {skipped[0][1]}")

    write_atomically(tokens_file, write)
    header = {"folder": str(root), "tokenizer": dataclasses.asdict(config), "skipped": skipped}
    write_atomically(header_file, lambda path: path.write_text(json.dumps(header, indent=1)))


def _npy_header(rows: int, columns: int) -> bytes:
    """The head of a .npy file of uint16 (rows, columns), of one length for every number of rows."""
    text = f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def split(tokens: TokenSet, fraction: float) -> tuple[TokenSet, TokenSet]:
    """Hold out a share of the pictures: (training, validation); nothing is copied.

    Validation gets the front of the order that `load_folder` made from the names: the same pictures each time,
    and mostly the same ones when some pictures are added.

    Raises:
        PixaceError: if one of the two sides would be empty.
    """
    count = round(len(tokens) * fraction)
    if not 0 < count < len(tokens):
        raise PixaceError(f"--val_fraction={fraction} of {len(tokens)} pictures leaves one side empty")
    return (
        TokenSet(tokens.tokens[count:], tokens.skipped, tokens.files[count:]),
        TokenSet(tokens.tokens[:count], files=tokens.files[:count]),
    )


def batch_at(
    tokens: np.ndarray, step: int, *, batch_size: int, seed: int, flip: bool = False, width: int | None = None
) -> np.ndarray:
    """The batch of a step (0, 1, ...): uint16 (B, T), a pure function of its arguments.

    Every picture of `tokens` (N, T) comes once an epoch, in a new order each epoch; batches go on over the end
    of an epoch, so that their size changes nothing in the order of pictures. With `flip`, half of the pictures
    are mirrored left to right; `width` is the number of pixels in a row (default: of a square picture).
    """
    place, stop = step * batch_size, (step + 1) * batch_size
    rows, mirrored = [], []
    while place < stop:
        epoch, within = divmod(place, len(tokens))
        part = slice(within, within + stop - place)
        order, sides = _epoch(len(tokens), seed, epoch)
        rows.append(order[part])
        mirrored.append(sides[part])
        place += len(rows[-1])
    batch = np.asarray(tokens[np.concatenate(rows)])
    if flip:
        chosen = np.concatenate(mirrored)
        pictures = batch.reshape(batch_size, -1, width or math.isqrt(batch.shape[1]))
        pictures[chosen] = pictures[chosen, :, ::-1]
    return batch


@lru_cache(maxsize=2)
def _epoch(count: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an epoch in their order, and which of them may be mirrored; both (N,)."""
    random = np.random.default_rng([seed, epoch])
    return random.permutation(count), random.random(count) < 0.5
