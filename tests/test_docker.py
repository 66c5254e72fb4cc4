"""The container's files, without a container: what they name exists, the lock is whole, the entrypoint decides right.

`scripts/test-docker` builds and runs the image.
"""

import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = {"cpu": ROOT / "Dockerfile.cpu", "cuda": ROOT / "Dockerfile"}
NOBODY = 65534


def instructions(path: Path) -> list[str]:
    """The lines of a Dockerfile, continued ones joined, without comments."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    return [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def locked(kind: str) -> dict[str, str]:
    """Canonical name -> version."""
    entries = [re.match(r"([\w.-]+)(?:\[[^]]*\])?==(\S+)", line) for line in lock_file(kind).read_text().splitlines()]
    return {canonicalize_name(entry[1]): entry[2] for entry in entries if entry}


def lock_file(kind: str) -> Path:
    return ROOT / f"docker/requirements-{kind}.lock"


def from_setup(keyword: str):
    """What setup.py passes as `keyword`."""
    passed: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            sys.modules,
            "setuptools",
            SimpleNamespace(setup=lambda **given: passed.update(given), find_packages=lambda **given: []),
        )
        runpy.run_path(str(ROOT / "setup.py"))
    return passed[keyword]


@pytest.mark.parametrize("kind", DOCKERFILES)
def test_dockerfiles_name_files_that_exist_and_are_sent_to_the_builder(kind):
    lines = instructions(DOCKERFILES[kind])
    named = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    named += re.findall(r"type=bind,source=([^, ]+)", " ".join(lines))
    assert {"pixace", "setup.py", "docker/entrypoint", f"docker/requirements-{kind}.lock"} <= set(named)
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignore[0] == "*"
    sent = {line[1:].rstrip("/") for line in ignore if line.startswith("!")}
    for name in named:
        assert (ROOT / name).exists(), name
        assert name.split("/")[0] in sent, name


def test_both_images_are_the_same_but_for_what_is_installed():
    assert [line.replace("-cuda.lock", "-cpu.lock") for line in instructions(DOCKERFILES["cuda"])] == instructions(
        DOCKERFILES["cpu"]
    )


def test_the_base_image_is_pinned_and_its_python_is_one_that_pixace_allows():
    image = instructions(DOCKERFILES["cpu"])[0]
    found = re.fullmatch(r"FROM python:(3\.\d+)[.\d]*-slim-[a-z]+", image)
    assert found, image
    assert Requirement(f"python{from_setup('python_requires')}").specifier.contains(found[1])


@pytest.mark.parametrize("kind", DOCKERFILES)
def test_the_lock_satisfies_setup_py(kind):
    versions = locked(kind)
    wanted = from_setup("install_requires") + (from_setup("extras_require")["cuda"] if kind == "cuda" else [])
    wanted += tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, wanted):
        version = versions.get(canonicalize_name(requirement.name))
        assert version, f"{requirement} is not locked; scripts/lock"
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked; scripts/lock"
    assert ("jax-cuda12-plugin" in versions) == (kind == "cuda")


@pytest.mark.parametrize("kind", DOCKERFILES)
def test_every_locked_package_has_a_checksum_and_no_address(kind):
    text = lock_file(kind).read_text()
    entries = re.split(r"\n(?=[a-z])", text)[1:]
    assert len(entries) == len(locked(kind)) > 20
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


def test_both_images_install_the_same_versions_of_what_they_share():
    cpu, cuda = locked("cpu"), locked("cuda")
    assert cpu.items() <= cuda.items()


def test_the_entrypoint_is_a_shell_script_that_may_be_run():
    script = ROOT / "docker/entrypoint"
    assert subprocess.run(["sh", "-n", script]).returncode == 0
    assert script.stat().st_mode & stat.S_IXUSR


class Container:
    """The entrypoint with stand-ins for what a container decides: who runs it, and whose folder it works in."""

    def __init__(self, place: Path):
        self.place = place
        self.folder, self.commands = place / "volume", place / "commands"
        self.folder.mkdir(mode=0o755)
        self.commands.mkdir(mode=0o755)
        shutil.copy(ROOT / "docker/entrypoint", place / "entrypoint")
        self.command("pixace", "printf 'ran as %s:' $(id -u):$(id -g); printf ' <%s>' \"$@\"")
        self.command("id", 'case $1 in -u) echo "${USER_ID%:*}" ;; *) echo "${USER_ID#*:}" ;; esac')
        self.command("stat", 'case $1 in *%m) echo "$MOUNT" ;; *) echo "$OWNER" ;; esac')
        self.command("grep", 'test "$ROOTLESS" = no')  # the only grep is the one for the machine's own root
        # The real one becomes another user and runs the rest of its words; this one says so and does the same.
        self.command(
            "setpriv",
            'test "$MAY_CHANGE" = yes || exit 1\n'
            'export USER_ID="${1#--reuid=}:${2#--regid=}"; test "$3" = --clear-groups; shift 3; exec "$@"',
        )

    def command(self, name: str, body: str) -> None:
        path = self.commands / name
        path.write_text(f"#!/bin/sh\nset -eu\n{body}\n")
        path.chmod(0o755)

    def run(self, *words: str, user: str, owner: str, writable: bool = True, **facts: str):
        """Standard output and error; where the tests run as root, the script runs as nobody, whom rights bind."""
        self.folder.chmod(0o777 if writable else 0o555)
        given = {"MOUNT": "/pixace", "MAY_CHANGE": "yes", "ROOTLESS": "no", "USER_ID": user, "OWNER": owner, **facts}
        done = subprocess.run(
            [self.place / "entrypoint", *words],
            cwd=self.folder,
            env={"PATH": f"{self.commands}:{os.environ['PATH']}", **given},
            capture_output=True,
            text=True,
            **(dict(user=NOBODY, group=NOBODY, extra_groups=[]) if os.getuid() == 0 else {}),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def container():
    """In a folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Container(Path(name))


