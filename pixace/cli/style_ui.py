"""`pixace style ui`"""

import sys
import webbrowser
from collections.abc import Sequence

from pixace import devices
from pixace.cli.flags import FlagSet
from pixace.cli.style_train import with_underscores
from pixace.errors import ConfigError

ABOUT = (
    "Style transfer in a browser: two pictures, sliders, and the result as it comes about. The page is for this "
    "computer alone; Ctrl-C ends it."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace style ui [--flags]", ABOUT)
    flags.add("port", 8765, int, "port of the page's address, http://127.0.0.1:PORT/; 0: any that is free")
    flags.add("open_browser", False, bool, "show the page in a browser")
    network = (
        "vgg19, vgg16, or a file of weights (.safetensors, .pth, .npz), for everything (default: by the recipe); where "
        "they end at conv3_4, the page begins with the layers `shallow`"
    )
    flags.add("network", None, str | None, network)
    flags.add("device", "auto", str, "gpu and tpu fail where there is none", choices=devices.DEVICES)
    return flags


def run(arguments: Sequence[str]) -> int:
    """Serve the page until Ctrl-C; returns the exit code."""
    flags = make_flags()
    given, _ = flags.parse(with_underscores(arguments))
    options = flags.options(given)
    if not 0 <= options["port"] < 2**16:
        raise ConfigError(f"--port={options['port']}: it must be from 0 to {2**16 - 1}")
    devices.prepare(options["device"])
    devices.keep_freed_memory()
    from pixace.style.ui.jobs import Studio
    from pixace.style.ui.server import StyleServer

    found = devices.find_devices(options["device"])
    print(devices.describe(found[:1]), file=sys.stderr)
    devices.warn_of_idle_gpu(found)
    studio = Studio(options["network"], found[0])
    if told := studio.load():
        print(told, file=sys.stderr)
    with StyleServer(studio, options["port"]) as server:
        print(f"{server.url} is the page; Ctrl-C ends it", flush=True)
        try:
            if options["open_browser"]:
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            print("ending", file=sys.stderr)
        finally:
            studio.close()
    return 0
