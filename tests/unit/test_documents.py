"""What the documents show in Python works as it is written."""

import ast
import re
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from nightshift import tables
from nightshift.gates.quarantine import QUARANTINE
from nightshift.job import Job
from nightshift.settings import Settings
from nightshift.specs.load import load
from tests.conftest import PROJECT

DAY = date(2013, 3, 4)


def shown(document: str) -> list[str]:
    """The Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```", (PROJECT / "docs" / document).read_text(), re.DOTALL | re.MULTILINE)


def publish(job: Job, dataset: str, rows: pa.Table) -> None:
    table = job.table(dataset)
    files = tables.write_partition(table, job.attempt, job.day, "f1", rows.schema, rows.to_batches())
    tables.publish(table, rows.schema, [job.manifest(dataset, job.day, "f1", files=files)])


def test_predictions_and_quarantine_are_read_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path)})
    job = Job(settings, load(PROJECT / "include" / "pipelines" / "flights.yaml"), DAY)
    publish(job, "predictions", pa.table({"flight_id": ["a"], "score": [0.5], "model": ["m" * 16]}))
    publish(job, "quarantine/inputs/schedule", pa.table([['["b"]'], ["too early"], ["{}"]], schema=QUARANTINE))
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in shown("operating.md") if "DeltaTable" in block]
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})  # noqa: S102  what a reader would paste
    said = capsys.readouterr().out
    assert "0.5" in said
    assert "too early" in said


def test_transforms_that_are_named_are_there() -> None:
    text = (PROJECT / "docs" / "pipelines.md").read_text().partition("## Transforms")[2].partition("\n## ")[0]
    named = {tuple(name.split(".")) for name in re.findall(r"`(\w+\.\w+)`", text)}
    there = {
        (path.stem, node.name)
        for path in (PROJECT / "spark_jobs" / "transforms").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert there - named == {("quantiles", "below_names"), ("exact", "exact")}
    assert named <= there
    for block in shown("pipelines.md"):
        ast.parse(block)


def test_what_is_not_run_stands_in_no_block_whose_lines_are_run() -> None:
    documents = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
    for path in documents:
        for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            for line in filter(None, block.splitlines()):
                assert line.startswith(("make ", "eval ", "airflow ", "nightshift ", ".venv/bin/", "#")), (path, line)
                assert "# not run" not in line, (path, line)
