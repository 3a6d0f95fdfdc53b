"""Scoring where nothing is installed but numpy, pyarrow, xgboost (with scipy, which it needs) and this package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nightshift.commands import ScoreCommand
from nightshift.scoring.plan import read_result
from tests.conftest import PROJECT
from tests.unit.scoring.parcels import make_plan

SLIM = ("numpy", "pyarrow", "scipy", "xgboost-cpu")


@pytest.fixture(scope="module")
def slim_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A venv with the locked versions of the slim packages, and a wheel of this project without its dependencies."""
    root = tmp_path_factory.mktemp("slim")
    source = root / "source"
    shutil.copytree(PROJECT / "include" / "nightshift", source / "include" / "nightshift")
    shutil.copy(PROJECT / "pyproject.toml", source)
    (source / "README.md").touch()
    locked = re.findall(rf"^((?:{'|'.join(SLIM)})==[^\\\n]+?) *\\?$", (PROJECT / "requirements.txt").read_text(), re.M)
    assert {line.split("==")[0] for line in locked} == set(SLIM)
    (root / "requirements.txt").write_text("\n".join(locked))
    python = str(root / "venv" / "bin" / "python")
    for arguments in (
        ["venv", "--python", sys.executable, str(root / "venv")],
        ["pip", "install", "--python", python, "--no-deps", "-r", str(root / "requirements.txt"), str(source)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    return python


@pytest.mark.process
def test_the_slim_environment_is_slim(slim_python: str) -> None:
    code = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    done = subprocess.run([slim_python, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == sorted([*SLIM, "nightshift"])


@pytest.mark.process
def test_the_same_argv_scores_a_shard_to_the_same_bytes(tmp_path: Path, slim_python: str) -> None:
    digests = []
    for name, python in (("slim", slim_python), ("full", sys.executable)):
        plan = make_plan(tmp_path / name, [3_000, 2_000])
        argv = [python, "-m", ScoreCommand.module, *ScoreCommand(plan.uri, 0).argv()]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        result = read_result(plan.uri, 0)
        assert result is not None
        assert pq.read_metadata(f"{plan.table}/{result.file.path}").num_rows == 5_000
        digests.append(result.sha256)
    assert digests[0] == digests[1]
