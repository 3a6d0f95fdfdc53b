"""What ``nightshift check`` adds to the checks of ``specs``."""

import json

import pytest

from nightshift.settings import Settings
from tests.conftest import spec_document
from tests.unit.cli.conftest import Cli
from tests.unit.specs.home import add_spec


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_depth": 6, "eta": 0.05}, None),
        ({"max_dept": 6}, "training.params: there is no parameter max_dept; did you mean max_depth?; allowed: "),
        ({"seed": 6}, "training.params.seed is decided by training.seed\n"),
    ],
)
def test_parameters_of_the_booster(cli: Cli, home: Settings, params: dict[str, float], words: str | None) -> None:
    path = add_spec(home, "parcels", training={**spec_document()["training"], "params": params})
    done = cli("check")
    if words is None:
        assert (done.returncode, done.stdout) == (0, "1 spec checked, no problem\n")
        return
    [line] = [
        number
        for number, text in enumerate(path.read_text().splitlines(), 1)
        if text.strip().startswith(next(iter(params)))
    ][-1:]
    assert done.returncode == 1
    assert done.stdout.startswith(f"include/pipelines/parcels.yaml:{line}: {words}")


def test_what_new_writes_is_checked_and_never_overwritten(cli: Cli, home: Settings) -> None:
    done = cli("new", "late_parcels")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "written: include/pipelines/late_parcels.yaml",
        "written: spark_jobs/features/late_parcels.py",
    ]
    assert "3. nightshift check late_parcels" in lines
    assert cli("check").stdout == "2 specs checked, no problem\n"
    again = cli("new", "late_parcels")
    assert (again.returncode, again.stdout) == (3, "")
    assert again.stderr.startswith("SpecError: include/pipelines/late_parcels.yaml: the file is there already.")
    document = json.loads(cli("new", "later_parcels", "--json").stdout)
    assert document["spec"] == "include/pipelines/later_parcels.yaml"
    assert cli("new", "../parcels").returncode == 3
