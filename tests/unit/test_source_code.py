from pathlib import Path

import pytest

from nightshift.errors import SpecError
from nightshift.source_code import feature_code, package_code

MODULE = '''"""Features of parcels."""

from spark_jobs.transforms import trailing
from spark_jobs.transforms.days import spread


def build(inputs, days):
    """Build."""
    return trailing.sums(_clean(inputs), days)


def label(inputs, days):
    """Label."""
    return spread(inputs, days)


def _clean(inputs):
    return inputs  # as they are
'''

TRAILING = """from spark_jobs.transforms import exact


def sums(a, b):
    return exact.add(a, b)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    files = {
        "spark_jobs/__init__.py": "",
        "spark_jobs/features/parcels.py": MODULE,
        "spark_jobs/features/other.py": "X = 1\n",
        "spark_jobs/transforms/__init__.py": "",
        "spark_jobs/transforms/trailing.py": TRAILING,
        "spark_jobs/transforms/exact.py": "def add(a, b):\n    return a, b\n",
        "spark_jobs/transforms/days.py": "def spread(a, b):\n    return a, b\n",
        "spark_jobs/transforms/unused.py": "X = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def _hashes(home: Path) -> tuple[str, str]:
    return feature_code(home, "parcels", "build"), feature_code(home, "parcels", "label")


def _edit(home: Path, name: str, old: str, new: str) -> None:
    path = home / "spark_jobs" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("features/parcels.py", "  # as they are", "  # another comment"),
        ("features/parcels.py", '"""Build."""', '"""Says something else."""'),
        ("features/parcels.py", '    """Label."""\n', ""),
        ("features/parcels.py", '"""Features of parcels."""', ""),
        (
            "features/parcels.py",
            "trailing.sums(_clean(inputs), days)",
            "trailing.sums(\n        _clean(inputs), days,\n    )",
        ),
        ("transforms/exact.py", "def add", "# why\ndef add"),
        ("transforms/unused.py", "X = 1", "X = 2"),
        ("features/other.py", "X = 1", "X = 2"),
    ],
)
def test_what_changes_no_hash(home: Path, name: str, old: str, new: str) -> None:
    before = _hashes(home)
    _edit(home, name, old, new)
    assert _hashes(home) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "build", "label"),
    [
        ("features/parcels.py", "trailing.sums(_clean(inputs), days)", "trailing.sums(inputs, days)", True, False),
        ("features/parcels.py", "spread(inputs, days)", "spread(days, inputs)", False, True),
        ("features/parcels.py", "return inputs  #", "return [inputs]  #", True, True),
        ("transforms/trailing.py", "exact.add(a, b)", "exact.add(b, a)", True, True),
        ("transforms/exact.py", "return a, b", "return b, a", True, True),
        ("transforms/days.py", "return a, b", "return b, a", True, True),
    ],
)
def test_what_changes_a_hash(home: Path, name: str, old: str, new: str, build: bool, label: bool) -> None:
    before = _hashes(home)
    _edit(home, name, old, new)
    after = _hashes(home)
    assert (after[0] != before[0], after[1] != before[1]) == (build, label)


def test_a_function_that_uses_the_other_one_depends_on_it(home: Path) -> None:
    _edit(home, "features/parcels.py", "return spread(inputs, days)", "return build(inputs, days)")
    before = _hashes(home)
    _edit(home, "features/parcels.py", "_clean(inputs), days)", "inputs, days)")
    after = _hashes(home)
    assert (after[0] != before[0], after[1] != before[1]) == (True, True)


def test_an_import_of_a_package_counts_its_init(home: Path) -> None:
    before = _hashes(home)
    (home / "spark_jobs" / "transforms" / "__init__.py").write_text("X = 1\n")
    assert _hashes(home) != before


def test_modules_that_import_each_other_end(home: Path) -> None:
    (home / "spark_jobs" / "transforms" / "exact.py").write_text("import spark_jobs.transforms.trailing\n")
    before = _hashes(home)
    _edit(home, "transforms/trailing.py", "exact.add(a, b)", "exact.add(b, a)")
    assert _hashes(home) != before


def test_the_same_code_in_another_place_is_the_same(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "home"
    home.rename(other)
    moved = _hashes(other)
    other.rename(home)
    assert _hashes(home) == moved


def test_a_module_that_is_not_there_or_not_python(home: Path) -> None:
    with pytest.raises(SpecError, match="there is no such feature module"):
        feature_code(home, "none", "build")
    (home / "spark_jobs" / "features" / "parcels.py").write_text("def build(:\n")
    with pytest.raises(SpecError, match=r"parcels\.py:1: not valid Python: "):
        feature_code(home, "parcels", "build")


def test_the_code_of_some_modules(home: Path) -> None:
    files = [home / "spark_jobs" / "transforms" / name for name in ("exact.py", "days.py")]
    before = package_code(files)
    assert before == package_code(reversed(files))
    _edit(home, "transforms/exact.py", "def add", '"""Words."""\ndef add')
    assert package_code(files) == before
    _edit(home, "transforms/exact.py", "return a, b", "return b, a")
    assert package_code(files) != before
