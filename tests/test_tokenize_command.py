"""`pixace tokenize`: the table it saves, what it prints, and how it refuses bad input."""

import numpy as np
import pytest
from pictures import smooth
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from pixace.cli.main import main
from pixace.config import TokenizerConfig
from pixace.token_table import token_table
from pixace.tokenizer import Tokenizer


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "wide.png"
    smooth(96, 48).save(path)
    return path


def tokenize(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as ended:
        main(["tokenize", *map(str, arguments)])
    return ended.value.code, *capsys.readouterr()


def test_table_shows_each_picture_beside_its_copies_with_their_psnr(tmp_path, picture, capsys):
    tall, out = tmp_path / "tall.png", tmp_path / "new folder" / "table.png"
    smooth(60, 90).save(tall)
    depths = [(5, 4, 4), (4, 3, 3)]
    flags = [f"--bitdepth={','.join(map(str, bits))}" for bits in depths]
    code, printed, errors = tokenize(capsys, picture, tall, *flags, f"--out={out}", "--scale=192")
    assert (code, errors) == (0, "")
    lines = printed.splitlines()
    assert len(lines) == 5 and lines[-1] == f"saved {out}"
    for line, (path, bits) in zip(lines, [(p, b) for p in (picture, tall) for b in depths], strict=False):
        rgb, tokenizer = np.asarray(Image.open(path)), Tokenizer(TokenizerConfig(bitdepth=bits))
        quality = peak_signal_noise_ratio(rgb, tokenizer.decode_tokens(tokenizer.encode_rgb(rgb)))
        assert str(path) in line and f"hsv {','.join(map(str, bits))}: {quality:.1f} dB" in line
        assert f"({tokenizer.vocab_size} ids)" in line
    with Image.open(out) as saved:
        table = np.asarray(saved)
    assert table.shape[1] >= 3 * 192 and table.shape[0] >= 96 + 288
    band = table[20:90]  # the wide picture: its three tiles differ in their number of colours
    colours = [len(np.unique(part.reshape(-1, 3), axis=0)) for part in np.array_split(band, 3, axis=1)]
    assert colours[0] > colours[1] > colours[2]


def test_image_size_makes_squares_as_training_does(tmp_path, picture, capsys):
    out = tmp_path / "table.png"
    code, printed, _ = tokenize(
        capsys, picture, "--image_size=16", "--bitdepth=4,4,4", "--tokenizer=rgb", f"--out={out}"
    )
    rgb, tokenizer = (
        Tokenizer(TokenizerConfig(image_size=16)).read(picture),
        Tokenizer(TokenizerConfig("rgb", (4, 4, 4))),
    )
    quality = peak_signal_noise_ratio(rgb, tokenizer.decode_tokens(tokenizer.encode_rgb(rgb)))
    assert code == 0 and f"rgb 4,4,4: {quality:.1f} dB" in printed
    with Image.open(out) as table:
        assert table.height >= 256


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ([], 2, "which pictures?"),
        (["PICTURE", "--bitdepth=9,9,9"], 2, "bitdepth=9,9,9: the bits add up to 27"),
        (["PICTURE", "--bitdepth=5,4"], 2, "bitdepth=5,4: three whole numbers"),
        (["PICTURE", "--bitdepth=0,4,4"], 2, "bitdepth=0,4,4: three whole numbers"),
        (["PICTURE", "--bitdepth=many"], 2, "--bitdepth=many: whole numbers with commas"),
        (["PICTURE", "--image_size=0"], 2, "image_size=0"),
        (["PICTURE", "--scale=3"], 2, "--scale=3: at least 16"),
        (["PICTURE", "--scale=wide"], 2, "--scale=wide: a whole number"),
        (["PICTURE", "--background=nocolour"], 2, "background='nocolour'"),
        (["PICTURE", "--tokenizer=lab"], 2, "tokenizer"),
        (["PICTURE", "--colour"], 2, "colour"),
        (["PICTURE", "--out=FOLDER/table.doc"], 2, "cannot be written as .doc"),
        (["PICTURE", "FOLDER/text.jpg"], 1, "text.jpg is not a picture"),
        (["FOLDER/missing.jpg"], 1, "missing.jpg does not exist"),
        (["FOLDER"], 1, "is a folder"),
    ],
)
def test_bad_input_ends_in_one_line_without_a_table(tmp_path, picture, capsys, arguments, code, message):
    (tmp_path / "text.jpg").write_text("hello")
    table = tmp_path / "table.png"
    table.write_bytes(b"what was here before")
    words = [word.replace("PICTURE", str(picture)).replace("FOLDER", str(tmp_path)) for word in arguments]
    if not any(word.startswith("--out") for word in words):
        words.append(f"--out={table}")
    got, printed, errors = tokenize(capsys, *words)
    assert got == code and errors.startswith("pixace tokenize: ") and message in errors
    assert len(errors.splitlines()) == (2 if code == 2 else 1)  # with a bad flag, where the help is
    assert code == 1 or printed == ""  # no work before the flags are known to be good
    assert table.read_bytes() == b"what was here before"


def test_captions_fit_their_columns_however_narrow():
    tile = np.zeros((16, 16, 3), np.uint8)
    row = [(tile, "original"), (tile, "a caption that is far wider than its picture")]
    table = np.asarray(token_table([row, row], 16))
    ink = (table < 128).any(axis=(0, 2))
    assert not ink[:3].any() and not ink[-3:].any()  # nothing is cut off at the sides
    assert not (table[-3:] < 128).any()


def test_extreme_shapes_make_a_table_of_bearable_size():
    for shape in ((1, 5000, 3), (5000, 1, 3)):
        picture = np.zeros(shape, np.uint8)
        assert token_table([[(picture, "original")]], 64).height < 300
