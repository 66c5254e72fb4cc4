"""Weights of VGG networks: every kind of file gives the same network, and files that lie are refused unread."""

import io
import os
import pickle
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden.make_torch import CLASSES, HIDDEN, STYLE, WIDTHS, make_normalisation, make_weights, picture
from safetensors.numpy import save_file

from pixace.errors import ConfigError, PixaceError
from pixace.style import naming
from pixace.style.layers import layer_names
from pixace.style.vgg import classify
from pixace.style.vgg_weights import load_network, random_weights
from pixace.weight_files.listing import list_arrays

GOLDEN = Path(__file__).parent / "golden"
BN, OLD = GOLDEN / "torch_vgg16_bn.pth", GOLDEN / "torch_vgg19_old.pth"


@pytest.fixture
def narrow(monkeypatch):
    """Files are held to the few channels of the golden networks, instead of those of VGG."""
    monkeypatch.setattr(naming, "CHANNELS", WIDTHS)
    monkeypatch.setattr(naming, "HIDDEN", HIDDEN)
    monkeypatch.setattr(naming, "CLASSES", CLASSES)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "torch_vgg.npz") as file:
        return dict(file)


def close(found, expected, relative: float = 1e-4) -> None:
    np.testing.assert_allclose(found, expected, rtol=relative, atol=relative * np.abs(expected).max())


def torch_names(network: str, timm: bool = False) -> dict[str, np.ndarray]:
    """The golden weights as a state dictionary of torchvision or timm."""
    weights, found = make_weights(network), {}
    for place, layer in enumerate(layer_names(network)):
        if layer.startswith("conv"):
            found[f"features.{place}.weight"] = weights[layer]["kernel"].transpose(3, 2, 0, 1)
            found[f"features.{place}.bias"] = weights[layer]["bias"]
    first = weights["fc6"]["kernel"].reshape(7, 7, WIDTHS[-1], HIDDEN).transpose(3, 2, 0, 1)
    places = ("pre_logits.fc1", "pre_logits.fc2", "head.fc") if timm else [f"classifier.{i}" for i in (0, 3, 6)]
    kernels = [first if timm else first.reshape(HIDDEN, -1)]
    kernels += [weights["fc7"]["kernel"].T[..., None, None] if timm else weights["fc7"]["kernel"].T]
    for place, kernel, name in zip(places, [*kernels, weights["fc8"]["kernel"].T], ("fc6", "fc7", "fc8"), strict=True):
        found |= {f"{place}.weight": kernel, f"{place}.bias": weights[name]["bias"]}
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


def keras_names(network: str, until: str = "relu5_4") -> dict[str, np.ndarray]:
    """The golden weights as Keras has them, up to a layer."""
    found = {}
    for layer in layer_names(network):
        if layer.startswith("conv"):
            for part, value in make_weights(network)[layer].items():
                found[f"block{layer[4]}_conv{layer[6]}_{part}"] = value
        if layer == until:
            break
    return found


def same_weights(found: dict, network: str, names=None) -> None:
    expected = make_weights(network)
    assert set(found) == set(expected if names is None else names)
    for name in found:
        for part in ("kernel", "bias"):
            np.testing.assert_array_equal(found[name][part], expected[name][part])


# ---- what is read


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_torchvision_timm_and_keras_give_the_same_weights(narrow, tmp_path, network):
    convolutions = [layer for layer in layer_names(network) if layer.startswith("conv")]
    for timm in (False, True):
        save_file(torch_names(network, timm), tmp_path / "a.safetensors")
        loaded = load_network(tmp_path / "a.safetensors", classifier=True)
        same_weights(loaded.weights, network)
        assert (loaded.config.name, loaded.config.preprocessing) == (network, "torchvision")
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **keras_names(network))
        loaded = load_network(tmp_path / "a.npz")
        same_weights(loaded.weights, network, convolutions)
        assert (loaded.config.name, loaded.config.preprocessing) == (network, "caffe")
    bare = {name.removeprefix("features."): value for name, value in torch_names(network).items() if "fea" in name}
    save_file(bare, tmp_path / "bare.safetensors")
    same_weights(load_network(tmp_path / "bare.safetensors").weights, network, convolutions)


@pytest.mark.subset
@pytest.mark.parametrize(("path", "name"), [(BN, "vgg16_bn"), (OLD, "vgg19_old")])
def test_files_that_torch_wrote_give_what_torch_computes(narrow, golden, path, name):
    """Both forms of file; batch normalisation within the convolutions; the classifier at three sizes of picture."""
    network = load_network(path, classifier=True)
    assert network.config.name == name[:5] and network.config.preprocessing == "torchvision"
    found = jax.jit(lambda p: network.features(p, STYLE))(picture())
    for layer in STYLE:
        array = np.asarray(found[layer][0])
        close(np.concatenate([array.mean((0, 1)), array[::5, ::5].ravel()]), golden[f"{name}.{layer}"])
    for size in ((47, 43), (70, 260), (224, 224)):
        logits = jax.jit(lambda p: classify(network.weights, p, network.config))(picture(*size))
        assert logits.shape == (1, CLASSES)
        close(logits, golden[f"{name}.logits.{size[0]}x{size[1]}"])


