import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.errors import SpecError
from nightshift.settings import Settings
from nightshift.specs.check import check_specs
from nightshift.specs.load import load_pipeline
from nightshift.specs.skeleton import write_skeleton
from tests.needs import needs
from tests.unit.specs.home import make_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return make_home(tmp_path / "home")


def listing(settings: Settings) -> list[Path]:
    return sorted(path for path in settings.home.parent.rglob("*") if path.is_file())


def test_a_skeleton_passes_its_check_as_it_is(home: Settings) -> None:
    spec, module = write_skeleton(home, "late_parcels")

    assert (spec, module) == (home.pipelines / "late_parcels.yaml", home.feature_modules / "late_parcels.py")
    assert check_specs(home).problems == ()
    pipeline = load_pipeline(home, "late_parcels")
    assert pipeline.inputs["items"].path == "late_parcels/items/ds={ds}/*.csv"
    assert "@" not in spec.read_text() + module.read_text()
    for name in pipeline.inputs:
        assert {"marker", "quiet"} <= pipeline.inputs[name].model_fields_set, "who begins a pipeline sees them"


@pytest.mark.parametrize(
    "name",
    [
        *("", "Parcels", "late-parcels", "late__parcels", "_parcels", "1st", "parcels_", "größe", "a" * 61),
        *("../parcels", "/parcels", "a/b", "..", "parcels.yaml", "parcels\n", "parcels\x00"),
    ],
)
def test_a_name_that_is_none_writes_nothing(home: Settings, name: str) -> None:
    before = listing(home)
    with pytest.raises(SpecError) as error:
        write_skeleton(home, name)
    assert str(error.value) == (
        f"{name!r} is not a name for a pipeline. Allowed: at most 60 lower-case letters and digits, words joined by "
        "single underscores, a letter first."
    )
    assert listing(home) == before


@given(st.text(max_size=12) | st.from_regex(r"[a-z._/\\]{1,12}", fullmatch=True))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_the_name_nothing_is_written_elsewhere(home: Settings, name: str) -> None:
    before = listing(home)
    try:
        made = sorted(write_skeleton(home, name))
    except SpecError:
        made = []
    assert sorted({*listing(home)} - {*before}) == made
    for path in made:
        assert path.parent in (home.pipelines, home.feature_modules)
        path.unlink()


def test_a_word_of_pythons_is_no_name(home: Settings) -> None:
    with pytest.raises(SpecError, match="'class' is a word of Python's, which no module can be named"):
        write_skeleton(home, "class")


@pytest.mark.parametrize("taken", ["home/include/pipelines/a.yaml", "home/include/pipelines/a.yml"])
def test_a_spec_that_is_there_is_left_alone(home: Settings, taken: str) -> None:
    Path(taken).write_text("mine")
    before = listing(home)
    with pytest.raises(SpecError) as error:
        write_skeleton(home, "a")
    words = "the file is there already. What to do: choose another name, or remove the file."
    assert str(error.value) == f"{taken}: {words}"
    assert (Path(taken).read_text(), listing(home)) == ("mine", before)


def test_a_module_that_is_there_is_left_alone_and_no_spec_is_written(home: Settings) -> None:
    module = home.feature_modules / "a.py"
    module.write_text("mine")
    with pytest.raises(SpecError, match=r"home/spark_jobs/features/a\.py: the file is there already"):
        write_skeleton(home, "a")
    assert module.read_text() == "mine"
    assert not (home.pipelines / "a.yaml").exists()


def test_a_link_to_nowhere_is_not_followed(home: Settings) -> None:
    (home.feature_modules / "a.py").symlink_to(home.home / "elsewhere.py")
    with pytest.raises(SpecError, match="the file is there already"):
        write_skeleton(home, "a")
    assert not (home.home / "elsewhere.py").exists()


@needs(os.geteuid() != 0, "root may write everywhere", "`nightshift new` keeps nothing of what it cannot write")
def test_a_folder_that_may_not_be_written_keeps_nothing(home: Settings) -> None:
    home.feature_modules.chmod(0o500)
    with pytest.raises(SpecError, match="cannot be written: Permission denied"):
        write_skeleton(home, "a")
    home.feature_modules.chmod(0o700)
    assert not (home.pipelines / "a.yaml").exists()
