"""Whatever is written into a spec: it loads, or every problem has a line. Never another exception."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.specs.check import findings
from nightshift.specs.load import read_spec
from nightshift.specs.model import Pipeline
from tests.conftest import spec_document

WORDS = ["no", "02:00", "1:30", "010", "1e3", "2024-02-30", "2024-02-01", "block", "ds", "", "…", "parcel_id", "orders"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=True),
    st.sampled_from(WORDS),
    st.text(max_size=8),
    st.dates(),
    st.datetimes(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, value in steps for found in _paths(value, (*path, key)))]


PATHS = _paths(spec_document())[1:]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid document in which a few values were replaced, removed, added or moved."""
    document = copy.deepcopy(spec_document())
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(PATHS))
        node: Any = document
        for part in parents:
            node = node[part] if isinstance(node, dict) and part in node else None
        if not isinstance(node, dict):
            continue
        match draw(st.sampled_from(["replace", "remove", "add", "rename"])):
            case "replace":
                node[last] = draw(VALUES)
            case "remove":
                node.pop(last, None)
            case "add":
                node[draw(st.sampled_from(WORDS) | st.text(max_size=6))] = draw(VALUES)
            case "rename":
                node[f"{last}s"] = node.pop(last, None)
    return document


def _check(folder: Path, content: bytes) -> None:
    path = folder / "parcels.yaml"
    path.write_bytes(content)
    pipeline, document, problems = read_spec(path)
    assert (pipeline is None) <= bool(problems)
    for problem in problems:
        assert re.match(r".*parcels\.yaml:\d+: \S", str(problem), re.DOTALL)
        assert 1 <= problem.line <= len(content.decode("utf-8", "replace").splitlines()) + 1
    if pipeline is not None and document is not None:
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
        for location, words in findings(pipeline):
            assert document.place(location).line >= 1
            assert words


@given(mutated(), st.booleans())
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_a_changed_document(tmp_path: Path, document: dict[str, Any], block_style: bool) -> None:
    if block_style:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    else:
        text = json.dumps(document, default=str, indent=1)
    _check(tmp_path, text.encode("utf-8", "surrogatepass"))


TEXT = yaml.safe_dump(spec_document(), sort_keys=False)


@given(
    st.integers(0, len(TEXT)),
    st.integers(0, 20),
    st.text(max_size=10) | st.sampled_from(["&a ", "*a", "<<: ", "!!set ", "? ", "- "]),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_text(tmp_path: Path, start: int, length: int, new: str) -> None:
    _check(tmp_path, (TEXT[:start] + new + TEXT[start + length :]).encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    _check(tmp_path, content)
