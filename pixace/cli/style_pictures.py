"""Pictures as they are named on the command lines of style transfer."""

from collections.abc import Sequence

from pixace.folders import expanded


def picture_list(values: Sequence[str] | None) -> list[str]:
    """The pictures of a flag that may repeat, with commas between: a file whose own name has commas is one picture.

    >>> picture_list(["a.png,b.png", "c.png"])
    ['a.png', 'b.png', 'c.png']
    """
    found: list[str] = []
    for value in values or []:
        parts = value.split(",")
        while parts:
            whole = (count for count in range(len(parts), 1, -1) if _is_file(",".join(parts[:count])))
            count = next(whole, 1)
            found.append(",".join(parts[:count]).strip())
            parts = parts[count:]
    return [picture for picture in found if picture]


def _is_file(name: str) -> bool:
    try:
        return expanded(name.strip()).is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False
