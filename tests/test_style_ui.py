"""`pixace style ui`: a real server, asked as its page asks, with a small network of random weights."""

import base64
import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from html.parser import HTMLParser
from http.client import HTTPConnection
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image
from small_vgg import save_arrays

from pixace.cli import style_ui
from pixace.errors import ConfigError, PixaceError
from pixace.style.options import StyleOptions, make_options
from pixace.style.ui import jobs, server
from pixace.style.ui.jobs import Networks, Studio
from pixace.style.ui.server import StyleServer
from pixace.style.ui.settings import SETTINGS, describe_settings, parse_settings

SMALL = {"layers": "shallow", "size": "48", "steps": 4}


def picture(width, height, seed=0):
    """A PNG file."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return jobs.png(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def opened(content):
    with Image.open(io.BytesIO(content)) as found:
        found.load()
        return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights as Keras names them, as many as the layers `shallow` need."""
    return save_arrays(tmp_path_factory.mktemp("weights") / "small.npz", "relu3_3")


class Client:
    """What a browser asks of a server."""

    def __init__(self, studio):
        self.server = StyleServer(studio, 0)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def ask(self, method, path, body=None, **headers):
        """Status, headers and content of an answer."""
        connection = HTTPConnection("127.0.0.1", self.server.server_port, timeout=60)
        with contextlib.closing(connection):
            kind = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, body, {**kind, **headers})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def begin(self, content=None, style=None, **settings):
        """Status and JSON of the answer to a new job."""
        parts = (content or picture(60, 40), style or picture(50, 50, 1))
        content, style = (base64.b64encode(part).decode() for part in parts)
        body = json.dumps({"content": content, "style": style, "settings": SMALL | settings})
        status, _, answer = self.ask("POST", "/api/jobs", body)
        return status, json.loads(answer)

    def report(self):
        return json.loads(self.ask("GET", "/api/jobs/current")[2])

    def wait(self, good):
        """The first report that is good."""
        until = time.monotonic() + 90
        while not good(report := self.report()):
            assert time.monotonic() < until, report
            time.sleep(0.02)
        return report


@pytest.fixture(scope="module")
def client(weights):
    studio = Studio(str(weights))
    client = Client(studio)
    yield client
    studio.close()
    client.server.shutdown()
    client.server.server_close()


@pytest.fixture(scope="module")
def page():
    """The name, tag and attributes of each control of the page that has a name."""
    found = {}

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            given = dict(attrs)
            if tag in ("input", "select") and "name" in given:
                assert given["name"] not in found
                found[given["name"]] = {"tag": tag, **given}

    Parser().feed(files("pixace.style.ui").joinpath("page.html").read_text("utf8"))
    return found


def ended(report):
    return report["state"] != "running"


def test_a_picture_is_made_and_shown_on_the_way(client):
    status, begun = client.begin()
    assert status == 202 and begun["state"] == "running" and begun["total"] == 4
    report = client.wait(ended)
    assert report["state"] == "done" and report["step"] == 4 and report["size"] == [48, 32], report
    assert report["seconds_left"] == 0 and {"loss", "content", "style", "tv"} == report["figures"].keys()
    status, headers, content = client.ask("GET", f"/api/result.png?job={report['number']}")
    assert status == 200 and headers["Content-Type"] == "image/png" and opened(content).size == (48, 32)
    assert json.loads(opened(content).info["style transfer"])["steps"] == 4
    assert report["previews"] >= 1
    assert opened(client.ask("GET", "/api/preview.png")[2]).size == (48, 32)


def test_stop_keeps_what_was_found_and_a_second_job_waits_for_it(client):
    client.begin(steps=100_000, color="luminance")
    assert client.ask("GET", "/api/result.png")[0] == 404
    client.wait(lambda report: report["step"] > 3)
    status, refused = client.begin()
    assert status == 409 and "being made already" in refused["error"]
    assert client.ask("POST", "/api/stop", "{}")[0] == 200
    report = client.wait(ended)
    assert report["state"] == "stopped" and 3 < report["step"] < 100_000
    found = opened(client.ask("GET", "/api/result.png")[2])
    start = opened(picture(60, 40)).resize((48, 32), Image.Resampling.LANCZOS)
    assert found.size == (48, 32) and np.abs(np.asarray(found, int) - np.asarray(start, int)).max() > 3


