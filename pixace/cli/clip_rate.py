"""`pixace clip rate`"""

import sys
from collections.abc import Callable, Mapping, Sequence

from pixace import devices
from pixace.cli.flags import FlagSet
from pixace.cli.outputs import check_writable
from pixace.cli.short_flags import no_flag, spelt_out
from pixace.errors import ConfigError, PixaceError, naming
from pixace.folders import expanded

ABOUT = (
    "How well pictures agree with texts and with other pictures, in the eyes of a CLIP: a table of 100 times the "
    "cosine of the angle between their vectors, rows the pictures, then each column's statistics. -t and -i, -tf and "
    "-if take all the words up to the next flag."
)
# The source's short flags; those of `SEVERAL` take words up to the next flag.
SHORT = {"-t": "text", "-tf": "text_file", "-i": "image", "-if": "image_file", "-d": "device", "-m": "model"}
SHORT |= {"-s": "sort", "-o": "output", "-c": "cache"}
SEVERAL: Mapping[str, Callable[[str], bool]] = dict.fromkeys(("text", "text_file", "image", "image_file"), no_flag)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace clip rate IMAGES... -t TEXT... [--flags]", ABOUT)
    flags.add("text", None, list[str], "texts to compare with; may repeat")
    flags.add("text_file", None, list[str], "files of texts, one a line; may repeat")
    flags.add("image", None, list[str], "pictures to compare with, files or http(s) addresses; may repeat")
    flags.add("image_file", None, list[str], "files that name pictures to compare with, one a line; may repeat")
    flags.add("model", "clip-vit-b32", str, "a CLIP of `pixace download`, or a folder or file of weights")
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", choices=devices.DEVICES)
    flags.add("sort", 0, int, "column to sort by, counted from 1, falling if negative; 0: by the pictures' names")
    flags.add("output", None, str | None, "also the table with whole names, as CSV in this file")
    flags.add("sheet", None, str | None, "also a contact sheet in this file: each picture with what agrees best")
    flags.add("cache", False, bool, "keep the pictures' vectors, so that the next time they need not be computed")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Rate pictures; returns the exit code."""
    flags = make_flags()
    given, pictures = flags.parse(spelt_out(arguments, SHORT, SEVERAL, ("cache",)), positional=True)
    options = flags.options(given)
    texts = [*(options["text"] or []), *_lines(options["text_file"] or [])]
    references = [*(options["image"] or []), *_lines(options["image_file"] or [])]
    if not pictures:
        raise ConfigError("which pictures? pixace clip rate IMAGES... -t TEXT... takes files and http(s) addresses")
    if not texts and not references:
        raise ConfigError("compared with what? give texts (-t, -tf) or pictures (-i, -if)")
    if options["sheet"]:
        from pixace.sheets import check_format

        check_format(options["sheet"])
    for name in ("output", "sheet"):
        if options[name]:
            check_writable(expanded(options[name]))
    devices.prepare(options["device"])
    import jax

    from pixace.clip.rating import rate
    from pixace.clip.rating_table import as_csv, check_column, contact_sheet, order, table
    from pixace.clip.weights import load_clip
    from pixace.progress import Bar
    from pixace.sheets import save_picture

    check_column(options["sort"], len(texts) + len(references))
    found = devices.find_devices(options["device"])
    with jax.default_device(found[0]):
        clip = load_clip(options["model"])
        print(devices.describe(found[:1]), file=sys.stderr)
        with Bar("rating") as bar:
            rating = rate(clip, pictures, texts, references, cached=options["cache"], progress=bar)
    for name, why in rating.skipped:
        print(f"skipped {naming(name, why)}", file=sys.stderr)
    rows = order(rating, options["sort"])
    print(table(rating, rows))
    if options["output"]:
        _write(options["output"], as_csv(rating, rows))
    if options["sheet"]:
        save_picture(contact_sheet(rating, rows), options["sheet"])
    return 0


def _lines(files: Sequence[str]) -> list[str]:
    """The lines of text files that hold something."""
    found = []
    for file in files:
        try:
            found += [line.strip() for line in expanded(file).read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise PixaceError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    return found


def _write(path: str, text: str) -> None:
    from pixace.folders import write_atomically

    write_atomically(expanded(path), lambda beside: beside.write_text(text, "utf-8"))
