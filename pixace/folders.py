"""Where things lie on disk, and writing there without ever leaving half a file."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pixace.errors import PixaceError

ENDINGS = {"safetensors": ".safetensors", "trax": ".pkl.gz"}  # of the files that hold a whole model

EMBEDDED = Path(__file__).resolve().parent / "zoo" / "models"  # folders of the models that are part of the package
DEFAULT_MODEL = "emoji"
STAGING = ".pixace-"  # begins the names of what is not whole yet
LEFT_BEHIND_S = 24 * 3600.0


def expanded(path: str | os.PathLike) -> Path:
    """A path with ~ and ~name as the shell has them; what stands for no home stays as it is."""
    return Path(os.path.expanduser(path))


def cache_folder() -> Path:
    """`$PIXACE_CACHE`, else `$XDG_CACHE_HOME/pixace`, else `~/.cache/pixace`."""
    if named := os.environ.get("PIXACE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixace"


def model_folder(name_or_path: str | os.PathLike, weights_dir: str | os.PathLike = "model-weights") -> Path:
    """The folder of a model: WEIGHTS_DIR/NAME, else the path itself, else the one in the package: the first there is.

    Raises:
        PixaceError: if none is a model; names the places and the models that are there.
    """
    inside, itself = Path(weights_dir) / name_or_path, Path(name_or_path)
    for folder in (inside, itself, *(f for f in EMBEDDED.glob("*") if f.name == str(name_or_path))):
        if (folder / "config.json").is_file():
            return folder
    if itself.is_file():
        raise PixaceError(
            f"{itself} is no file of a model; one is a folder with config.json and weights.safetensors, "
            "a .safetensors of `pixace export`, or model.pkl.gz of Trax"
        )
    for folder in (inside, itself):
        if folder.is_dir():
            raise PixaceError(f"{folder} has no config.json, so it is not a whole model; train or copy it again")
    there = sorted(p.parent.name for p in Path(weights_dir).glob("*/config.json"))
    known = f"models in {weights_dir}: {', '.join(there)}" if there else f"there is no model in {weights_dir}"
    raise PixaceError(f"no model {str(name_or_path)!r} ({known})")


def embedded_model(name: str = DEFAULT_MODEL) -> Path:
    """The folder of a model that is part of the package; raises `PixaceError` if this installation lacks it."""
    folder = EMBEDDED / name
    if not (folder / "config.json").is_file():
        raise PixaceError(f"there is no {folder}: this installation of pixace is not whole; install it again")
    return folder


def name_of_model(path: Path | None) -> str:
    """What files say of the model that they came from: its path, but not where pixace is installed."""
    return f"{path.name} of pixace" if path is not None and EMBEDDED in path.resolve().parents else str(path)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then give it that name in one step; makes parent folders.

    Whatever `write` raises, what stood at `path` is untouched and the temporary file is gone.

    Raises:
        PixaceError: if the folder cannot be written or the disk is full; other errors of `write` pass through.
    """
    temporary = path.with_name(f"{STAGING}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)  # with the rights that the umask leaves, unlike a file of `tempfile`
    except OSError as error:
        raise PixaceError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise PixaceError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # it must not hide why the writing failed
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, to fill before `name_folder`; gone afterwards otherwise.

    Makes the parent folder where it is missing, and removes what a process that was killed left there long ago.

    Raises:
        PixaceError: if it cannot be made; and one raised within that names it names `folder` instead.
    """
    parent = folder.absolute().parent
    existed, staging = parent.exists(), parent / f"{STAGING}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise PixaceError(f"cannot write {folder}: {error.strerror or error}") from None
    _remove_left_behind(parent)
    try:
        yield staging
    except PixaceError as error:
        if str(staging) not in str(error):
            raise
        raise PixaceError(str(error).replace(str(staging), str(folder))) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not existed:
            with contextlib.suppress(OSError):  # there is something in it
                parent.rmdir()


def _remove_left_behind(parent: Path) -> None:
    """Remove staging folders that nothing has been written to for so long that no process can be at them."""
    for old in parent.glob(f"{STAGING}*"):
        with contextlib.suppress(OSError):
            if old.is_dir() and time.time() - old.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(old, ignore_errors=True)


def name_folder(staging: Path, folder: Path) -> None:
    """Give a filled folder its name in one step.

    Raises:
        PixaceError: if there is something of that name, an empty folder apart, or it cannot be written.
    """
    try:
        if folder.is_dir():
            folder.rmdir()
        staging.rename(folder)
    except OSError as error:
        raise PixaceError(f"cannot write {folder}: {error.strerror or error}") from None
