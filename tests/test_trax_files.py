"""Trax checkpoints: what is read from each form, that nothing in them runs, and what damaged ones say."""

import copyreg
import gzip
import io
import os
import pickle
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from pixace.errors import PixaceError
from pixace.trax_files import read_trax, trax_file, write_trax

CHECKPOINTS = Path(__file__).parent / "golden" / "checkpoints"
MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3) / 7


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data))
    return path


def single(path: Path, weights: list, protocol: int = 4, **more) -> Path:
    """A checkpoint of the older form, as `pickle` writes it."""
    return save(path, pickle.dumps({"flat_weights": weights, "step": 3, **more}, protocol))


def refused(path: Path) -> str:
    """What reading it says; one line that names the file."""
    with pytest.raises(PixaceError) as caught:
        read_trax(path)
    text = str(caught.value)
    assert path.name.partition(".")[0] in text and len(text.splitlines()) == 1 and len(text) < 1000
    return text


# ---- what is read


@pytest.mark.subset
@pytest.mark.parametrize(("name", "count"), [("transformer", 38), ("reformer", 30)])
def test_both_forms_that_trax_wrote_hold_the_same_arrays(name, count):
    pair = read_trax(CHECKPOINTS / f"{name}.pkl.gz")
    one = read_trax(CHECKPOINTS / f"{name}-single.pkl.gz")
    assert len(pair.weights) == len(one.weights) == count
    for a, b in zip(pair.weights, one.weights, strict=True):
        assert a.dtype == b.dtype == np.float32 and a.std() > 0
        np.testing.assert_array_equal(a, b)
    assert (pair.step, one.step) == (2, 0) and pair.length == one.length == 16


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_type_and_memory_order(tmp_path, protocol):
    given = [MATRIX, np.asfortranarray(MATRIX), MATRIX.astype(">f4"), MATRIX.astype(np.float64), MATRIX[:, ::2]]
    given += [MATRIX.astype(np.float16), np.transpose(np.arange(24, dtype=np.float32).reshape(2, 3, 4), (1, 2, 0))]
    found = read_trax(single(tmp_path / "a.pkl.gz", given, protocol, step=np.int64(5)))
    assert found.step == 5
    for a, b in zip(found.weights, given, strict=True):
        np.testing.assert_array_equal(a, b.astype(np.float32))


def test_arrays_of_jax_new_and_old_and_bfloat16(tmp_path):
    data = pickle.dumps({"flat_weights": [jnp.asarray(MATRIX), jnp.asarray(MATRIX, jnp.bfloat16)], "step": 0}, 2)
    old = data.replace(b"cjax._src.array\n_reconstruct_array\n", b"cjax._src.device_array\nreconstruct_device_array\n")
    old = old.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != data and b"numpy._core" not in old
    for i, content in enumerate((data, old)):
        exact, rounded = read_trax(save(tmp_path / f"{i}.pkl.gz", content)).weights
        np.testing.assert_array_equal(exact, MATRIX)
        np.testing.assert_array_equal(rounded, np.asarray(jnp.asarray(MATRIX, jnp.bfloat16), np.float32))


def test_arrays_of_python_2(tmp_path):
    """Bytes without a type of their own: one string opcode for text and data."""
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01K\x02\x86"
    array += b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    array += b"U\x08" + np.array([1.5, -2e30], np.float32).tobytes() + b"tb"
    content = b"\x80\x02}(U\x0cflat_weights](" + array + b"eU\x04stepK\x07u."
    found = read_trax(save(tmp_path / "a.pkl.gz", content))
    np.testing.assert_array_equal(found.weights[0], np.array([[1.5, -2e30]], np.float32))
    assert found.step == 7


