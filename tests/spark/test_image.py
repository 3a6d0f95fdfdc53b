"""The image of Spark's pods has what a job imports, in the locked versions, and nothing else of Nightshift."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from nightshift import storage
from nightshift.commands import FeaturesCommand
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import PROJECT
from tests.spark.conftest import LAST, as_submitted
from tests.spark.typed import build_plan

pytestmark = pytest.mark.spark

DOCKERFILE = PROJECT / "include" / "docker" / "spark.Dockerfile"

# That it needs no more packages is seen where it runs: tests/kubernetes.
JOB = """
import sys
from spark_jobs.main import main
status = main(sys.argv[1:])
print(*{getattr(module, "__file__", None) for module in list(sys.modules.values())} - {None}, sep="\\n")
sys.exit(status)
"""


def test_it_has_the_modules_that_a_job_imports_and_no_other(
    landed: Settings, flights: Pipeline, tmp_path: Path
) -> None:
    settings = replace(landed, lake=str(tmp_path / "lake"))
    day = LAST - timedelta(days=2)
    uri = storage.join(settings.lake, "plan.json")
    storage.write_json(uri, build_plan(settings, flights, [day], [day]).document())
    command = FeaturesCommand(flights.name, day, day, uri)
    environment = {**os.environ, **as_submitted(settings)}
    argv = [sys.executable, "-c", JOB, *command.argv()]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = [Path(line) for line in done.stdout.splitlines() if line.startswith(str(PROJECT / "include"))]
    wanted = {str(path.relative_to(PROJECT)) for path in files}
    assert set(re.findall(r"include/nightshift/\S+\.py", DOCKERFILE.read_text())) == wanted


def test_the_lock_is_a_part_of_the_platforms() -> None:
    def locked(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==[^\\\n]+", (PROJECT / name).read_text(), re.MULTILINE))

    spark = locked("requirements-spark.txt")
    assert {line.split("==")[0] for line in spark} == {"pyspark", "py4j", "pyarrow"}
    assert {line.strip() for line in spark} <= {line.strip() for line in locked("requirements.txt")}
