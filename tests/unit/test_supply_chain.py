"""What is locked: looked up honestly, listed for auditors, and without developers' packages in images."""

import json
import re
import subprocess
import tomllib
from typing import Any

import pytest

from supply_chain.verdict import NONE_KNOWN, UNKNOWN, VULNERABLE, verdict
from tests.conftest import PROJECT

FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["1.2", "2.0"], "aliases": [], "description": ""}
SAFE = {"name": "numpy", "version": "2.4.6", "vulns": []}
FLAWED = {"name": "flask", "version": "1.1", "vulns": [FLAW]}
SKIPPED = {"name": "scipy", "skip_reason": "Dependency not found on PyPI and could not be audited: scipy (1.17.1)"}


def locked(name: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+==[^ \\\n]+)", (PROJECT / name).read_text(), re.MULTILINE | re.IGNORECASE))


@pytest.mark.parametrize(
    ("dependencies", "status"),
    [([SAFE], NONE_KNOWN), ([SAFE, SKIPPED], UNKNOWN), ([FLAWED, SKIPPED], VULNERABLE), ([], UNKNOWN)],
)  # fmt: skip
def test_what_could_not_be_looked_up_is_never_called_safe(dependencies: list[dict[str, Any]], status: int) -> None:
    found = verdict({"dependencies": dependencies, "fixes": []})
    text = "\n".join(found.lines)
    assert found.status == status
    assert ("UNKNOWN for 1 of 2 packages" in text) == (SKIPPED in dependencies)
    assert ("flask 1.1: PYSEC-2026-1, mended in 1.2 and 2.0" in text) == (FLAWED in dependencies)


def test_images_have_no_package_of_developers() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    developers = {re.split(r"[<>=\[ ]", name)[0].lower().replace("_", "-") for name in extras["dev"]}
    everything = locked("requirements.txt")
    for name in ("platform", "scoring", "spark"):
        image = locked(f"requirements-{name}.txt")
        assert image <= everything
        assert not developers & {line.split("==")[0].lower() for line in image}
    assert "requirements-platform.txt -r" in (PROJECT / "include/docker/airflow.Dockerfile").read_text()


@pytest.mark.process
def test_make_audit_is_green_only_where_all_was_looked_up() -> None:
    done = subprocess.run(
        ["make", "-s", "audit"], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert (done.returncode == 0) == done.stdout.startswith("no vulnerability is known of")
    assert done.stdout.strip()


@pytest.mark.process
def test_make_sbom_lists_the_packages_of_each_image() -> None:
    subprocess.run(["make", "-s", "sbom"], cwd=PROJECT, capture_output=True, check=True, timeout=300)
    for name, wanted in {"platform": "apache-airflow", "scoring": "xgboost-cpu", "spark": "pyspark"}.items():
        bom = json.loads((PROJECT / f"build/sbom/{name}.cdx.json").read_text())
        components = [(item["name"], item["version"]) for item in bom["components"]]
        assert bom["bomFormat"] == "CycloneDX"
        assert [found for found, _ in components].count(wanted) == 1
        assert {f"{found}=={version}" for found, version in components} <= locked(f"requirements-{name}.txt")