def test_sixteen_bit_integers_beside_the_pickle_are_bfloat16(tmp_path):
    """So Trax saves weights of a model in bfloat16."""
    write_trax(tmp_path / "a.pkl.gz", [MATRIX], 1)
    records = io.BytesIO()
    np.save(records, (MATRIX.view(np.uint32) >> 16).astype(np.uint16))
    save(tmp_path / "a.weights.npy.gz", records.getvalue())
    found = read_trax(tmp_path / "a.pkl.gz").weights[0]
    np.testing.assert_array_equal(found.view(np.uint32), MATRIX.view(np.uint32) >> 16 << 16)


def test_what_is_written_is_read_again_and_holds_plain_values_alone(tmp_path):
    weights = [MATRIX, np.asfortranarray(MATRIX), np.array([1e-40, -0.0, 3e38], np.float32)]
    path = tmp_path / "x.pkl.gz"
    write_trax(path, weights, 12)
    found = read_trax(path)
    assert found.step == 12
    for a, b in zip(found.weights, weights, strict=True):
        assert a.tobytes() == np.ascontiguousarray(b).tobytes()
    content = gzip.decompress(path.read_bytes())
    assert not {b"c", b"\x93", b"R", b"\x81"} & {bytes([b]) for b in _opcodes(content)}  # names, calls, objects
    assert {"flat_weights", "flat_state", "input_signature"} <= set(pickle.loads(content))  # Trax asks for these
    before = [p.read_bytes() for p in sorted(tmp_path.iterdir())]
    write_trax(path, weights, 12)
    assert [p.read_bytes() for p in sorted(tmp_path.iterdir())] == before and len(before) == 2


def _opcodes(content: bytes) -> set[int]:
    import pickletools

    return {ord(operation.code) for operation, _, _ in pickletools.genops(content)}


def test_the_name_that_is_written_must_be_one_that_trax_takes(tmp_path):
    with pytest.raises(PixaceError, match=r"must end with \.pkl\.gz"):
        write_trax(tmp_path / "x.pkl", [MATRIX], 0)
    assert not list(tmp_path.iterdir())


def test_which_files_are_meant(tmp_path):
    (tmp_path / "old").mkdir()
    inside = save(tmp_path / "old" / "model.pkl.gz", b"")
    assert trax_file("old", tmp_path) == trax_file(tmp_path / "old") == inside
    assert trax_file(inside) == inside and trax_file("nobody", tmp_path) is None
    other = save(tmp_path / "weights.bin", b"")  # by its first bytes
    assert trax_file(other) == other
    (tmp_path / "old" / "config.json").write_text("{}")  # a model of ours, made from it
    assert trax_file("old", tmp_path) is None
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert trax_file(tmp_path / "a.png") is None


# ---- what is refused


class Call:
    """Pickles as a call of `function`; `state` is given to the result."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self):
        return self.reduced


def text(opcodes: bytes) -> bytes:
    """A pickle of protocol 2 with a checkpoint's dictionary around these opcodes."""
    return b"\x80\x02}(X\x0c\x00\x00\x00flat_weights](" + opcodes + b"eX\x04\x00\x00\x00stepK\x00u."