def test_the_older_form_holds_exactly_what_was_put_in():
    found = {name: stored.read() for name, stored in list_arrays(OLD).items()}
    expected = torch_names("vgg19")
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_the_newer_form_holds_normalisations_too():
    found = list_arrays(BN)
    state = make_normalisation("vgg16")["conv2_1"]
    for part, value in state.items():
        np.testing.assert_array_equal(found[f"features.8.{part}"].read(), value)
    assert found["features.8.num_batches_tracked"].shape == () and found["features.8.num_batches_tracked"].read() == 7


def test_true_channels_are_asked_for_and_only_what_is_needed_is_read(tmp_path):
    """Of a file with the channels of VGG19; what lies deeper is not touched, not even where it is broken."""
    arrays = {}
    for place, layer in enumerate(layer_names("vgg19")[:8]):
        if layer.startswith("conv"):
            weights = random_weights("vgg19", until="conv2_2")[layer]
            arrays[f"features.{place}.weight"] = np.asarray(weights["kernel"]).transpose(3, 2, 0, 1).copy()
            arrays[f"features.{place}.bias"] = np.asarray(weights["bias"])
    arrays["features.7.weight"][0, 0, 0, 0] = np.nan
    save_file(arrays, tmp_path / "vgg16.safetensors")
    network = load_network(tmp_path / "vgg16.safetensors", layers=["pool1", "relu2_1"], padding="replicate")
    assert list(network.weights) == ["conv1_1", "conv1_2", "conv2_1"]
    assert (network.config.name, network.config.padding) == ("vgg16", "replicate")
    assert network.features(jnp.ones((1, 8, 8, 3)), ("relu2_1",))["relu2_1"].shape == (1, 4, 4, 128)
    with pytest.raises(PixaceError, match=r"features.7.weight holds values that are no finite numbers"):
        load_network(tmp_path / "vgg16.safetensors")
    half = load_network(tmp_path / "vgg16.safetensors", layers=["relu1_1"], dtype="bfloat16", preprocessing="caffe")
    assert half.weights["conv1_1"]["kernel"].dtype == jnp.bfloat16 and half.config.preprocessing == "caffe"
    found = half.features(jnp.ones((1, 8, 8, 3)), ("relu1_1",))["relu1_1"]
    assert found.dtype == jnp.bfloat16


def test_half_and_double_precision_are_read(narrow, tmp_path):
    for dtype in (np.float16, np.float64):
        save_file({n: v.astype(dtype) for n, v in torch_names("vgg16").items()}, tmp_path / "a.safetensors")
        found = load_network(tmp_path / "a.safetensors", layers=["relu1_1"]).weights["conv1_1"]["kernel"]
        assert found.dtype == jnp.float32
        close(found, make_weights("vgg16")["conv1_1"]["kernel"], 1e-3)


def test_a_network_is_a_tree_of_its_weights(narrow):
    network = load_network(OLD, layers=["relu1_2"])
    doubled = jax.tree.map(lambda w: 2 * w, network)
    assert doubled.config == network.config and len(jax.tree.leaves(network)) == 4
    maps = jax.jit(lambda n, p: n.features(p, ("conv1_1",)))(doubled, picture())
    close(maps["conv1_1"], 2 * network.features(picture(), ("conv1_1",))["conv1_1"], 1e-5)


# ---- what is lacking


def test_layers_beyond_a_file_are_named_with_ways_out(narrow, tmp_path):
    def refused(until: str, **more) -> str:
        np.savez(tmp_path / "part.npz", **keras_names("vgg19", until))
        with pytest.raises(PixaceError) as caught:
            load_network(tmp_path / "part.npz", **more)
        text = str(caught.value)
        assert "part.npz" in text and "`pixace download vgg19`" in text and "--network=vgg19" in text
        assert "\n" not in text
        return text

    text = refused("conv3_4", layers=["relu3_1", "conv4_2", "relu5_1"])
    assert "up to conv3_4" in text and "conv4_2, relu5_1" in text and "relu3_1" not in text
    assert "--layers=shallow" in text
    assert "--layers=shallow" not in refused("conv3_2", layers=["relu3_3"])
    assert "no classifier" in refused("conv3_4", classifier=True)
    assert "no classifier" in refused("conv5_4", classifier=True)
    with pytest.raises(ConfigError, match="vgg16 has no layer 'conv3_4'"):
        np.savez(tmp_path / "whole.npz", **keras_names("vgg16"))
        load_network(tmp_path / "whole.npz", layers=["conv3_4"])


