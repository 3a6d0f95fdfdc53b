"""The documented reference and the editors' schema are those of the models, and the schema fits what is valid."""

import json
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

from nightshift.specs.document import read_document
from nightshift.specs.reference import reference, schema, schema_text, with_reference
from tests.conftest import PROJECT, spec_document
from tests.unit.specs.home import SPECS

PIPELINES = PROJECT / "include" / "pipelines"
AGAIN = "run `python -m nightshift.specs.reference`"
VALID = [*sorted(PIPELINES.glob("*.yaml")), PROJECT / "tests" / "e2e" / "turbines" / "turbines.yaml"]


def plain(text: str) -> object:
    document, _ = read_document("spec.yaml", text)
    assert document is not None
    return document.data


def test_the_editors_schema_is_current() -> None:
    assert (PIPELINES / "spec.schema.json").read_text() == schema_text(), AGAIN


def test_the_documented_reference_is_current() -> None:
    text = (PROJECT / "docs" / "pipelines.md").read_text()
    assert reference() in text, AGAIN
    assert with_reference(text) == text


@pytest.mark.process
def test_importing_the_models_looks_for_no_source() -> None:
    """Pydantic would look for the source of each among all modules, in every task and every parse."""
    code = "import inspect\ninspect.getmodule = None\nimport nightshift.specs.model"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_key_says_what_it_means_in_one_line() -> None:
    models = {"Pipeline": schema(), **schema()["$defs"]}
    for name, model in models.items():
        for key, field in model["properties"].items():
            assert re.fullmatch(r"[^\n]{8,}\.", field.get("description", "")), f"{name}.{key}"


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_specs_fit_the_schema(path: object) -> None:
    jsonschema.validate(plain(path.read_text()), schema())  # type: ignore[attr-defined]


def test_parcels_and_a_skeleton_fit_it_too() -> None:
    jsonschema.validate(spec_document(), schema())
    skeleton = PROJECT / "include" / "nightshift" / "specs" / "skeleton" / "spec.yaml.txt"
    jsonschema.validate(plain(skeleton.read_text().replace("@NAME@", "parcels")), schema())


@pytest.mark.parametrize(
    "name",
    ["unknown_key", "unknown_nested_key", "wrong_word", "missing_key", "mostly_above_one", "unknown_expectation"],
)
def test_an_editor_sees_plain_mistakes(name: str) -> None:
    found = plain((SPECS / "bad" / f"{name}.yaml").read_text())
    if name == "mostly_above_one":  # arguments of expectations are for `nightshift check`
        jsonschema.validate(found, schema())
        return
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema())


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.yaml")), ids=lambda path: path.stem)
def test_specs_name_their_schema_for_editors(path: object) -> None:
    assert path.read_text().startswith("# yaml-language-server: $schema=spec.schema.json\n")  # type: ignore[attr-defined]


def test_the_schema_is_json_that_yaml_reads_alike() -> None:
    assert yaml.safe_load(schema_text()) == json.loads(schema_text())