def test_pickles_that_would_run_something_are_refused_and_run_nothing(tmp_path):
    mark = tmp_path / "mark"
    make = f"open({str(mark)!r}, 'w').close()"
    touch = f"touch {mark}"
    evil = {
        "os": (pickle.dumps({"flat_weights": [Call(os.system, touch)]}), "posix.system"),
        "eval": (pickle.dumps({"flat_weights": [Call(eval, make)]}), "builtins.eval"),
        "first": (pickle.dumps(Call(exec, make)), "builtins.exec"),
        "state": (pickle.dumps({"flat_weights": [Call(np.ndarray, (0,), state=Call(eval, make))]}), "builtins.eval"),
        "getattr": (pickle.dumps({"flat_weights": [Call(getattr, Call(eval, make), "real")]}), "builtins.getattr"),
        "python2": (text(b"c__builtin__\neval\nU" + bytes([len(make)]) + make.encode() + b"\x85R"), "__builtin__.eval"),
        "numpy": (text(b"cnumpy.testing\nrundocs\nU\x01a\x85R"), "numpy.testing.rundocs"),
        "load": (text(b"cnumpy\nload\nU\x01a\x85R"), "numpy.load"),
        "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93.", "numpy.os.system"),
        "looks": (text(b"cjaxos\nsystem\nU\x01a\x85R"), "jaxos.system"),
        "person": (text(b"Pa name\n"), "PERSID"),
        "persons": (text(b"K\x01Q"), "BINPERSID"),
        "instance": (text(b"(ios\nsystem\n"), "INST"),
        "object": (text(b"(cjax\nx\no"), "OBJ"),
        "buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
        "called": (text(b"cjax\nx\n)R)R"), "no name of its own"),
        "told": (text(b"cjax\nx\n}b"), "state to what has none"),
    }
    pickle.loads(evil["eval"][0])  # what Python's own unpickler does with one of them
    assert mark.exists()
    mark.unlink()
    for name, (content, said) in evil.items():
        assert said in refused(save(tmp_path / f"{name}.pkl.gz", content)), name
        assert not mark.exists(), name


def test_extension_codes_are_refused_even_if_python_knows_them(tmp_path):
    copyreg.add_extension("posix", "getpid", 77)
    try:
        content = pickle.dumps({"flat_weights": [Call(os.getpid)]}, 2)
        assert pickle.loads(content)["flat_weights"][0] == os.getpid()  # and remembered, past every look-up
        assert "EXT1" in refused(save(tmp_path / "a.pkl.gz", content))
    finally:
        copyreg.remove_extension("posix", "getpid", 77)


def test_classes_of_jax_and_trax_that_are_not_there_are_only_names(tmp_path):
    mark = tmp_path / "mark"
    command = f"touch {mark}".encode()
    thing = b"ctrax.gone.away\nThing\n)\x81}X\x01\x00\x00\x00aK\x01sb"
    system = b"cjax._src.os\nsystem\nU" + bytes([len(command)]) + command + b"\x85R"
    array = pickle.dumps(MATRIX, 2)[2:-1]
    content = b"\x80\x02}(X\x0c\x00\x00\x00flat_weights](" + array + b"eX\x0a\x00\x00\x00flat_state(" + thing + system
    found = read_trax(save(tmp_path / "a.pkl.gz", content + b"tu."))
    np.testing.assert_array_equal(found.weights[0], MATRIX)
    assert not mark.exists() and found.step == 0
    assert "array 0" in refused(save(tmp_path / "b.pkl.gz", text(thing)))


# ---- what is damaged


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": 1}, "no `flat_weights`"),
        ([1, 2], "no `flat_weights`"),
        ({"flat_weights": "abc"}, "no list of arrays"),
        ({"flat_weights": [MATRIX, None]}, "array 1"),
        ({"flat_weights": [np.array([{}, 1], object)]}, "objects"),
        ({"flat_weights": [np.arange(3)]}, "type i8"),
        ({"flat_weights": [MATRIX], "step": "many"}, "`step`"),
    ],
)
def test_pickles_that_are_no_checkpoints_say_why(tmp_path, content, said):
    assert said in refused(save(tmp_path / "a.pkl.gz", pickle.dumps(content)))


