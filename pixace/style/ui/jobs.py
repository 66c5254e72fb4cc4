"""The work behind the page: one style transfer at a time, in a thread of its own, and networks that are kept."""

import io
import json
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

import jax
import numpy as np
from PIL import Image, PngImagePlugin

from pixace.errors import PixaceError
from pixace.opening import open_picture
from pixace.progress import silent
from pixace.style.descending import Diverged, Step, scales_of
from pixace.style.layers import LAYER_SETS, deepest
from pixace.style.material import Material
from pixace.style.options import StyleOptions, make_options
from pixace.style.transfer import TILE, stylize
from pixace.style.ui.settings import parse_settings
from pixace.style.vgg import Network
from pixace.style.vgg_weights import load_network

PREVIEW_SECONDS = 1.0  # from one picture on the way to the next
PREVIEW_EDGE = 768  # pixels, at most


class Busy(PixaceError):
    """A picture is being made already."""


class Networks:
    """Networks by the name or file of their weights, each loaded when it is first asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Network] = {}

    def __call__(self, options: StyleOptions) -> Network:
        """The network that the options name, applied as they say; errors as `load_network`."""
        if options.network not in self._loaded:
            self._loaded[options.network] = load_network(options.network)
        network = self._loaded[options.network]
        config = replace(
            network.config,
            pooling=options.pooling,
            rescale=options.rescale,
            padding=options.padding,
            preprocessing=options.preprocessing or network.config.preprocessing,
        )
        return replace(network, config=config)


class Job:
    """One style transfer; `run` does it, anything else may be asked from other threads.

    Attributes:
        number: of the job, from 1.
        state: running, done, stopped (there is a result, too) or failed.
        error: why it failed, in a line.
        note: what is said of the content, in a line.
        preview: the picture so far, uint8 (H, W, 3).
        result: the picture as a PNG file.
    """

    def __init__(self, number: int, content: Image.Image, style: Image.Image, settings: dict[str, Any]):
        """A job to do; raises `ConfigError` where settings and pictures do not go together."""
        self.number, self.state, self.error, self.note = number, "running", "", ""
        self.preview: np.ndarray | None = None
        self.result: bytes | None = None
        self.stop = threading.Event()
        self._content, self._style, self._settings = content, style, settings
        options = make_options(settings)
        scales = scales_of(Material(content, [style], [], [], options, options.tile or TILE))
        pixels = [size[0] * size[1] for size, count in scales for _ in range(count)]
        self._work = list(accumulate(pixels))  # up to each step: the time of a step grows with its picture
        self._step: Step | None = None
        self._previews, self._shown, self._began, self._left = 0, 0.0, 0.0, None

    def run(self, networks: Networks, device: Any = None) -> None:
        """Do it; whatever fails becomes `error`."""
        try:
            with jax.default_device(device):
                network = networks(make_options(self._settings))
                found = stylize(
                    self._content,
                    self._style,
                    loaded=network,
                    on_step=self._note,
                    stop=self.stop.is_set,
                    progress=silent,
                    say=self._say,
                    **self._settings,
                )
                picture = found.to_pil()
            facts = {"Software": "pixace", "style transfer": json.dumps(self._settings)}
            self.result = png(picture, facts)
            self.state = "done" if len(found.steps) == len(self._work) else "stopped"
        except Diverged as error:
            self.result = png(error.best.to_pil(), {"Software": "pixace"})
            self._fail(f"{error}; the picture is the best until then")
        except PixaceError as error:
            self._fail(str(error))
        except Exception as error:  # the server goes on, whatever it was
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                self._fail("out of memory; choose a smaller size")
            else:
                traceback.print_exc()
                self._fail(f"{type(error).__name__}: {str(error).partition(chr(10))[0]} (more in the terminal)")

    def report(self) -> dict[str, Any]:
        """How far it is, for JSON; `size` is width and height, `seconds_left` null as long as nothing is known."""
        step = self._step
        return {
            "number": self.number,
            "state": self.state,
            "stopping": self.stop.is_set(),
            "error": self.error,
            "note": self.note,
            "step": step.number if step else 0,
            "total": len(self._work),
            "size": [step.size[1], step.size[0]] if step else None,
            "figures": step.figures if step else {},
            "seconds_left": self._left,
            "previews": self._previews,
            "result": self.result is not None,
        }

    def _note(self, step: Step) -> None:
        now = time.monotonic()
        if self._step is None:
            self._began = now
        else:
            done = self._work[step.number - 1]
            self._left = (now - self._began) / (done - self._work[0]) * (self._work[-1] - done)
        if now - self._shown >= PREVIEW_SECONDS or self.preview is None:
            self.preview, self._shown = step.picture(), now
            self._previews += 1
        self._step = step

    def _say(self, line: str) -> None:
        self.note = line

    def _fail(self, error: str) -> None:
        self.error, self.state = error, "failed"


class Studio:
    """Takes one job at a time."""

    def __init__(self, network: str | None = None, device: Any = None):
        """`network` is the weights of all jobs (default: those of each recipe), `device` what does them."""
        self.networks, self.job = Networks(), None
        self._network, self._device = network, device
        self.layers = ""  # set of layers that the page has chosen to begin with; "" for that of the recipe
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def load(self) -> str:
        """Load the network of all jobs, if there is one: a mistake is told at once. Errors as `load_network`.

        Returns a line about what it is not good for, or "".
        """
        if not self._network:
            return ""
        with jax.default_device(self._device):
            has = self.networks(make_options({"network": self._network})).weights
        sets = {name: {layer.replace("relu", "conv") for layer in entry.names} for name, entry in LAYER_SETS.items()}
        if sets["default"] <= has.keys() or not sets["shallow"] <= has.keys():
            return ""
        self.layers = "shallow"
        last = deepest(name for name in has if name.startswith("conv"))
        return f"{self._network} ends at {last}, so the page begins with --layers=shallow, which needs no more"

    def start(self, content: bytes, style: bytes, settings: Mapping[str, Any]) -> Job:
        """Begin a job.

        Args:
            content, style: the contents of picture files.
            settings: see `parse_settings`.

        Raises:
            Busy: another is running.
            ConfigError: the settings make no sense.
            PixaceError: a picture cannot be read.
        """
        self._refuse_a_second()
        chosen = parse_settings(settings) | ({"network": self._network} if self._network else {})
        opened = _open("content", content), _open("style", style)
        with self._lock:
            self._refuse_a_second()
            job = Job(self.job.number + 1 if self.job else 1, *opened, chosen)
            self._thread = threading.Thread(target=job.run, args=(self.networks, self._device), daemon=True)
            self.job = job
            self._thread.start()
        return job

    def stop(self) -> None:
        """Have the job that is running end after its step; its result is what has been found so far."""
        if self.job is not None:
            self.job.stop.set()

    def close(self) -> None:
        """Stop, and wait for the end of the step."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _refuse_a_second(self) -> None:
        if self.job is not None and self.job.state == "running":
            raise Busy("a picture is being made already; wait until it is done, or stop it")


def png(picture: Image.Image, facts: Mapping[str, str] | None = None) -> bytes:
    """A PNG file with these texts in it."""
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, value in (facts or {}).items():
        info.add_text(key, value)
    picture.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def preview_png(preview: np.ndarray) -> bytes:
    """A preview (H, W, 3) as a PNG file of a moderate size."""
    picture = Image.fromarray(preview)
    picture.thumbnail((PREVIEW_EDGE, PREVIEW_EDGE))
    return png(picture)


def _open(name: str, picture: bytes) -> Image.Image:
    try:
        return open_picture(picture)
    except PixaceError as error:
        raise type(error)(f"{name}: {error}") from None
