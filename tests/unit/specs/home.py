"""A home folder with specs and feature modules, as ``Settings.home`` wants it."""

import shutil
from pathlib import Path

import yaml

from nightshift.settings import Settings
from tests.conftest import PROJECT, spec_document

SPECS = Path(__file__).resolve().parents[2] / "specs"
MODULE = "def build(inputs, days):\n    ...\n\n\ndef label(inputs, days):\n    ...\n"


def make_home(folder: Path) -> Settings:
    """A home without specs that has the feature modules of ``tests/specs/features``."""
    (folder / "include" / "pipelines").mkdir(parents=True)
    modules = folder / "spark_jobs" / "features"
    shutil.copytree(SPECS / "features", modules)
    shutil.copytree(PROJECT / "spark_jobs" / "transforms", modules.parent / "transforms")
    for path in modules.glob("*.py.txt"):
        path.rename(path.with_suffix(""))
    return Settings.from_env({"NIGHTSHIFT_HOME": str(folder)})


def add_spec(settings: Settings, name: str, **changes: object) -> Path:
    """Writes the spec ``parcels`` under another name, with its feature module."""
    path = settings.pipelines / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**spec_document(**changes), "pipeline": name}, sort_keys=False))
    (settings.feature_modules / f"{name}.py").write_text(MODULE)
    return path