def test_files_that_are_no_gzip_cut_short_or_missing(tmp_path):
    whole = (CHECKPOINTS / "reformer-single.pkl.gz").read_bytes()
    for name, content, said in (
        ("plain", pickle.dumps({"flat_weights": []}), "no gzip file"),
        ("cut", whole[: len(whole) // 2], "not whole"),
        ("empty", b"", "not a whole pickle"),
        ("inner", gzip.compress(gzip.decompress(whole)[:-50]), "not a whole pickle"),
    ):
        (tmp_path / f"{name}.pkl.gz").write_bytes(content)
        assert said in refused(tmp_path / f"{name}.pkl.gz")
    assert "No such file" in refused(tmp_path / "gone.pkl.gz")


def test_the_second_file_missing_cut_short_or_given_alone(tmp_path):
    for ending in (".pkl.gz", ".weights.npy.gz"):
        (tmp_path / f"a{ending}").write_bytes((CHECKPOINTS / f"transformer{ending}").read_bytes())
    arrays = tmp_path / "a.weights.npy.gz"
    assert "give the .pkl.gz file" in refused(arrays)
    data = gzip.decompress(arrays.read_bytes())
    save(arrays, data[:-3])
    assert "array 37 cannot be read" in refused(tmp_path / "a.pkl.gz")
    arrays.unlink()
    assert f"{arrays} is missing" in refused(tmp_path / "a.pkl.gz")


def test_records_of_objects_and_headers_that_promise_too_much_are_refused(tmp_path):
    write_trax(tmp_path / "a.pkl.gz", [MATRIX], 0)
    for shape, kind in (("(2,)", "|O"), ("(1000000000, 1000000)", "<f4"), ("(-1, -1)", "<f4"), ("(" * 900, "<f4")):
        header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
        record = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps([eval, eval])
        save(tmp_path / "a.weights.npy.gz", record)
        assert "array 0 cannot be read" in refused(tmp_path / "a.pkl.gz")


def test_a_file_that_unpacks_without_end_is_refused(tmp_path):
    bomb = gzip.compress(bytes(2**27), 9)
    assert len(bomb) < 2**18
    path = tmp_path / "a.pkl.gz"
    path.write_bytes(bomb)
    assert "100 times its size" in refused(path)


def test_no_damage_does_more_than_an_error(tmp_path):
    random, path = np.random.default_rng(0), tmp_path / "a.pkl.gz"
    originals = [gzip.decompress(p.read_bytes()) for p in sorted(CHECKPOINTS.glob("*-single.pkl.gz"))]
    errors = 0
    for i in range(400):
        data = bytearray(originals[i % 2])
        start = int(random.integers(0, len(data) if i % 4 else 400))
        data[start : start + 4] = random.bytes(int(random.integers(0, 6)))
        path.write_bytes(gzip.compress(data, 0))
        try:
            read_trax(path)
        except PixaceError as error:
            assert len(str(error)) < 1000
            errors += 1
    assert errors > 100


def test_pickles_made_to_take_all_time_or_memory_are_refused_at_once(tmp_path):
    itself = []
    itself.append(itself)
    cyclic = pickle.dumps({"flat_weights": [MATRIX], "step": 0, "input_signature": itself})
    assert read_trax(save(tmp_path / "cyclic.pkl.gz", cyclic)).length is None
    copies = b"(" + b"N" * 400_000 + b"lq\x010c__builtin__\nset\nq\x020(" + b"h\x02h\x01\x85R" * 60_000 + b"l."
    long = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6
    encoded = long + b"q\x010c_codecs\nencode\nq\x020X\x06\x00\x00\x00latin1q\x030("
    encoded += b"h\x02h\x01h\x03\x86R" * 60_000 + b"l."  # as lists 24 GB, as bytes 60 GB
    for name, content in (("copies", copies), ("encoded", encoded)):
        assert "no `flat_weights`" in refused(save(tmp_path / f"{name}.pkl.gz", content))
    assert "operations" in refused(save(tmp_path / "many.pkl.gz", b"}" * 2_100_000 + b"."))


@pytest.mark.parametrize("step", [-1, 2**31, 2**20_000, 1.5], ids=["negative", "large", "huge", "broken"])
def test_a_step_that_is_no_number_of_steps_is_refused(tmp_path, step):
    assert "`step`" in refused(single(tmp_path / "a.pkl.gz", [MATRIX], step=step))


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    assert "no finite numbers" in refused(single(tmp_path / "a.pkl.gz", [MATRIX, MATRIX * np.nan]))