def test_a_job_that_fails_says_why_and_the_next_one_runs(client):
    client.begin(layers="default")
    report = client.wait(ended)
    assert report["state"] == "failed" and not report["result"] and "weights have no conv3_4" in report["error"]
    client.begin(steps=1)
    assert client.wait(ended)["state"] == "done"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"content": b"no picture"}, "content: the picture is not a picture"),
        ({"style": picture(50, 50)[:80]}, "style: the picture cannot be decoded"),
        ({"steps": 0}, "steps=0: at least 1 is needed"),
        ({"steps": "4"}, "steps='4' is not of type int"),
        ({"size": "0x9"}, "size=0x9"),
        ({"content_weight": float("nan")}, "content_weight=nan"),
        ({"recipe": "none"}, "recipe='none' is not known"),
        ({"init": "/etc/passwd"}, "content or noise is needed"),
        ({"network": "/etc/passwd"}, "network cannot be chosen here"),
    ],
)
def test_mistakes_are_told_in_a_line(client, given, said):
    status, answer = client.begin(**given)
    assert status == 400 and said in answer["error"] and "\n" not in answer["error"]


@pytest.mark.parametrize("body", ["", "[]", "{}", "[" * 100_000, '{"content": 3, "style": "", "settings": {}}'])
def test_a_request_of_another_form_is_refused(client, body):
    status, _, answer = client.ask("POST", "/api/jobs", body)
    assert status == 400 and json.loads(answer)["error"]


@pytest.mark.parametrize("path", ["/", "/api/settings", "/api/jobs/current", "/api/result.png"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", ""])
def test_other_names_of_this_server_are_refused(client, path, host):
    assert client.ask("GET", path, Host=host.format(port=client.server.server_port))[0] == 403


@pytest.mark.parametrize("path", ["/api/jobs", "/api/stop"])
@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:{port}", "http://localhost:1", "null"])
def test_pages_from_elsewhere_are_refused(client, path, origin):
    assert client.ask("POST", path, "{}", Origin=origin.format(port=client.server.server_port))[0] == 403


def test_the_own_page_is_served_and_heard(client):
    port = client.server.server_port
    assert client.server.server_address[0] == "127.0.0.1"
    for name in ("localhost", "127.0.0.1"):
        own = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}
        assert client.ask("POST", "/api/stop", "{}", **own)[0] == 200
    status, headers, content = client.ask("GET", "/")
    assert status == 200 and "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"<title>pixace style" in content and not re.search(rb"https?://|src=\"//|@import", content)
    settings = json.loads(client.ask("GET", "/api/settings")[2])
    assert settings["recipes"]["pixace"]["steps"] == StyleOptions().steps
    assert client.ask("GET", "/../setup.py")[0] == 404


def test_what_a_form_could_send_is_refused(client):
    assert client.ask("POST", "/api/jobs", "{}", **{"Content-Type": "text/plain"})[0] == 415


def test_pictures_that_are_too_large_are_refused(client, monkeypatch):
    monkeypatch.setattr(server, "MAX_BYTES", 2000)
    status, answer = client.begin(content=picture(300, 300))
    assert status == 413 and "too large" in answer["error"]


def test_the_pages_controls_are_options(page):
    assert set(page) == {*SETTINGS, "keep_faces"} and set(SETTINGS) <= {field.name for field in fields(StyleOptions)}
    for recipe in describe_settings()["recipes"].values():
        for name in SETTINGS:
            control = page[name]
            if control.get("type") == "range" and "data-scale" not in control:
                low, step = int(control["min"]), int(control["step"])
                value = int(recipe[name])
                assert low <= value <= int(control["max"]) and (value - low) % step == 0, name


def test_a_set_of_layers_wins_over_the_recipe():
    chosen = make_options(parse_settings({"recipe": "gatys", "layers": "shallow"}))
    assert chosen.layers_with_weights == make_options({"layers": "shallow"}).layers_with_weights
    assert make_options(parse_settings({"recipe": "gatys"})).content_layers == "relu4_2"


def test_weights_are_read_once(weights, monkeypatch):
    read = []
    monkeypatch.setattr(jobs, "load_network", lambda path, load=jobs.load_network: read.append(path) or load(path))
    networks = Networks()
    plain, other = (
        networks(make_options({"network": str(weights), **given}))
        for given in ({}, {"pooling": "average", "preprocessing": "none"})
    )
    assert len(read) == 1 and other.weights is plain.weights
    assert plain.config.pooling == "max" and plain.config.preprocessing == "caffe"
    assert other.config.pooling == "average" and other.config.preprocessing == "none"


def test_what_keeps_a_server_from_starting_is_told(client, here):
    with pytest.raises(ConfigError, match="port=70000"):
        style_ui.run(["--port=70000"])
    with pytest.raises(PixaceError, match=r"there is no file of weights .*none\.npz"):
        style_ui.run(["--network=none.npz", "--device=cpu"])
    with pytest.raises(PixaceError, match="choose another with --port"):
        style_ui.run([f"--port={client.server.server_port}", "--device=cpu"])


def test_ctrl_c_ends_the_server():
    command = [sys.executable, "-m", "pixace.cli.main", "style", "ui", "--port=0", "--device=cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.match(r"http://127\.0\.0\.1:(\d+)/", line := process.stdout.readline())
    assert found, line
    connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/api/jobs/current")
        assert json.loads(connection.getresponse().read())["state"] == "idle"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in err