def test_without_a_download_the_error_names_it(here):
    for name in ("vgg16", "vgg19"):
        with pytest.raises(PixaceError, match=f"offline nothing is downloaded.*`pixace download {name}`"):
            load_network(name, offline=True)
    with pytest.raises(ConfigError, match="pooling='mean' is not known"):  # before anything is downloaded
        load_network("vgg19", pooling="mean", offline=True)
    with pytest.raises(ConfigError, match="no layer 'conv3_4'"):
        load_network("vgg16", layers=["conv3_4"], offline=True)
    with pytest.raises(PixaceError, match=r"no file of weights .*vgg16 and vgg19 can be downloaded"):
        load_network("vgg11")
    with pytest.raises(PixaceError, match="no file of weights"):
        load_network(here)


def test_a_downloaded_network_is_found_by_its_name(narrow, here, monkeypatch):
    """As the cache has it: the file, and the record of its checksum."""
    from pixace.fetching.checksums import size_and_sha256
    from pixace.zoo.cache import downloads
    from pixace.zoo.index import File, find_entry
    from pixace.zoo.record import Record, write_record

    folder = downloads() / "vgg19"
    folder.mkdir(parents=True)
    save_file(torch_names("vgg19", timm=True), folder / "model.safetensors")
    file = File("model.safetensors", *size_and_sha256(folder / "model.safetensors"))
    write_record(folder, Record(find_entry("vgg19").source, None, {"model.safetensors": file}, whole=True))
    network = load_network("vgg19", layers=["relu4_1"], offline=True)
    same_weights(network.weights, "vgg19", [n for n in layer_names("vgg19")[:20] if n.startswith("conv")])


# ---- files that lie


def refused(path: Path) -> str:
    """What loading it says: one line that names the file."""
    with pytest.raises(PixaceError) as caught:
        load_network(path)
    text = str(caught.value)
    assert text.count(path.name) == 1 and "\n" not in text and len(text) < 600
    return text


def rewritten(tmp_path: Path, change, name: str = "x.pth", **options) -> Path:
    """The golden zip archive with some members changed: `change` gives (member, bytes) the new bytes, or None."""
    path = tmp_path / name
    with zipfile.ZipFile(BN) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = change(info.filename.partition("/")[2], old.read(info))
            if data is not None:
                new.writestr(info.filename, data, **options)
    return path


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def test_nothing_that_a_pickle_names_is_run(tmp_path):
    marker = tmp_path / "ran"
    hostile = pickle.dumps({"features.0.weight": Call(os.system, f"touch {marker}")}, 2)
    path = rewritten(tmp_path, lambda name, data: hostile if name == "data.pkl" else data)
    assert "posix.system" in refused(path) and "nothing in it was run" in refused(path)
    start = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    old = tmp_path / "old.pth"
    old.write_bytes(start + hostile + pickle.dumps([], 2))
    assert "posix.system" in refused(old)
    arrays = keras_names("vgg19") | {"block1_conv1_kernel": np.array([Call(os.system, f"touch {marker}")], object)}
    np.savez(tmp_path / "x.npz", **arrays)
    assert "convolutions" in refused(tmp_path / "x.npz")
    whole = pickle.dumps(Call(eval, f"open({str(marker)!r}, 'w')"), 2)
    assert "eval" in refused(rewritten(tmp_path, lambda name, data: whole if name == "data.pkl" else data))
    assert not marker.exists()


@pytest.mark.parametrize("source", [BN, OLD])
def test_files_that_were_cut_short_are_refused(narrow, tmp_path, source):
    data = source.read_bytes()
    for share in (0.001, 0.1, 0.5, 0.99):
        (tmp_path / "cut.pth").write_bytes(data[: int(share * len(data))])
        refused(tmp_path / "cut.pth")
    save_file(torch_names("vgg16"), tmp_path / "cut.safetensors")
    data = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-100])
    assert "damaged or not whole" in refused(tmp_path / "cut.safetensors")


def test_bytes_that_changed_are_noticed_in_archives(narrow, tmp_path):
    data = bytearray(BN.read_bytes())
    with zipfile.ZipFile(BN) as archive:
        place = next(info for info in archive.infolist() if info.filename.endswith("data/0")).header_offset
    data[place + 200] ^= 1
    (tmp_path / "x.pth").write_bytes(data)
    assert "CRC" in refused(tmp_path / "x.pth")


