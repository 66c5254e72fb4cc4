"""`pixace predict` with bad input: one or two lines, the right exit code, and nothing damaged."""

import shutil
import struct
import threading
import time
import zlib

import jax
import pytest
from pictures import smooth
from PIL import Image
from test_cli import answer
from test_predict_command import make_model, respond_with, server

from pixace import opening
from pixace.devices import prepare
from pixace.fetching.content import fetch_bytes


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with the model `tiny`; not to be written."""
    folder = tmp_path_factory.mktemp("weights")
    make_model(folder / "tiny")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, weights):
    """A working folder with a copy of the model and a picture."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(weights, tmp_path / "model-weights")
    smooth(40, 30).save(tmp_path / "a.png")
    return tmp_path


def big_png() -> bytes:
    """A PNG whose header promises 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def fails(here, capsys):
    """Runs `pixace predict` with flags that must fail; checks what every failure must keep to, returns the message."""
    (here / "sheet.png").write_bytes(b"precious")

    def run(code: int, *flags: str) -> str:
        before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
        flags = flags if any("_name" in f or "checkpoint" in f for f in flags) else ("--model_name=tiny", *flags)
        outputs = () if any("--out=" in flag for flag in flags) else ("--out=sheet.png",)
        got, out, err = answer(capsys, "predict", *outputs, *flags)
        assert got == code, err
        assert out == "" and "Traceback" not in err and err.startswith("pixace predict: "), err
        assert len(err.splitlines()) == (2 if code == 2 else 1), err
        assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
        return err

    return run


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--bitdepth=9,9,9"], 2, ["bitdepth=9,9,9", "2,2,2"]),
        (["--bitdepth=5,4"], 2, ["bitdepth=5,4", "2,2,2"]),
        (["--bitdepth=a,b"], 2, ["bitdepth=a,b"]),
        (["--image_size=16"], 2, ["--image_size=16", "image_size=8"]),
        (["--model_type=reformer"], 2, ["model_type=reformer", "model_type=transformer"]),
        (["--model_name=nobody"], 1, ["'nobody'", "tiny"]),
        (["--model_name=tiny", "--weights_dir=nowhere"], 1, ["'tiny'", "nowhere"]),
        (["--model_name="], 2, ["--model_name=NAME"]),
        (["--checkpoint=nowhere"], 1, ["nowhere", "--checkpoint"]),
        (["--checkpoint=a.png"], 1, ["a.png", "file"]),
        (["--cut=3"], 2, ["--cut=3", "no --prompt"]),
        (["--prompt=a.png", "--cut=65"], 2, ["--cut=65", "64 pixels"]),
        (["--prompt=a.png", "--cut=9r"], 2, ["--cut=9r", "8 rows"]),
        (["--prompt=a.png", "--cut=101%"], 2, ["--cut=101%"]),
        (["--prompt=a.png", "--cut=-1"], 2, ["--cut=-1"]),
        (["--prompt=a.png", "--cut=nan%"], 2, ["--cut=nan%"]),
        (["--prompt=a.png", "--cut=half"], 2, ["--cut=half"]),
        (["--batch_size=0"], 2, ["--batch_size=0"]),
        (["--top_k=0"], 2, ["top_k=0"]),
        (["--top_p=1.5"], 2, ["top_p=1.5"]),
        (["--min_p=-0.1"], 2, ["min_p=-0.1"]),
        (["--seed=-1"], 2, ["seed=-1"]),
        (["--seed=4294967296"], 2, ["seed=4294967296"]),
        (["--scale=100000"], 2, ["--scale"]),
        (["--batch_size=4097", "--out=x.webp"], 2, [".webp", "--scale"]),
        (["--prompt=nothing.png"], 1, ["nothing.png does not exist"]),
        (["--prompt=a.png,nothing.png"], 1, ["nothing.png does not exist"]),
        (["--prompt=text.jpg"], 1, ["text.jpg is not a picture"]),
        (["--prompt=empty.png"], 1, ["empty.png is empty"]),
        (["--prompt=half.png"], 1, ["half.png"]),
        (["--prompt=big.png"], 1, ["big.png has more than", "pixels"]),
        (["--prompt=model-weights"], 1, ["model-weights is a folder"]),
        (["--prompt=ftp://x/y.png"], 1, ["ftp://x/y.png"]),
        (["--device=gpu"], 1, ["--device=gpu", "there is no gpu"]),
        (["--device=tpu"], 1, ["--device=tpu", "there is no tpu"]),
        (["--out=sheet.png/x.png"], 1, ["cannot write sheet.png/x.png"]),
        (["--out_dir=sheet.png"], 1, ["cannot write sheet.png", "file"]),
    ],
)
def test_bad_input_ends_as_a_line_and_damages_nothing(fails, here, flags, code, said):
    (here / "text.jpg").write_text("this is no picture\n" * 20)
    (here / "empty.png").write_bytes(b"")
    (here / "half.png").write_bytes((here / "a.png").read_bytes()[:300])
    (here / "big.png").write_bytes(big_png())
    message = fails(code, *flags)
    assert all(part in message for part in said), message


def test_a_prompt_that_never_comes_is_given_up(fails, monkeypatch):
    monkeypatch.setattr(opening, "fetch_bytes", lambda url, **given: fetch_bytes(url, **{**given, "timeout": 0.3}))
    over = threading.Event()
    try:
        with server(lambda handler: over.wait(10)) as address:
            started = time.monotonic()
            message = fails(1, f"--prompt={address}/slow.png")
            assert "/slow.png did not" in message and "0." in message
            assert time.monotonic() - started < 5
    finally:
        over.set()


def test_a_prompt_that_is_a_web_page_is_refused(fails):
    with server(respond_with(b"<html><body>hello</body></html>", "text/html; charset=utf-8")) as address:
        assert "is not a picture but text/html" in fails(1, f"--prompt={address}/page.png")


def test_a_prompt_that_the_server_does_not_have_is_named(fails):
    with server(lambda handler: handler.send_error(404)) as address:
        assert f"{address}/x.png: the server answered 404" in fails(1, f"--prompt={address}/x.png")


@pytest.mark.parametrize("flag", ["--out", "--animate"])
def test_an_unknown_ending_or_a_closed_folder_is_found_before_anything_is_drawn(fails, here, monkeypatch, flag):
    def forbidden(*arguments, **options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("pixace.sampling.predictor.load", forbidden)
    other = ["--out=x.png"] if flag == "--animate" else []
    assert "x.xyz" in fails(2, f"{flag}=x.xyz", *other)
    assert "/proc/x.png" in fails(1, f"{flag}=/proc/x.png", *other)
    (here / "folder.png").mkdir()
    assert "folder.png" in fails(1, f"{flag}=folder.png", *other)


def test_a_disk_that_is_full_leaves_the_old_sheet(here, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    (here / "sheet.png").write_bytes(b"precious")
    monkeypatch.setattr(Image.Image, "save", full)
    code, out, err = answer(capsys, "predict", "--model_name=tiny", "--out=sheet.png", "--batch_size=1", "--scale=10")
    assert (code, out) == (1, "") and "cannot write sheet.png: No space left on device" in err
    assert (here / "sheet.png").read_bytes() == b"precious"
    assert not [path for path in here.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "has no config.json"), ("weights.safetensors", "weights.safetensors is missing")],
)
def test_a_half_deleted_model_is_named(fails, here, missing, said):
    (here / "model-weights/tiny" / missing).unlink()
    assert said in fails(1)


def test_damaged_weights_are_named(fails, here):
    file = here / "model-weights/tiny/weights.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-100], b"", b"\xff" * 200, whole[:50]):
        file.write_bytes(damaged)
        assert "weights.safetensors is damaged" in fails(1)


def test_damaged_configuration_is_named(fails, here):
    file = here / "model-weights/tiny/config.json"
    file.write_text(file.read_text().replace('"n_layers": 1', '"n_layers": "one"'))
    assert "config.json: n_layers='one' is not of type int" in fails(2)
    file.write_text("{")
    assert "config.json is not valid JSON" in fails(2)


def test_weights_of_another_model_are_named(fails, here):
    file = here / "model-weights/tiny/config.json"
    file.write_text(file.read_text().replace('"d_ff": 64', '"d_ff": 96'))
    message = fails(1)
    assert "another model than config.json" in message and "mlp" in message and "64" in message and "96" in message


@pytest.mark.parametrize(
    "error", [RuntimeError("Unable to initialize backend 'tpu': no libtpu\nmore"), AssertionError()]
)
def test_where_jax_finds_no_device_at_all_that_is_one_line(fails, monkeypatch, error):
    def none(*arguments, **options):
        raise error

    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    monkeypatch.setattr(jax, "local_devices", none)
    message = fails(1)
    assert "no device that JAX can use while JAX_PLATFORMS=tpu is set" in message and "--device=cpu" in message


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(here, monkeypatch):
    before = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setenv("PIXACE_CACHE", str(here / "a.png"))
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        prepare("auto")
        assert jax.config.values["jax_compilation_cache_dir"] is None
        monkeypatch.setenv("PIXACE_CACHE", str(here / "cache"))
        prepare("auto")
        assert jax.config.values["jax_compilation_cache_dir"] == str(here / "cache/compiled")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
