"""The model on Google Drive: gdown brings it, and each of its errors is told in a line."""

import gzip
import inspect
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from test_cli import answer

import pixace
from pixace.checkpoints import load_config
from pixace.trax_files import read_trax
from pixace.zoo import drive
from pixace.zoo.download import download_model
from pixace.zoo.index import Entry, find_entry

TOKENS = np.arange(2, 18)[None]
CHECKPOINTS = Path(__file__).parent / "golden" / "checkpoints"


class Drive(types.ModuleType):
    """What of gdown is used, with its names and kinds of errors; the real one is tested where it is installed."""

    class DownloadError(Exception):
        pass

    class FileURLRetrievalError(DownloadError):
        pass

    def __init__(self, act):
        super().__init__("gdown")
        self.act, self.calls = act, []

    def download(self, **options):
        self.calls.append(options)
        options["progress"](10, None)
        return self.act(options["output"])


@pytest.fixture
def gdown(monkeypatch):
    def install(act) -> Drive:
        module = Drive(act)
        monkeypatch.setitem(sys.modules, "gdown", module)
        return module

    return install


@pytest.mark.parametrize("name", ["transformer", "reformer"])
def test_the_model_on_drive_becomes_a_folder_like_any_other(here, gdown, monkeypatch, name):
    entry = find_entry("animalfaces")
    facts = {**entry.facts, "n_heads": 2, "image_size": 4}  # the golden checkpoints are smaller
    changed = Entry(**{**vars(entry), "facts": facts})
    monkeypatch.setattr("pixace.zoo.index.models", lambda: [changed])
    trax = old_format(here, name)
    module = gdown(lambda path: Path(path).write_bytes(trax.read_bytes()))
    folder = pixace.download_model("animalfaces", say=[].append)
    assert module.calls[0]["id"] == "1Uh7Cd-kjYLhs7SjlFROKuUyT9Vv8h-5i"
    config = load_config(folder)
    assert folder == Path("model-weights/animalfaces") and config.model.n_heads == 2 and config.model.arch == "trax"
    direct = pixace.load(trax, None, given=facts).log_probs(TOKENS)
    np.testing.assert_array_equal(pixace.load("animalfaces").log_probs(TOKENS), direct)
    again = download_model("animalfaces", save_as="again", say=[].append)
    assert len(module.calls) == 1 and load_config(again) == config


def old_format(folder: Path, name: str) -> Path:
    """A checkpoint in the one-file format of Trax up to 1.3.7: the arrays are in the pickle."""
    arrays = [np.array(a) for a in read_trax(CHECKPOINTS / f"{name}.pkl.gz").weights]
    content = {
        "step": 2,
        "flat_weights": arrays,
        "flat_state": [],
        "slots": [],
        "history": None,
        "input_signature": None,
    }
    (folder / "old.pkl.gz").write_bytes(gzip.compress(pickle.dumps(content, protocol=4)))
    return folder / "old.pkl.gz"


def test_without_gdown_the_command_that_installs_it_is_told(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gdown", None)
    code, _, err = answer(capsys, "download", "--model_name=animalfaces")
    assert code == 1 and err.endswith("pip install '.[gdown]'\n") and len(err.splitlines()) == 1
    setup = (Path(pixace.__file__).parents[1] / "setup.py").read_text()
    assert '"gdown": ["gdown' in setup


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Drive.FileURLRetrievalError("Too many users have viewed or downloaded\n this file recently."), "quota"),
        (Drive.FileURLRetrievalError("Cannot retrieve the public link"), "does not hand the file out: Cannot retrieve"),
        (Drive.DownloadError("the body\nends early"), "the body ends early; try again"),
        (ConnectionError("no route"), "check the network connection"),
        (OSError(28, "No space left on device"), "the disk is full"),
    ],
)
def test_errors_of_drive_are_told_in_a_line(here, gdown, capsys, error, said):
    def fail(path):
        raise error

    gdown(fail)
    code, _, err = answer(capsys, "download", "animalfaces")
    assert code == 1 and said in err and len(err.splitlines()) == 1
    assert not (here / "model-weights").exists()


def test_a_page_instead_of_the_model_is_no_model_and_does_not_stay(here, gdown, capsys):
    gdown(lambda path: Path(path).write_text("<html>sorry</html>"))
    code, _, err = answer(capsys, "download", "animalfaces")
    assert code == 1 and "model.pkl.gz" in err and not (here / "model-weights").exists()


def test_the_real_gdown_takes_what_is_passed_to_it():
    gdown = pytest.importorskip("gdown", reason="needs the extra gdown")
    given = {"id", "output", "quiet", "use_cookies", "resume", "retries", "timeout", "progress"}
    assert given <= set(inspect.signature(gdown.download).parameters)
    assert issubclass(gdown.FileURLRetrievalError, gdown.DownloadError)
    assert drive.INSTALL.endswith("'.[gdown]'")
