"""`pixace download`: what comes is checked, kept and put where models are, and nothing else ever is."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from published import files_in, network, put, serve
from serving import Answer
from test_cli import answer
from test_export_command import make

import pixace
from pixace.checkpoints import load_config
from pixace.errors import ConfigError, PixaceError
from pixace.fetching.files import ATTEMPTS
from pixace.zoo.download import download_model, network_files
from pixace.zoo.index import File, find_entry
from pixace.zoo.manifest import MANIFEST, make_manifest

TOKENS = np.arange(2, 18)[None]
CHECKPOINTS = Path(__file__).parent / "golden" / "checkpoints"


@pytest.fixture
def model(here):
    """A model's folder, with a manifest beside its two files."""
    return with_manifest(make(here / "origin", "one", "base"))


def with_manifest(folder: Path) -> Path:
    (folder / MANIFEST).write_text(make_manifest(folder, ("config.json", "weights.safetensors")))
    return folder


# ---- models


@pytest.mark.subset
def test_a_published_folder_becomes_a_model_that_draws_the_same(server, here, model, capsys):
    url = serve(server, model, "/models/one")
    code, out, err = answer(capsys, "download", url + "/")
    assert code == 0 and out == "model in model-weights/one\n", err
    assert files_in(here / "model-weights") == {"one/config.json", "one/weights.safetensors"}
    ours, theirs = pixace.load(model), pixace.load("one")
    np.testing.assert_array_equal(ours.log_probs(TOKENS), theirs.log_probs(TOKENS))


def test_a_folder_without_manifest_and_the_address_of_its_weights_are_taken_too(server, here, model):
    (model / MANIFEST).unlink()
    url = serve(server, model, "/one")
    assert download_model(url) == Path("model-weights/one")
    again = download_model(url + "/weights.safetensors", save_as="two")
    assert load_config(again) == load_config(model)


def test_one_exported_file_is_imported(server, here, model):
    pixace.export_model(model, "whole.safetensors", weights_dir=None)
    url = server.put("/files/my%20model.safetensors", Path("whole.safetensors").read_bytes())
    folder = download_model(url, weights_dir="w")
    assert folder == Path("w/my model")
    np.testing.assert_array_equal(pixace.load(folder).log_probs(TOKENS), pixace.load(model).log_probs(TOKENS))


def test_a_second_time_and_offline_the_cache_serves(server, here, model, monkeypatch, capsys):
    url = serve(server, model, "/one")
    download_model(url)
    asked = len(server.requests)
    assert download_model(url) == Path("model-weights/one"), "the same model again is no error"
    monkeypatch.setenv("PIXACE_OFFLINE", "1")
    assert answer(capsys, "download", url, "--model_name=two")[0] == 0
    monkeypatch.delenv("PIXACE_OFFLINE")
    assert answer(capsys, "download", url, "--model_name=three", "--offline")[0] == 0
    assert len(server.requests) == asked and files_in(Path("model-weights/three")) == files_in(
        Path("model-weights/one")
    )


