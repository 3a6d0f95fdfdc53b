"""Every command that the documents show works as it is written, on the platform that the nights left behind.

Those of `docs/pipelines.md` are of a pipeline of their own, so that they need no more than a platform.
"""

import re
import shlex
import time
from datetime import date
from typing import Any

import pytest

from nightshift.platform.airflow_client import login
from nightshift.platform.backfill import watch
from tests.live import PROJECT, Live

pytestmark = [pytest.mark.platform, pytest.mark.spark]

DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md"))]
# These are run by whoever runs this test, or would run it again.
SETS_UP = ("make", ".venv/bin/pytest")


def shown(document: str) -> list[str]:
    """The commands in a document's bash blocks, without their comments."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (PROJECT / document).read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_documents_show_commands() -> None:
    assert {document for document in DOCUMENTS if shown(document)} >= {
        "README.md",
        "CONTRIBUTING.md",
        "docs/operating.md",
    }


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_are_there(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for line in shown(document):
        words = shlex.split(line)
        if words[0] == "make":
            assert set(words[1:]) <= targets, line
        if words[0] == ".venv/bin/pytest":
            assert (PROJECT / words[1]).is_dir(), line


def on_a_platform(document: str) -> Any:
    return pytest.param(document, marks=pytest.mark.xdist_group("platform") if document == "docs/pipelines.md" else ())


@pytest.mark.parametrize("document", map(on_a_platform, DOCUMENTS))
def test_commands_work_as_they_are_written(document: str, live_platform: Live) -> None:
    for line in shown(document):
        if line.startswith(SETS_UP) or line.startswith("eval"):
            continue
        words = shlex.split(line.replace(".venv/bin/", ""))
        if words[:3] == ["airflow", "backfill", "create"]:
            backfill(live_platform, words)
        else:
            live_platform.run(*words)


def backfill(live: Live, words: list[str]) -> None:
    """Creates it once Airflow knows the DAG and has closed the one before; waits for its runs, which succeed."""
    options = dict(zip(words[3::2], words[4::2], strict=True))
    first, last = (date.fromisoformat(options[name]) for name in ("--from-date", "--to-date"))
    live.end_backfills()
    with login(live.settings) as client:
        while not client.has_dag(options["--dag-id"]) or client.has_backfill(options["--dag-id"]):
            time.sleep(1)
        live.run(*words)
        runs = watch(client, options["--dag-id"], first, last, print, seconds=540)
    assert {run.state for run in runs} == {"success"}
