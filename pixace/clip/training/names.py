"""The names of pictures: from a table, or from the names of their files."""

import re
import unicodedata
from pathlib import PurePosixPath

from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.sources.archive_files import ENDINGS, entries, in_one_line
from pixace.zoo.emoji import JOINER, VARIATION_SELECTOR

TABLE = "names.tsv"
_EMOJI = re.compile(r"emoji_u([0-9a-f]+(?:_[0-9a-f]+)*)")
_TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
_SIGNS = {f"{0x1F3FB + i:x}": f"{tone} skin tone" for i, tone in enumerate(_TONES)}
_SIGNS |= {"2640": "woman", "2642": "man", JOINER: "", VARIATION_SELECTOR: ""}


def read_names(images: str, table: str | None) -> dict[str, str]:
    """Names by file, of a table, or of `names.tsv` in the folder or archive of the pictures; else {}.

    Args:
        images: the pictures.
        table: tab-separated lines of a file and its name; a first line that begins with "file" is a heading, and
            pictures with an empty name are left out.

    Raises:
        PixaceError: the table cannot be read, or a line of it has no tab.
    """
    path = expanded(images if table is None else table)
    if table is None and path.is_dir():
        path /= TABLE
        if not path.is_file():
            return {}
    try:
        if table is None and str(images).lower().endswith(ENDINGS):
            with in_one_line(path):
                inside = (entry for entry in entries(path) if PurePosixPath(entry.name).name == TABLE)
                text = next((entry.read().decode("utf8") for entry in inside), "")
        elif path.is_file() or table is not None:
            text = path.read_text("utf8")
        else:
            return {}
    except (OSError, UnicodeDecodeError) as error:
        raise PixaceError(f"cannot read the names in {path}: {getattr(error, 'strerror', None) or error}") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        file, tab, name = line.partition("\t")
        if not tab:
            raise PixaceError(f"{path}, line {number}: {line[:80]!r} is no file, a tab and its name")
        if name.strip() and not (number == 1 and file.strip().lower() == "file"):
            found[PurePosixPath(file.strip()).name] = name.strip()
    return found


def name_of_file(file: str) -> str:
    """What a file is called: `red_heart_2.png` a red heart, `emoji_u1f383.png` by Unicode's names a jack-o-lantern."""
    stem = PurePosixPath(file).name.partition(".")[0]
    if emoji := _EMOJI.fullmatch(stem):
        return " ".join(filter(None, map(_unicode_name, emoji[1].split("_")))) or stem
    return " ".join(re.sub(r"[_\-\s\d]+", " ", stem).split()) or stem


def _unicode_name(code: str) -> str:
    if code in _SIGNS:
        return _SIGNS[code]
    try:
        return unicodedata.name(chr(int(code, 16)), "").lower()
    except (ValueError, OverflowError):
        return ""
