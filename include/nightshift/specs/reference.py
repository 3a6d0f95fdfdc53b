"""The reference of a spec, from its models: a JSON Schema for editors, and tables for ``docs/pipelines.md``.

``python -m nightshift.specs.reference`` writes both; a test keeps them current.
"""

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path
from typing import Any

from nightshift.settings import Settings
from nightshift.specs.contract import Model
from nightshift.specs.expectations import catalogue
from nightshift.specs.model import Pipeline

BEGIN, END = "<!-- the reference begins -->", "<!-- the reference ends -->"

_ORDER = (
    "Schedule", "Input", "Missing", "Limits", "Column", "Gate", "Features", "Spark", "Label", "Training", "Promotion",
    "Scoring", "Pod", "Volume", "Toleration",
)  # fmt: skip
_WHERE = {
    "Schedule": "`schedule`",
    "Input": "`inputs.<name>`",
    "Missing": "`inputs.<name>.missing`",
    "Limits": "`inputs.<name>.limits`",
    "Column": "`columns.<name>` of a source and of `features`",
    "Gate": "every `gate`",
    **{name: f"`{name.lower()}`" for name in ("Features", "Label", "Training", "Promotion", "Scoring")},
    "Spark": "`features.spark`",
    "Pod": "`scoring.pod`",
    "Volume": "`scoring.pod.volumes.<name>`",
    "Toleration": "each of `scoring.pod.tolerations`",
}
_WORDS = {"date": "date", "date-time": "timestamp"}


def schema() -> dict[str, Any]:
    """The JSON Schema of a spec. ``nightshift check`` knows more: how keys belong together."""
    found = Pipeline.model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    expectation = found["$defs"]["Gate"]["properties"]["expect"]["items"]
    expectation |= {"propertyNames": {"enum": sorted(catalogue())}, "minProperties": 1, "maxProperties": 1}
    words = {model.__name__: _docstrings(model) for model in Model.__subclasses__()}
    for name, model in {"Pipeline": found, **found["$defs"]}.items():
        model["title"] = name
        for key, field in model["properties"].items():
            field.pop("title", None)
            field["description"] = words[name][key]
    return found


def _docstrings(model: type[Model]) -> dict[str, str]:
    """The docstring below each field of a model, empty where there is none.

    Pydantic would read them with every import of the models, which costs a process with many modules 0.25 s.
    """
    tree = ast.parse(Path(str(sys.modules[model.__module__].__file__)).read_text(encoding="utf-8"))
    body = next(item.body for item in tree.body if isinstance(item, ast.ClassDef) and item.name == model.__name__)
    found = dict.fromkeys(model.model_fields, "")
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = cleandoc(text)
    return found


def schema_text() -> str:
    """The content of ``include/pipelines/spec.schema.json``."""
    return json.dumps(schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def reference() -> str:
    """Markdown: a section for each model, a table row for each key."""
    found = schema()
    sections = [_section("Pipeline", "at the top", found)]
    sections += [_section(name, _WHERE[name], found["$defs"][name]) for name in _ORDER]
    return "\n".join(sections)


def with_reference(text: str) -> str:
    """A document whose part between the marks is the present reference."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _section(name: str, where: str, model: Mapping[str, Any]) -> str:
    words = str(model["description"]).splitlines()[0].replace("``", "`")
    lines = [f"### {name}: {where}", "", words, "", "| key | type | default | meaning |", "|---|---|---|---|"]
    required = model.get("required", ())
    for key, field in model["properties"].items():
        default = "**needed**" if key in required else _default(field)
        cells = (f"`{key}`", _type(field), default, str(field["description"]))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    if "$ref" in field or value in ([], {}):
        return "empty" if value in ([], {}) else "its defaults"
    return f"`{json.dumps(value)}`"


def _type(field: Mapping[str, Any]) -> str:
    """What may be written, in words."""
    return " or ".join(dict.fromkeys(_types(field)))


def _types(field: Mapping[str, Any]) -> Iterator[str]:
    if "anyOf" in field:
        for item in field["anyOf"]:
            yield from (words for words in _types(item) if words != "null")
    elif "$ref" in field:
        yield field["$ref"].rpartition("/")[2]
    elif "enum" in field or "const" in field:
        yield ", ".join(f"`{word}`" for word in field.get("enum", [field.get("const")]))
    elif field["type"] == "array":
        yield f"list of {_type(field['items'])}"
    elif field["type"] == "object":
        inner = next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties", {}))
        yield f"names with {_type(inner)}" if isinstance(inner, dict) and inner else "a mapping"
    else:
        yield _WORDS.get(field.get("format", ""), {"string": "text"}.get(field["type"], field["type"])) + _limits(field)


def _limits(field: Mapping[str, Any]) -> str:
    least, greatest = field.get("minimum"), field.get("maximum")
    if least is not None and greatest is not None:
        return f" from {least} to {greatest}"
    if (above := field.get("exclusiveMinimum")) is not None:
        return f" above {above}"
    return f" from {least}" if least is not None else ""


def main() -> None:
    """Write the schema, and the reference into the document."""
    settings = Settings.from_env()
    document = settings.home / "docs" / "pipelines.md"
    (settings.pipelines / "spec.schema.json").write_text(schema_text(), encoding="utf-8")
    document.write_text(with_reference(document.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
