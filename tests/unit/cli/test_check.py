"""What ``nightshift check`` adds to the checks of ``specs``."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import storage
from nightshift.cli.next_champions import next_day
from nightshift.features.recipes import code_of, feature_spec
from nightshift.model_manifest import model_uri
from nightshift.registry.ledger import Ledger, NewEntry
from nightshift.settings import Settings
from nightshift.specs.calendar import cutoff
from nightshift.specs.load import load_pipeline
from tests.conftest import PROJECT, make_pipeline, spec_document
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


def test_a_champion_that_the_next_night_would_refuse_is_a_problem(cli: Cli, home: Settings, ledger: Ledger) -> None:
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
    whole = module.read_text()
    module.write_text(whole.replace("...", "return days", 1))
    now = code_of(home.home, pipeline)["features"]
    done = cli("check", "parcels")
    assert (done.returncode, done.stdout.splitlines()) == (1, [
        "parcels: scoring of 2024-03-31 would be refused: version 3: the model was trained with feature code "
        f"{code}, now it is {now}. What to do: put code and spec back, or `nightshift retrain parcels --as-of DAY`; "
        "it scores from DAY + 1 on.",
        "1 spec checked, 1 problem",
    ])  # fmt: skip
    [refused] = json.loads(cli("check", "--json").stdout)["refused"]
    assert (refused["pipeline"], refused["ds"], refused["version"]) == ("parcels", "2024-03-31", "3")
    module.write_text(whole)
    assert cli("check").returncode == 0
    storage.delete(model_uri(home.models, model.sha256))
    done = cli("check")
    assert (done.returncode, "the files of version 3 are gone" in done.stdout) == (1, True)
    home.database_file.write_text("postgresql://nobody@127.0.0.1:1/none")
    done = cli("check", "parcels")
    assert (done.returncode, done.stdout) == (0, "1 spec checked, no problem\n")
    assert done.stderr.startswith("parcels: whether tonight's scoring takes their champions was not asked: ")


def test_what_could_not_be_asked_is_said_and_is_no_problem(cli: Cli, home: Settings, ledger: Ledger) -> None:
    done = cli("check", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["problems"], document["refused"]) == ([], [])
    assert document["not_asked"] == {"parcels": "the ledger names none for 2024-03-31"}
    home.database_file.unlink()
    done = cli("check")
    assert (done.returncode, done.stdout) == (0, "1 spec checked, no problem\n")
    assert (
        "parcels: whether tonight's scoring takes their champions was not asked: there is no ledger here" in done.stderr
    )


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), st.booleans())
def test_tonight_is_the_first_day_whose_cutoff_is_still_to_come(now: datetime, over: bool) -> None:
    schedule = spec_document()["schedule"]
    pipeline = make_pipeline(schedule=schedule if over else {**schedule, "end": None})
    ds, end = next_day(pipeline, now), pipeline.schedule.end
    assert pipeline.schedule.start <= ds <= (end or ds)
    if cutoff(pipeline.schedule, ds) <= now:
        assert ds == end
    elif ds > pipeline.schedule.start:
        assert cutoff(pipeline.schedule, ds - timedelta(days=1)) <= now


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


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin"}, "promotion.approval: 1 login is known here"),
        ({"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:admin,Ada:op"}, "promotion.approval: 1 login is known here"),
        ({"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,ada:op"}, ""),
        ({}, "whether two people can sign in, as promotions of parcels want, is not known here"),
        ({"AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.FabAuthManager"}, "is not known here"),
    ],
)
def test_an_approval_that_nobody_could_give(cli: Cli, home: Settings, environ: dict[str, str], words: str) -> None:
    add_spec(home, "parcels", promotion={**spec_document()["promotion"], "approval": "required"})
    done = cli("check", **environ)
    assert done.returncode == (1 if words.startswith("promotion") else 0)
    assert words in done.stdout + done.stderr


def test_the_logins_of_this_machines_platform_are_known(cli: Cli, home: Settings) -> None:
    add_spec(home, "parcels", promotion={**spec_document()["promotion"], "approval": "required"})
    storage.write_json(f"{home.var}/secrets/airflow-passwords.json", {"admin": "a"})
    assert "1 login is known here" in cli("check").stdout
    storage.write_json(f"{home.var}/secrets/airflow-passwords.json", {"admin": "a", "ada": "b"})
    assert cli("check").returncode == 0
