"""What `make setup` says before it installs anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.programs import program

pytestmark = pytest.mark.process


PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "include" / "nightshift" / "platform" / "setup.sh"


def run(folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """The script in an empty folder whose only commands are those of ``folder/bin``."""
    (folder / "bin").mkdir(exist_ok=True)
    environment = {"PATH": str(folder / "bin"), **environ}
    shell = shutil.which("sh") or "/bin/sh"
    return subprocess.run([shell, SCRIPT], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def python(folder: Path, name: str, *, fits: bool, has_ensurepip: bool) -> None:
    """A command that answers the script's two questions."""
    answers = (
        f'case "$2" in *version_info*) exit {int(not fits)} ;; *ensurepip*) exit {int(not has_ensurepip)} ;; esac\n'
    )
    program(folder / "bin" / name, f"{answers}echo {name} $*; exit 7")


def test_without_a_python_it_says_which_it_wants(tmp_path: Path) -> None:
    python(tmp_path, "python3", fits=False, has_ensurepip=True)
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "no Python 3.11, 3.12 or 3.13 found.\nInstall one, or name one: PYTHON=/path/to/python3.12 make setup\n"
    )


def test_a_named_python_that_does_not_fit_is_named(tmp_path: Path) -> None:
    python(tmp_path, "python3.12", fits=True, has_ensurepip=True)
    done = run(tmp_path, PYTHON="/no/python here")
    assert done.returncode == 1
    assert done.stderr.startswith("no Python 3.11, 3.12 or 3.13 found (PYTHON is /no/python here).\n")


def test_a_python_without_ensurepip_says_what_to_install(tmp_path: Path) -> None:
    python(tmp_path, "python3.11", fits=True, has_ensurepip=False)
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("python3.11 cannot make virtual environments: it has no ensurepip.\n")


@pytest.mark.parametrize("named", [True, False])
def test_the_first_python_that_can_is_taken(tmp_path: Path, named: bool) -> None:
    python(tmp_path, "python3.12", fits=True, has_ensurepip=False)
    python(tmp_path, "python3.11", fits=True, has_ensurepip=True)
    (tmp_path / "bin" / "rm").symlink_to(shutil.which("rm") or "/bin/rm")
    done = run(tmp_path, **({"PYTHON": str(tmp_path / "bin" / "python3.11")} if named else {}))
    assert "making .venv with" in done.stdout
    assert "python3.11 -m venv .venv" in done.stdout
    assert done.returncode == 7


def test_uv_is_installed_by_the_locked_hashes() -> None:
    lock = (PROJECT / "requirements.txt").read_text()
    program = "/^uv==/ { on = 1 } on { print } on && !/\\\\$/ { exit }"
    assert f"awk '{program}' requirements.txt" in SCRIPT.read_text()
    found = subprocess.run(["awk", program], input=lock, capture_output=True, text=True, check=True).stdout.splitlines()
    assert found[0].startswith("uv==")
    assert len(found) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in found[1:])


def test_help_is_the_default_and_names_every_target() -> None:
    said = subprocess.run(["make", "-C", str(PROJECT)], capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "up", "down", "test", "lint", "types"):
        assert f"make {target} " in said
