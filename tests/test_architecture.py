"""The rules of the house, read from the source itself: who imports whom, and what is never written."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

import pixace

ROOT = Path(pixace.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in sorted(ROOT.rglob("*.py"))
}
MODULES = sorted(FILES)
SIDE = {"canvas", "style", "clip", "guide", "refine"}  # what the core knows nothing of
CORE = {"ops", "models", "training", "sampling", "dataset", "tokenising", "sources", "tokenizer"}
BASICS = {"config", "fields", "config_file", "errors", "folders", "threads"}
PICTURES = {"opening", "images", "sheets", "fetching"}
WORK = {"models", "ops", "tokenizer", "dataset", "checkpoints", "exchange", "tracking", "progress", "devices"}
WORK |= {"sharding", "sources"}
FITTING = {"fitting", "checkpoints", "tracking", "progress", "devices", "training.optimizers", "training.watch"}
# Which modules (or whole packages) of ours each may import, lazily or not. Where nothing is said, the rules
# for everybody hold: nothing imports cli, and the core imports none of `SIDE`.
MAY_IMPORT = {
    "errors": set(),
    "fields": {"errors"},
    "config": {"errors", "fields"},
    "folders": {"errors"},
    "progress": set(),
    "ops": set(),
    "models": {"ops", *BASICS},
    "config_file": {"config", "fields", "errors"},
    "checkpoints": {"config", "fields", "config_file", "models.spec", "errors", "folders"},
    "inert_pickle": {"errors"},
    "trax_files": {"inert_pickle", *BASICS},
    "weight_files": {"inert_pickle", *BASICS},
    "exchange": {"trax_files", "models", "checkpoints", *BASICS},
    "fetching": {"progress", *BASICS},
    "locks": {"errors"},
    "threads": set(),
    "zoo": WORK | BASICS | PICTURES | {"locks", "sampling"},
    "opening": {"fetching", *BASICS},
    "images": {"opening", *BASICS},
    "sheets": {"opening", *BASICS},
    "tokenizer": {"images", "opening", *BASICS},
    "sources": {"images", "opening", "progress", *BASICS},
    "tokenising": {"sources", "tokenizer", "progress", *BASICS},
    "dataset": {"tokenising", "sources", "progress", *BASICS},
    "tracking": BASICS,
    "sampling": WORK | BASICS | PICTURES | {"trax_engine"},
    "training": WORK | BASICS | PICTURES | {"sampling", "trax_engine", "planning.advice", "planning.machine"},
    "trax_engine": WORK | {"sampling", "training", *BASICS},
    "evaluation": WORK | BASICS | PICTURES | {"sampling", "training.pictures"},
    # By formula: it knows the table of weights and how ops cut sequences, and neither runs nor compiles a model.
    "planning": {"models.table", "ops.blocking", "ops.attention", "devices", "progress", *BASICS},
    "fitting": BASICS | PICTURES | {"checkpoints", "tracking", "progress", "devices", "training.watch"},
    "canvas": BASICS | PICTURES,
    "style": BASICS
    | PICTURES
    | FITTING
    | {"canvas", "dataset", "sources", "zoo.download", "weight_files", "token_table"},
    "clip": BASICS | PICTURES | FITTING | {"dataset", "sources", "weight_files", "zoo.download", "zoo.emoji"},
    "guide": BASICS | PICTURES | FITTING | SIDE,
    "refine": BASICS | PICTURES | FITTING | SIDE | {"tokenizer", "zoo.download"},
}
WITHOUT_JAX = [
    *(
        "config",
        "config_file",
        "errors",
        "folders",
        "opening",
        "images",
        "sheets",
        "tokenizer",
        "dataset",
        "tokenising",
        "tracking",
        "progress",
        "threads",
    ),
    *("canvas.kinds", "canvas.sizes", "clip.config", "clip.naming"),
    *(f"guide.{name}" for name in ("expressions", "kinds", "outputs", "reading", "reference", "settings", "variables")),
    *(f"style.{name}" for name in ("faces", "layers", "options", "naming")),
    *("locks", "trax_files", "inert_pickle", "devices", "models.table", "ops.blocking", ""),
]
FOLDERS_WITHOUT_JAX = ("cli", "fetching", "planning", "sources", "weight_files", "zoo")
HEAVY = {"jax", "jaxlib", "optax", "orbax", "tensorflow", "torch", "trax", "tensorboardX"}
HEAVY |= {"tensorflow_datasets", "array_record", "pyarrow", "cv2", "tokenizers"}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text())


def imports(module: str, at_import: bool = False) -> set[str]:
    """Absolute names of all that a module imports; with `at_import` only what happens when it is imported."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if at_import and (lazy or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree(module))
    return found


def ours(names: set[str]) -> set[str]:
    """The modules of this package among imported names, such as `models.spec` for pixace.models.spec.Block."""
    found = set()
    for name in names:
        if name == "pixace" or name.startswith("pixace."):
            parts = name.split(".")[1:]
            while parts and ".".join(parts) not in FILES:
                parts.pop()
            found.add(".".join(parts))
    return found


def within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in allowed)


