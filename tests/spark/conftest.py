"""One Spark session and some landed weeks of the demo's pipelines for all tests of this folder."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nightshift.demo import LANDERS
from nightshift.settings import Settings
from nightshift.spark import spark_conf, spark_environment
from nightshift.specs.load import load
from nightshift.specs.model import Pipeline
from tests.conftest import PROJECT
from tests.spark import generated
from tests.spark.future_blind import days_to_try


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Of a failure in the JVM, its causes; the two hundred lines of its stack would hide them."""
    report: Any = yield
    if call.excinfo is not None and "\n\tat " in str(call.excinfo.value):
        causes = [line for line in str(call.excinfo.value).splitlines() if line.startswith((": ", "Caused by: "))]
        report.longrepr = "\n".join(causes)
    return report


FIRST, LAST = date(2013, 1, 12), date(2013, 3, 14)


@pytest.fixture(scope="session")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose landing holds all demo data from ``FIRST`` to ``LAST``. To be read, not written."""
    var = tmp_path_factory.mktemp("landed")
    settings = replace(Settings.from_env({"NIGHTSHIFT_VAR": str(var)}), home=PROJECT)
    for land in LANDERS.values():
        land(settings, FIRST, LAST, lambda line: None)
    return settings


@pytest.fixture(scope="session")
def flights() -> Pipeline:
    return load(PROJECT / "include" / "pipelines" / "flights.yaml")


@pytest.fixture(scope="session")
def departures() -> Pipeline:
    return load(PROJECT / "include" / "pipelines" / "departures.yaml")


def as_submitted(settings: Settings) -> dict[str, str]:
    """The environment of a Python process whose session has the configuration that spark-submit would give it."""
    conf = [word for key, value in spark_conf(settings).items() for word in ("--conf", f"{key}={value}")]
    arguments = shlex.join(["--master", settings.spark_master, *conf, "pyspark-shell"])
    return {**spark_environment(settings), "PYSPARK_SUBMIT_ARGS": arguments}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The session that ``spark_jobs/main.py`` makes, with the configuration that spark-submit would get."""
    from spark_jobs.main import session

    settings = replace(Settings.from_env({"NIGHTSHIFT_VAR": str(tmp_path_factory.mktemp("spark"))}), home=PROJECT)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in as_submitted(settings).items():
            patch.setitem(os.environ, name, value)
        found = session("tests")
        yield found
        found.stop()


@pytest.fixture(scope="session")
def landing_of(landed: Settings, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Pipeline], Settings]:
    """Settings whose landing has some days of a pipeline.

    The demo's where it has demo data, else the landing of this machine's settings, else one made from its spec.
    """

    def find(pipeline: Pipeline) -> Settings:
        if pipeline.name in LANDERS:
            return landed
        own = Settings.from_env()
        folder = tmp_path_factory.mktemp(pipeline.name)
        own = replace(own, home=PROJECT, var=folder, lake=str(folder / "lake"))
        if days_to_try(own, pipeline, 1):
            return own
        made = replace(own, landing=str(folder / "landing"))
        first = pipeline.schedule.start
        generated.land(
            made, pipeline, first - generated.reach(pipeline), first + timedelta(days=6 + pipeline.label.lag)
        )
        return made

    return find


@pytest.fixture
def feature_module(tmp_path: Path) -> Iterator[Any]:
    """Adds a feature module from its source text, for the time of a test."""
    import spark_jobs.features as package

    added: list[str] = []
    folder = tmp_path / "spark_jobs" / "features"
    folder.mkdir(parents=True)

    def add(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)
        added.append(f"spark_jobs.features.{name}")

    package.__path__.append(str(folder))
    yield add
    package.__path__.remove(str(folder))
    for name in added:
        forgotten: ModuleType | None = sys.modules.pop(name, None)
        assert forgotten is None or forgotten.__name__ == name
