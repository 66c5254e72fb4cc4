"""Pictures in a folder and in the folders below it."""

from collections.abc import Iterator

from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.images import find_pictures
from pixace.progress import Progress
from pixace.sources.source import Picture, folder_classes, state_of


class Folder:
    """A `Source`: what `find_pictures` finds, less what lies in a folder that is left out."""

    classes = ()

    def __init__(self, text: str, without: str | None = None):
        self.text, self._root = text, expanded(text)
        files = find_pictures(self._root)
        if without is not None:
            kept_out = expanded(without).resolve()
            files = [file for file in files if kept_out not in file.resolve().parents]
            if not files:
                raise PixaceError(f"all pictures in {text} lie in {without}, which is left out")
        self._files = files

    def fingerprint(self) -> str:
        """Path, size and date of each picture."""
        states = (f"{name}\0{state_of(self._root / name)}" for name in self._names())
        return "\0".join([str(self._root.resolve()), *states])

    def count(self, progress: Progress) -> int:
        """The number of files."""
        return len(self._files)

    def pictures(self) -> Iterator[Picture]:
        """The files as paths: whoever decodes them reads them."""
        names = self._names()
        for file, name, label in zip(self._files, names, folder_classes(names), strict=True):
            yield Picture(name, file, label)

    def _names(self) -> list[str]:
        return [file.relative_to(self._root).as_posix() for file in self._files]