@pytest.mark.subset
def test_modules_import_only_what_the_design_allows():
    wrong = []
    for module in MODULES:
        top = module.split(".")[0]
        for used in sorted(ours(imports(module)) - {module, ""}):
            if used.split(".")[0] == "cli" and top != "cli":
                wrong.append(f"{module} imports {used}: nothing imports cli")
            if top in CORE and used.split(".")[0] in SIDE:
                wrong.append(f"{module} imports {used}: the core never does")
            allowed = MAY_IMPORT.get(module, MAY_IMPORT.get(top))
            if allowed is not None and not within(used, allowed | {top}):
                wrong.append(f"{module} imports {used}")
    assert not wrong, "\n".join(wrong)


def test_ops_import_jax_alone():
    allowed = {"jax", "numpy", "pixace", *sys.stdlib_module_names}
    for module in MODULES:
        if module.split(".")[0] == "ops":
            assert {name.split(".")[0] for name in imports(module)} <= allowed
            assert all(used.split(".")[0] == "ops" for used in ours(imports(module)))


def test_no_jax_is_reached_when_the_light_modules_are_imported():
    """Directly or through others; what functions import inside themselves does not count."""

    def heavy_path(module: str, path: tuple[str, ...] = ()) -> tuple[str, ...] | None:
        if module in path:
            return None
        path = (*path, module)
        names = imports(module, at_import=True)
        if direct := {name.split(".")[0] for name in names} & HEAVY:
            return (*path, *sorted(direct))
        parents = {".".join(module.split(".")[:i]) for i in range(1, module.count(".") + 1)}
        for used in sorted((ours(names) | parents) - {module}):
            if found := heavy_path(used, path):
                return found
        return None

    light = [m for m in MODULES if m in WITHOUT_JAX or m.split(".")[0] in FOLDERS_WITHOUT_JAX]
    assert {"cli.main", "cli.flags", "cli.train", "cli.predict", "config", "dataset", ""} <= set(light)
    wrong = [" -> ".join(found) for m in light if (found := heavy_path(m))]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_knows_absl():
    knowing = {m for m in MODULES if any(name.split(".")[0] == "absl" for name in imports(m))}
    assert {m.split(".")[0] for m in knowing} <= {"cli"}


def test_nothing_unsafe_is_written():
    """No eval or exec, no pickle but the restricted reader of old checkpoints, nothing called utils."""
    wrong = [m for m in MODULES if m.split(".")[-1] in ("utils", "util", "helpers", "misc", "common")]
    for module in MODULES:
        pickles = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
        if module.split(".")[0] != "trax_files" and {name.split(".")[0] for name in imports(module)} & pickles:
            wrong.append(f"{module} imports pickle")
        for node in ast.walk(tree(module)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "os.system"):
                wrong.append(f"{module}:{node.lineno} calls {called}")
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "shell") and ast.unparse(keyword.value) != "False":
                    wrong.append(f"{module}:{node.lineno} passes {ast.unparse(keyword)}")
    assert not wrong, "\n".join(wrong)


def test_commands_do_not_assert():
    """`python -O` drops assertions, and their text is nothing for people."""
    wrong = [
        f"{m}:{node.lineno}"
        for m in MODULES
        if m.split(".")[0] == "cli"
        for node in ast.walk(tree(m))
        if isinstance(node, ast.Assert)
    ]
    assert not wrong, wrong


def public_definitions(module: str):
    """Public functions and classes of a module and the public methods of these classes."""
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def test_whatever_is_public_has_a_docstring_and_typed_arguments():
    wrong = []
    for module in MODULES:
        if not ast.get_docstring(tree(module)) and tree(module).body:
            wrong.append(f"{module} has no docstring")
        for name, node in public_definitions(module):
            if not ast.get_docstring(node):
                wrong.append(f"{module}.{name} has no docstring")
            if isinstance(node, ast.ClassDef):
                node = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
                if node is None:
                    continue
            a = node.args
            given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
            untyped = [arg.arg for arg in given if arg.annotation is None and arg.arg not in ("self", "cls")]
            if untyped:
                wrong.append(f"{module}.{name} has untyped arguments: {', '.join(untyped)}")
            if node.returns is None and node.name != "__init__":
                wrong.append(f"{module}.{name} does not say what it returns")
    assert not wrong, "\n".join(wrong)


def test_files_stay_short():
    long = {m: n for m in MODULES if (n := len(FILES[m].read_text().splitlines())) >= 400}
    assert not long, long


def test_trax_is_loaded_in_one_place_and_late():
    """Nothing imports Trax or TensorFlow by name; `load_trax` does, when its engine is asked for."""
    for module in MODULES:
        assert not {name.split(".")[0] for name in imports(module)} & {"trax", "tensorflow"}, module
        assert "load_trax" in FILES[module].read_text() or '"trax.' not in FILES[module].read_text(), module
    outside = [m for m in MODULES if not within(m, {"trax_engine", "training.settings"})]
    early = {m for m in outside if any(within(used, {"trax_engine"}) for used in ours(imports(m, at_import=True)))}
    assert not early