def test_archives_that_would_unpack_to_much_take_no_memory(narrow, tmp_path):
    """A list of weights, a storage, a byte order and arrays of Keras, of 64 MB that hardly need space."""
    bomb, packed = b"\0" * 2**26, dict(compress_type=zipfile.ZIP_DEFLATED)
    files = [
        rewritten(tmp_path, lambda n, d, member=member: bomb if n == member else d, f"{i}.pth", **packed)
        for i, member in enumerate(("data.pkl", "data/0", "byteorder"))
    ]
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**36, 2**20)})
    for i, shape in enumerate((header.getvalue(), header.getvalue().replace(b"f4", b"V4"))):
        files.append(tmp_path / f"{i}.npz")
        with zipfile.ZipFile(files[-1], "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("block1_conv1_kernel.npy", shape + bomb)
    tracemalloc.start()
    try:
        texts = [refused(path) for path in files]
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    assert "no list of weights" in texts[0] and "not as long" in texts[1] and "big-endian" in texts[2]
    assert "has the shape (68719476736, 1048576)" in texts[3]


def test_tensors_that_do_not_fit_their_storage_are_refused(narrow, tmp_path):
    """Longer than the file, outside the storage, negative, or a view of another."""
    changes = {
        "steps": (b"K\x24K\x09K\x03K\x01", b"K\x24K\x09K\xffK\x01"),
        "length": (b"Kltq", b"M\xff\xfftq"),
        "offset": (b"QK\x00(K\x04K\x03", b"QK\x09(K\x04K\x03"),
        "negative": (b"QK\x00(K\x04K\x03", b"QJ\xff\xff\xff\xff(K\x04K\x03"),
        "kind": (b"FloatStorage", b"ComplexStorage"),
    }
    for name, (before, after) in changes.items():

        def change(member: str, data: bytes, before=before, after=after) -> bytes:
            if member == "data.pkl":
                assert before in data
            return data.replace(before, after, 1) if member == "data.pkl" else data

        text = refused(rewritten(tmp_path, change, f"{name}.pth"))
        assert any(words in text for words in ("fits its storage", "not as long", "ComplexStorage"))


def test_a_tensor_spread_over_gigabytes_takes_no_memory(narrow, tmp_path):
    """Its shape is right, and list and storage agree on a length that the file does not have."""
    data, length = OLD.read_bytes(), 2**31 - 1
    for before, after in (
        (b"KlN", b"J" + length.to_bytes(4, "little") + b"N"),
        (b"(K\x1bK\x09K\x03K\x01", b"(J" + (2**29).to_bytes(4, "little") + b"K\x09K\x03K\x01"),
        ((108).to_bytes(8, "little"), length.to_bytes(8, "little")),
    ):
        assert data.count(before) == 1
        data = data.replace(before, after)
    (tmp_path / "x.pth").write_bytes(data)
    tracemalloc.start()
    try:
        assert "ends too early" in refused(tmp_path / "x.pth")
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_wrong_shapes_and_other_networks_are_refused(narrow, tmp_path):
    def saved(arrays: dict) -> Path:
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, tmp_path / "x.safetensors")
        return tmp_path / "x.safetensors"

    good = torch_names("vgg16")
    assert "features.2.weight has the shape (4, 4, 3, 2)" in refused(
        saved(good | {"features.2.weight": np.zeros((4, 4, 3, 2), np.float32)})
    )
    assert "features.5.bias has the shape (5,)" in refused(saved(good | {"features.5.bias": np.zeros(5, np.float32)}))
    assert "features.2.bias is missing" in refused(saved({n: v for n, v in good.items() if n != "features.2.bias"}))
    alexnet = {f"features.{i}.weight": np.zeros((4, 3, 3, 3), np.float32) for i in (0, 3, 6)}
    assert "not those of VGG16 or VGG19" in refused(saved(alexnet))
    assert "not those of VGG16 or VGG19" in refused(saved({"a": np.zeros(3, np.float32)}))
    gap = {name: value for name, value in keras_names("vgg19").items() if "block2" not in name}
    np.savez(tmp_path / "gap.npz", **gap)
    assert "not the first ones" in refused(tmp_path / "gap.npz")


def test_files_of_other_kinds_are_refused(tmp_path):
    for name, data in (
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
        ("b.pth", b""),
        ("c.pth", b"PK\x03\x04"),
        ("zeros.bin", bytes(80)),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name)
    assert "state dictionary" in refused(
        rewritten(tmp_path, lambda name, data: pickle.dumps([1, 2], 2) if name == "data.pkl" else data)
    )
    shutil.copy(GOLDEN / "torch_vgg.npz", tmp_path / "g.npz")
    assert "not those of VGG16" in refused(tmp_path / "g.npz")
