"""What ``nightshift check`` adds to the checks of ``specs``."""

import json

import pytest

from nightshift.features.recipes import code_of, feature_spec
from nightshift.registry.ledger import Ledger, NewEntry
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from tests.conftest import PROJECT, spec_document
from tests.unit.cli.conftest import Cli
from tests.unit.scoring.parcels import register
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


@pytest.mark.parametrize(
    ("name", "mount", "words"),
    [
        ("keys", "/keys", None),
        ("storage", "/keys", "the pod template has a volume of that name; take another"),
        ("keys", "/lake", "the pod template has a volume at /lake already; take another path"),
    ],
)
def test_volumes_that_meet_those_of_the_pod_template(
    cli: Cli, home: Settings, name: str, mount: str, words: str | None
) -> None:
    home.pod_template.parent.mkdir(parents=True, exist_ok=True)
    template = (PROJECT / "include" / "k8s" / "scoring-pod.yaml").read_text()
    home.pod_template.write_text(template.replace("mountPath: /nightshift", "mountPath: /lake"))
    volumes = {name: {"mount": mount, "secret": "keys"}}
    path = add_spec(home, "parcels", scoring={"pod": {"volumes": volumes}})
    done = cli("check")
    if words is None:
        assert (done.returncode, done.stdout) == (0, "1 spec checked, no problem\n")
        return
    [line] = [number for number, text in enumerate(path.read_text().splitlines(), 1) if text.strip() == f"{name}:"]
    assert done.returncode == 1
    assert done.stdout.startswith(f"include/pipelines/parcels.yaml:{line}: scoring.pod.volumes.{name}: {words}\n")


def test_a_champion_that_the_next_night_would_refuse_is_a_warning(cli: Cli, home: Settings, ledger: Ledger) -> None:
    pipeline = load_pipeline(home, "parcels")
    code = code_of(home.home, pipeline)["features"]
    model = register(home.models, b"a model", feature_code=code, feature_spec=feature_spec(pipeline))
    since = pipeline.schedule.start
    ledger.append(
        NewEntry(
            "parcels", "promotion", actor="ada", as_of=since, effective_from=since, version="3",
            model_sha256=model.sha256, reason="better",
        )
    )  # fmt: skip
    assert cli("check").stdout == "1 spec checked, no problem\n"
    module = home.feature_modules / "parcels.py"
    module.write_text(module.read_text().replace("...", "return days", 1))
    now = code_of(home.home, pipeline)["features"]
    done = cli("check", "parcels")
    assert (done.returncode, done.stdout.splitlines()) == (0, [
        "warning: parcels: version 3 is champion, and scoring with it would be refused: the model was trained "
        f"with feature code {code}, now it is {now}. What to do: retrain; it scores from the day after its as-of "
        "date on.",
        "1 spec checked, no problem",
    ])  # fmt: skip
    home.database_file.write_text("postgresql://nobody@127.0.0.1:1/none")
    done = cli("check", "parcels", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"specs": 1, "problems": [], "warnings": []})


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
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("SpecError: include/pipelines/late_parcels.yaml: the file is there already.")
    document = json.loads(cli("new", "later_parcels", "--json").stdout)
    assert document["spec"] == "include/pipelines/later_parcels.yaml"
    assert cli("new", "../parcels").returncode == 2
