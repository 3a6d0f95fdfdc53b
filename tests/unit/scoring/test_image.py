"""The scoring image has what `score` imports, in the locked versions, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nightshift.scoring.plan import read_result
from tests.conftest import PROJECT
from tests.unit.scoring.parcels import make_plan

DOCKERFILE = PROJECT / "include" / "docker" / "scoring.Dockerfile"

SCORE = """
import runpy, sys
sys.meta_path.insert(0, runpy.run_module("nightshift.scoring", run_name="not main")["_Absent"]())
from nightshift.scoring.__main__ import main
main(sys.argv[1:])
print(*{getattr(module, "__file__", None) for module in list(sys.modules.values())} - {None}, sep="\\n")
"""


@pytest.mark.process
def test_it_has_the_modules_that_scoring_imports_and_no_other(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [100])
    done = subprocess.run(
        [sys.executable, "-c", SCORE, "score", "--plan", plan.uri, "--shard", "0"],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert read_result(plan.uri, 0) is not None
    files = [Path(line) for line in done.stdout.splitlines() if line.startswith(str(PROJECT / "include"))]
    wanted = {str(path.relative_to(PROJECT)) for path in files}
    assert set(re.findall(r"include/nightshift/\S+\.py", DOCKERFILE.read_text())) == wanted


def test_the_lock_is_a_part_of_the_platforms() -> None:
    def locked(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==[^\\\n]+", (PROJECT / name).read_text(), re.MULTILINE))

    scoring = locked("requirements-scoring.txt")
    assert {line.split("==")[0] for line in scoring} == {"numpy", "pyarrow", "scipy", "xgboost-cpu"}
    assert scoring <= locked("requirements.txt")