def test_root_becomes_the_owner_of_the_volume(container):
    assert container.run("train", "--images=my pictures", user="0:0", owner="1234:100") == (
        "ran as 1234:100: <train> <--images=my pictures>",
        "",
    )


def test_a_user_who_was_named_stays(container):
    assert container.run("predict", user="1234:1234", owner="1234:1234") == ("ran as 1234:1234: <predict>", "")
    assert container.run("predict", user="77:77", owner="1234:1234") == ("ran as 77:77: <predict>", "")


def test_a_volume_of_root_is_worked_in_as_root_and_it_is_said(container):
    out, said = container.run("predict", user="0:0", owner="0:0")
    assert out == "ran as 0:0: <predict>"
    assert said.startswith("pixace: working as root, because") and 'sudo chown "$(id -u):$(id -g)"' in said
    assert container.run("predict", user="0:0", owner="0:0", ROOTLESS="yes") == (out, "")


@pytest.mark.parametrize(
    "user, owner, facts, hint",
    [
        (
            "77:77",
            "1234:100",
            {},
            "belongs to user 1234:100, and user 77:77 cannot write it; docker run --user 1234:100",
        ),
        ("77:77", "0:0", {}, 'then docker run --user "$(id -u):$(id -g)"'),
        ("0:0", "1234:100", {"MAY_CHANGE": "no"}, "docker run --user 1234:100"),
        ("0:0", "1234:100", {}, "is read-only"),
        ("0:0", "0:0", {}, "is read-only"),
    ],
)
def test_a_volume_that_cannot_be_written_is_named_in_one_line_and_the_command_still_runs(
    container, user, owner, facts, hint
):
    out, said = container.run("predict", user=user, owner=owner, writable=False, **facts)
    assert out.endswith(": <predict>")
    assert hint in said and said.startswith("pixace: ") and "\n" not in said


def test_without_a_volume_it_is_said_that_results_will_be_lost(container):
    _, said = container.run("train", user="0:0", owner="1000:1000", MOUNT="/")
    assert "no volume is mounted" in said and 'docker run -v "$(pwd)/vol:' in said


@pytest.mark.parametrize("words", [(), ("--help",), ("--version",)])
def test_asking_for_help_brings_no_word_about_the_volume(container, words):
    assert container.run(*words, user="77:77", owner="0:0", writable=False, MOUNT="/")[1] == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; the stand-in above shows the decision")
def test_the_real_setpriv_leaves_nothing_of_root(container):
    for name in ("id", "stat", "setpriv", "grep"):
        (container.commands / name).unlink()
    container.command("pixace", 'echo "$(id -u) $(id -g) $(id -G)"; touch made')
    os.chown(container.folder, 1234, 4321)
    done = subprocess.run(
        [container.place / "entrypoint", "predict"],
        cwd=container.folder,
        env={"PATH": f"{container.commands}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["1234", "4321", "4321"], done.stderr
    made = (container.folder / "made").stat()
    assert (made.st_uid, made.st_gid) == (1234, 4321)
