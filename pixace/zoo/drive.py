"""Files on Google Drive, through gdown, an extra."""

import errno
from pathlib import Path

from pixace.errors import PixaceError
from pixace.progress import Progress

TIMEOUT_S = 60.0  # of one wait
RETRIES = 3
INSTALL = "pip install '.[gdown]'"


def download_from_drive(file_id: str, path: Path, progress: Progress) -> None:
    """Download a public file to `path`; after a cut the rest of it.

    Raises:
        PixaceError: gdown is not installed, Drive does not hand the file out, or the disk or the network fails.
    """
    address = f"https://drive.google.com/uc?id={file_id}"
    try:
        import gdown  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError:
        raise PixaceError(f"{address} is on Google Drive, which needs gdown: {INSTALL}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        gdown.download(
            id=file_id,
            output=str(path),
            quiet=True,
            use_cookies=False,
            resume=True,
            retries=RETRIES,
            timeout=TIMEOUT_S,
            progress=lambda done, total: progress(done, total or 0),
        )
    except gdown.FileURLRetrievalError as error:
        text = " ".join(str(error).split())
        if "quota" in text.lower() or "too many users" in text.lower() or "many accesses" in text.lower():
            raise PixaceError(
                f"{address}: Google Drive does not hand the file out; its quota for today may be used up, so try again "
                "in a day, or fetch it in a browser and give it to `pixace import --checkpoint=FILE`"
            ) from error
        raise PixaceError(f"{address}: Google Drive does not hand the file out: {text[:200]}") from error
    except gdown.DownloadError as error:
        if isinstance(error.__cause__, OSError):  # requests' errors are among them
            raise _broken(error.__cause__, address, path) from error
        raise PixaceError(f"{address} could not be fetched: {' '.join(str(error).split())[:200]}; try again") from error
    except OSError as error:
        raise _broken(error, address, path) from error


def _broken(error: OSError, address: str, path: Path) -> PixaceError:
    if error.errno == errno.ENOSPC:
        return PixaceError(f"cannot write {path}: the disk is full; make room")
    return PixaceError(f"{address} could not be fetched ({type(error).__name__}); check the network connection")