@pytest.mark.parametrize("how", ["--offline", "PIXACE_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_what_is_not_in_the_cache_is_an_error_in_a_line(server, here, monkeypatch, capsys, how):
    if not how.startswith("-"):
        monkeypatch.setenv(how, "1")
    code, _, err = answer(capsys, "download", "vgg19", *([how] if how.startswith("-") else []))
    assert code == 1 and len(err.splitlines()) == 1 and "vgg19 is not whole in" in err and "--offline" in err
    assert server.requests == []


def test_a_name_that_another_model_has_is_refused_and_that_model_stays(server, here, model, capsys):
    other = make(here / "model-weights", "reformer")
    before = {name: (other / name).read_bytes() for name in files_in(other)}
    code, _, err = answer(capsys, "download", serve(server, model, "/one"), "--model_name=reformer")
    assert code == 1 and "holds another model already" in err
    assert {name: (other / name).read_bytes() for name in files_in(other)} == before
    assert sorted(p.name for p in (here / "model-weights").iterdir()) == ["reformer"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda m: (m / "weights.safetensors").write_bytes(b"wrong"), "has the wrong size"),
        (lambda m: (m / "config.json").write_bytes(b"?" + (m / "config.json").read_bytes()[1:]), "not the expected"),
        (lambda m: (m / MANIFEST).write_text("{}"), "is no manifest of a model"),
        (lambda m: (m / MANIFEST).write_text("[" * 100_000), "is no manifest of a model"),
        (lambda m: (m / MANIFEST).write_text('{"format": 2, "files": []}'), "format 2 is not known"),
        (lambda m: (m / MANIFEST).unlink() or (m / "config.json").write_text("{}"), "is not a model that this version"),
        (lambda m: (m / MANIFEST).unlink() or (m / "weights.safetensors").unlink(), "answered 404"),
        (lambda m: (m / MANIFEST).unlink() or (m / "weights.safetensors").write_text("x"), "safetensors is damaged"),
    ],
)  # fmt: skip
def test_what_is_no_whole_model_leaves_nothing(server, here, model, capsys, damage, said):
    damage(model)
    code, _, err = answer(capsys, "download", serve(server, model, "/one"))
    assert code == 1 and said in err and len(err.splitlines()) == 1 and ".pixace-" not in err, err
    assert not (here / "model-weights").exists()


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "sub/x", "extra.py", "config.json"])
def test_a_manifest_cannot_name_other_files(server, here, model, name):
    raw = json.loads((model / MANIFEST).read_text())
    raw["files"].append({**raw["files"][0], "name": name})
    (model / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(PixaceError, match="is no manifest of a model: it names"):
        download_model(serve(server, model, "/one"))
    assert files_in(here / "cache" / "downloads") == {f"{find_entry(server.url + '/one').name}/{f}" for f in
                                                      ("manifest.json", "record.json", ".lock")}  # fmt: skip


# ---- the hub


@pytest.mark.parametrize("revision", ["", "@v1.0", "@refs/pr/3"])
def test_a_model_comes_from_the_hub(server, here, model, monkeypatch, capsys, revision):
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    monkeypatch.setenv("HF_TOKEN", "secret")
    commit = "c0ffee" * 6 + "c0ff"
    at = revision.removeprefix("@").replace("/", "%2F") or "main"
    put(server, f"/somebody/some.model/resolve/{at}/{MANIFEST}", (model / MANIFEST).read_bytes(), commit=commit)
    for name in ("config.json", "weights.safetensors"):  # at the commit, should the branch move on in the meantime
        put(server, f"/somebody/some.model/resolve/{commit}/{name}", (model / name).read_bytes(), linked=True)
    code, out, err = answer(capsys, "download", f"hf:somebody/some.model{revision}")
    assert code == 0 and out == "model in model-weights/some.model\n", err
    tokens = {path.startswith("/blob"): headers.get("Authorization") for path, headers in server.requests}
    assert tokens == {False: "Bearer secret", True: None}, "the token goes to the hub alone"
    record = json.loads(next(here.glob("cache/downloads/hf--*/record.json")).read_text())
    assert record["commit"] == commit and record["whole"]


def test_a_token_is_not_sent_to_other_hosts(server, here, model, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    download_model(serve(server, model, "/one"))
    assert all("Authorization" not in headers for _, headers in server.requests)


def test_a_private_repository_is_told(server, here, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.put(f"/a/b/resolve/main/{MANIFEST}", b"", always=Answer(status=401))
    code, _, err = answer(capsys, "download", "hf:a/b")
    assert code == 1 and "401" in err and "HF_TOKEN" in err


@pytest.mark.parametrize(
    "wanted", ["hf:a", "hf:a/b/c", "hf:a/b@", "hf:/b", "https://", "https://h/a?b=c", "ftp://h/a", "no-such-model"]
)
def test_what_names_no_model_is_a_wrong_argument(here, capsys, wanted):
    code, _, err = answer(capsys, "download", wanted)
    assert code == 2 and wanted in err and not (here / "model-weights").exists()


# ---- networks, and what is held to


def test_a_network_stays_in_the_cache_and_its_files_are_found_by_name(server, here, monkeypatch, capsys):
    content = {"w.safetensors": b"weights" * 1000, "vocab.json": b"{}"}
    network(monkeypatch, server, *(File(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in content.items()))
    for name, data in content.items():
        server.put(f"/net/{name}", data)
    code, out, err = answer(capsys, "download", "net")
    assert code == 0 and out == f"net in {here}/cache/downloads/net\n", err
    assert {name: path.read_bytes() for name, path in network_files("net", offline=True).items()} == content
    code, _, err = answer(capsys, "download", "net", "--model_name=x")
    assert code == 2 and "stays in the cache" in err
    with pytest.raises(ConfigError, match="model of pictures"):
        monkeypatch.undo()
        network_files("animalfaces")


def test_a_network_is_taken_from_the_hub_at_the_revision_of_the_index(server, here, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    data = b"weights" * 1000
    network(monkeypatch, server, File("w", None, hashlib.sha256(data).hexdigest()), source="hf:timm/x@abcdef")
    put(server, "/timm/x/resolve/abcdef/w", data, Answer(cut=3000), linked=True)
    assert network_files("net")["w"].read_bytes() == data
    assert server.asked("/blob/timm/x/resolve/abcdef/w")[-1]["Range"] == "bytes=3000-"


def test_what_first_came_is_held_to_until_the_new_is_accepted(server, here, monkeypatch, capsys):
    network(monkeypatch, server, File("w"))
    server.put("/net/w", b"first")
    first, second = (hashlib.sha256(text).hexdigest() for text in (b"first", b"second"))
    path = network_files("net")["w"]
    path.unlink()
    server.put("/net/w", b"second")
    code, _, err = answer(capsys, "download", "net")
    assert code == 1 and first in err and second in err and "--accept_changed" in err and len(err.splitlines()) == 1
    assert not path.exists()
    server.put("/net/w", b"first")
    assert network_files("net")["w"].read_bytes() == b"first"
    server.put("/net/w", b"second")
    assert network_files("net")["w"].read_bytes() == b"first", "what is here and right is not asked for again"
    assert answer(capsys, "download", "net", "--accept_changed")[0] == 0
    assert path.read_bytes() == b"second" and network_files("net", offline=True)["w"] == path


def test_a_changed_manifest_does_not_bring_other_weights(server, here, model):
    url = serve(server, model, "/one")
    download_model(url)
    other = with_manifest(make(here / "other", "reformer", "base"))
    serve(server, other, "/one")
    cached = here / "cache" / "downloads" / find_entry(url).name
    (cached / "weights.safetensors").unlink()
    (cached / MANIFEST).unlink()
    with pytest.raises(PixaceError, match=r"manifest\.json .* has changed"):
        download_model(url, save_as="two")
    (cached / MANIFEST).write_bytes((other / MANIFEST).read_bytes())
    with pytest.raises(PixaceError, match="has changed"):
        download_model(url, save_as="two")
    assert not Path("model-weights/two").exists()
    download_model(url, save_as="two", accept_changed=True)
    assert load_config(Path("model-weights/two")).model.model_type == "reformer"


def test_a_change_that_comes_only_in_part_leaves_what_was_here(server, here, model):
    url = serve(server, model, "/one")
    download_model(url)
    other = with_manifest(make(here / "other", "reformer", "base"))
    serve(server, other, "/one")
    server.put("/one/weights.safetensors", b"", always=Answer(status=404))
    with pytest.raises(PixaceError, match="404"):
        download_model(url, save_as="two", accept_changed=True)
    again = download_model(url, save_as="three", offline=True)
    assert load_config(again) == load_config(model)


def test_an_imported_model_is_the_same_after_libraries_changed(server, here, model):
    pixace.export_model(model, "whole.safetensors", weights_dir=None)
    url = server.put("/files/m.safetensors", Path("whole.safetensors").read_bytes())
    config = download_model(url) / "config.json"
    content = json.loads(config.read_text())
    content["versions"]["jax"] = "0.0.1"
    config.write_text(json.dumps(content))
    assert download_model(url) == config.parent
    content["model"]["n_layers"] += 1
    config.write_text(json.dumps(content))
    with pytest.raises(PixaceError, match="another model"):
        download_model(url)


def test_a_sum_of_the_index_cannot_be_overruled(server, here, monkeypatch, capsys):
    network(monkeypatch, server, File("w", None, hashlib.sha256(b"right").hexdigest()))
    server.put("/net/w", b"wrong")
    for flags in ([], ["--accept_changed"]):
        code, _, err = answer(capsys, "download", "net", *flags)
        assert code == 1 and "not the expected file" in err and "--accept_changed" not in err
    assert not (here / "cache" / "downloads" / "net" / "w").exists()


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(server, here, monkeypatch):
    network(monkeypatch, server, File("w"))
    server.put("/net/w", b"right")
    path = network_files("net")["w"]
    path.write_bytes(b"wrong")
    assert network_files("net")["w"].read_bytes() == b"right"
    path.write_bytes(b"wrong")
    with pytest.raises(PixaceError, match="offline"):
        network_files("net", offline=True)


# ---- several processes


def start(url: str, here: Path, name: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "pixace.cli.main", "download", url, f"--model_name={name}"]
    environment = os.environ | {"PYTHONPATH": str(Path(pixace.__file__).parents[1])}
    return subprocess.Popen(
        command, cwd=here, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def wait_for_part(here: Path, process: subprocess.Popen, more_than: int = 2000) -> Path:
    until = time.monotonic() + 120
    while True:
        for part in here.glob("cache/downloads/*/weights.safetensors.part"):
            if part.stat().st_size > more_than:
                return part
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


def test_two_processes_download_once_and_the_second_says_that_it_waits(server, here, model):
    (model / MANIFEST).unlink()
    url = serve(server, model, "/one")
    go_on = threading.Event()
    held = Answer(hold=go_on)
    server.put("/one/weights.safetensors", (model / "weights.safetensors").read_bytes(), held, always=held)
    first = start(url, here, "a")
    wait_for_part(here, first)
    second = start(url, here, "b")
    told = second.stderr.readline()
    go_on.set()
    assert f"another process ({first.pid}) is downloading" in told
    ends = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), ends
    assert sum("Range" not in headers for headers in server.asked("/one/weights.safetensors")) == 1
    assert files_in(here / "model-weights") == {
        f"{n}/{f}" for n in "ab" for f in ("config.json", "weights.safetensors")
    }


def test_a_killed_process_holds_nobody_up_and_the_next_goes_on_where_it_was(server, here, model):
    (model / MANIFEST).unlink()
    url = serve(server, model, "/one")
    content = (model / "weights.safetensors").read_bytes()
    server.put("/one/weights.safetensors", content, Answer(hold=server.over))
    process = start(url, here, "a")
    part = wait_for_part(here, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    come = part.stat().st_size
    assert download_model(url) == Path("model-weights/one")
    assert server.asked("/one/weights.safetensors")[-1]["Range"] == f"bytes={come}-"
    assert files_in(here / "model-weights") == {"one/config.json", "one/weights.safetensors"}


def test_sigterm_ends_it_as_ctrl_c_does(server, here, model):
    (model / MANIFEST).unlink()
    url = serve(server, model, "/one")
    server.put("/one/weights.safetensors", (model / "weights.safetensors").read_bytes(), Answer(hold=server.over))
    process = start(url, here, "a")
    wait_for_part(here, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "pixace download: interrupted" in said and "Traceback" not in said
    assert not (here / "model-weights").exists()


def test_the_list_takes_no_name(here, capsys):
    for words in (["emoji"], ["--dataset=emoji"], ["--model_name=emoji"]):
        code, out, err = answer(capsys, "download", "--list", *words)
        assert (code, out) == (2, "") and "--list shows everything" in err


def test_an_error_on_the_way_leaves_the_cache_good_and_says_how_to_go_on(server, here, model, capsys):
    (model / MANIFEST).unlink()
    url = serve(server, model, "/one")
    content = (model / "weights.safetensors").read_bytes()
    server.put("/one/weights.safetensors", content, Answer(cut=5000), *[Answer(status=500)] * ATTEMPTS)
    code, _, err = answer(capsys, "download", url)
    assert code == 1 and "500" in err and not (here / "model-weights").exists()
    assert answer(capsys, "download", url)[0] == 0
    assert server.asked("/one/weights.safetensors")[-1]["Range"] == "bytes=5000-"
    assert len(server.asked("/one/config.json")) == 1


def test_a_cache_that_cannot_be_written_is_told(server, here, model, monkeypatch, capsys):
    (here / "file").write_bytes(b"")
    monkeypatch.setenv("PIXACE_CACHE", str(here / "file"))
    code, _, err = answer(capsys, "download", serve(server, model, "/one"))
    assert code == 1 and "cannot write" in err and len(err.splitlines()) == 1
