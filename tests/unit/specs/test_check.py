import shutil
import time
from pathlib import Path

import pytest

from nightshift.errors import SpecError
from nightshift.settings import Settings
from nightshift.specs.check import check_specs
from tests.unit.specs.home import SPECS, add_spec, make_home

GOOD = SPECS / "good"
BAD = sorted((SPECS / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_has_exactly_this_message(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    settings = make_home(tmp_path)
    shutil.copy(path, settings.pipelines)
    monkeypatch.chdir(tmp_path)
    found = "".join(f"{problem}\n" for problem in check_specs(settings).problems)
    assert found == path.with_suffix(".txt").read_text()


def _good_home(folder: Path) -> Settings:
    """A home with the specs of ``tests/specs/good`` and their feature modules."""
    settings = make_home(folder)
    for path in GOOD.glob("*.yaml"):
        shutil.copy(path, settings.pipelines)
    modules = GOOD / "features"
    for path in modules.rglob("*.py.txt"):
        module = settings.feature_modules / path.relative_to(modules).with_suffix("")
        module.parent.mkdir(exist_ok=True)
        shutil.copy(path, module)
    return settings


@pytest.mark.parametrize("name", sorted(path.stem for path in GOOD.glob("*.yaml") if path.stem != "names"))
def test_a_good_spec_and_its_module_have_no_problem(name: str, tmp_path: Path) -> None:
    assert check_specs(_good_home(tmp_path), name).problems == ()


@pytest.mark.parametrize("path", sorted((GOOD / "names").glob("*.py.txt")), ids=lambda path: path.name)
def test_a_module_whose_columns_and_texts_have_names_of_functions_has_no_problem(path: Path, tmp_path: Path) -> None:
    settings = _good_home(tmp_path)
    shutil.copy(path, settings.feature_modules / "names.py")
    assert check_specs(settings, "names").problems == ()


def test_every_message_belongs_to_a_spec() -> None:
    assert {path.stem for path in BAD} == {path.stem for path in (SPECS / "bad").glob("*.txt")}


def test_problems_of_all_specs_are_listed_and_good_ones_counted(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    add_spec(settings, "good")
    add_spec(settings, "late", owner="")
    add_spec(settings, "lost", owner=1)
    checked = check_specs(settings)
    assert checked.specs == 3
    assert [(Path(problem.file).name, problem.line) for problem in checked.problems] == [
        ("late.yaml", 2),
        ("lost.yaml", 2),
    ]
    assert check_specs(settings, "good").problems == ()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({"min": 5, "max": 1}, "label.min 5 is greater than max 1"),
        (
            {"objective": "binary", "max": 200},
            "label.max 200 does not go with objective binary, whose labels are 0 and 1",
        ),
    ],
)
def test_bounds_of_a_label_that_no_label_meets(label: dict[str, object], words: str, tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    declared = {"column": "hours", "objective": "regression", "lag": 1, "inputs": ["deliveries"], **label}
    add_spec(settings, "parcels", label=declared)
    assert [item.text for item in check_specs(settings).problems] == [words]


def test_a_pipeline_that_is_not_there(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    with pytest.raises(SpecError, match="there is no spec"):
        check_specs(settings)
    add_spec(settings, "parcels")
    with pytest.raises(SpecError, match=r"there is no pipeline 'parcel'; did you mean parcels\? Allowed: parcels\."):
        check_specs(settings, "parcel")


def test_two_hundred_specs_take_less_than_two_seconds_of_cpu(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    for number in range(200):
        add_spec(settings, f"parcels_{number}")
    began = time.process_time()
    assert check_specs(settings).problems == ()
    assert time.process_time() - began < 2
