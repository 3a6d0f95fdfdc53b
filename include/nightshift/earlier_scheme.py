"""The scheme of fingerprints that code was part of by its text: what has a name by it is up to date while that holds.

It is kept for one version, so that an upgrade builds nothing anew and refuses no champion. To end it, delete this file
and what calls it: nothing else knows of it. See ``docs/adr/0032-code-by-what-it-reaches.md``.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nightshift.errors import SpecError
from nightshift.lineage import recipe, sha256
from nightshift.parts import VERSIONS

if TYPE_CHECKING:  # a scoring pod has no specs
    from nightshift.specs.model import Input, Pipeline

# The versions of the parts, and the hashes of their code, when the scheme ended; 3.11 wrote some trees otherwise.
_LAST: Final = {"csv": 1, "parquet": 1, "parquet_times": 2, "building": 1, "training": 1, "scoring": 1, "evaluation": 1}
_CODE: Final[Mapping[str, tuple[str, ...]]] = {
    "scoring": ("f15aaba36a244896",),
    "training": ("f257dbcad4548b75", "f31013ff2331bf0a"),
    "evaluation": ("fe521f9edc11c193",),
}
_ENTRIES: Final = {"features": "build", "labels": "label"}
# Transforms whose text changed since, and whose rows did not, but where names or keys collided: the files of now by
# their SHA-256, and the names of their texts of then.
_AS_THEN: Final[Mapping[str, str]] = {
    "268e218b0cf81064aa395096cd2f6d67d9e24917b76fdf444928bcaa39cd7f61": "groups",
    "275473e14fc11e267e453fa1f9f24668c46dab348d04d8e2dba0772c647d86ae": "snapshots",
    "f3056ca50b461f075745311a612c412b1786c93bdc1b11c1dbbceaa1ca1f7e97": "trailing",
}
_THEN: Final = Path(__file__).with_name("earlier_transforms")


def same_part(part: str) -> bool:
    """Return whether a part gives the rows that it gave then."""
    return VERSIONS[part] == _LAST[part]


def library_code(part: str) -> tuple[str, ...]:
    """The hashes that the part's code had, if it gives now what it gave then."""
    return _CODE[part] if same_part(part) else ()


def in_order(pipeline: "Pipeline", columns: list[list[str]]) -> list[list[str]]:
    """A model's columns as they were then: in the order of the spec."""
    order = list(pipeline.features.columns)
    return sorted(columns, key=lambda column: order.index(column[0]))


@dataclass(frozen=True)
class EarlierScheme:
    """The names that a pipeline's days and code have by the earlier scheme."""

    home: Path
    pipeline: "Pipeline"

    @cached_property
    def code(self) -> dict[str, str]:
        """The hashes of the code that builds features and labels; none where it reads files: that was not known."""
        if self.pipeline.features.reads:
            return {}
        return {dataset: feature_code(self.home, self.pipeline.module, entry) for dataset, entry in _ENTRIES.items()}

    def is_code(self, dataset: str, digest: str) -> bool:
        """Return whether a hash is that of the present code by the earlier scheme."""
        return self.code.get(dataset) == digest

    def name(self, dataset: str, days: Mapping[str, Any], rebuild: str, code: str = "") -> str:
        """The name of a day that read these days; of ``code`` where that is not the present one's. Empty: none."""
        code = code or self.code.get(dataset, "")
        if not code or not same_part("building"):
            return ""
        spec = feature_spec(self.pipeline) if dataset == "features" else label_spec(self.pipeline)
        ordered = {"rebuild": rebuild} if rebuild else {}
        return recipe(dataset=dataset, inputs=days, code=code, spec=spec, **ordered)


def feature_spec(pipeline: "Pipeline") -> str:
    """The hash of what the spec says about features."""
    return recipe(
        key=pipeline.key_types,
        columns={name: column.type for name, column in pipeline.features.columns.items()},
        inputs={name: [item.snapshot, item.lag, item.lookback] for name, item in pipeline.feature_inputs.items()},
        timezone=pipeline.schedule.timezone,
        generation=pipeline.generation,
    )


def label_spec(pipeline: "Pipeline") -> str:
    """The hash of what the spec says about labels."""
    label = pipeline.label
    return recipe(
        key=pipeline.key_types,
        column=[label.column, label.objective, label.lag],
        inputs={name: [item.snapshot, item.lag] for name, item in pipeline.label_inputs.items()},
        timezone=pipeline.schedule.timezone,
        generation=pipeline.generation,
    )


def input_name(contents: list[str], source: "Input", timezone: str, part: str) -> str:
    """The name of an input partition whose files have these hashes, in the order of their names. Empty: none."""
    if not same_part(part):
        return ""
    return recipe(
        contents=contents,
        columns={name: column.type for name, column in source.columns.items()},
        order=list(source.columns),
        key=source.key,
        format=[source.file_format, source.delimiter, source.null_values] if source.file_format == "csv" else "parquet",
        timezone=timezone,
        reader=_LAST[part],
    )


def feature_code(home: Path, module: str, entry: str) -> str:
    """The hash of the text of a feature module, and of all below ``spark_jobs`` that it imports."""
    start = home / "spark_jobs" / "features" / f"{module}.py"
    other = {"build": "label", "label": "build"}[entry]
    return recipe(**{str(path.relative_to(home)): text for path, text in _closure(home, start, other).items()})


def _closure(home: Path, start: Path, other: str) -> dict[Path, str]:
    seen: dict[Path, str] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen[path], imports = _module(path, _text(path), other if path == start else "")
        waiting += [found for name in imports for found in _files(home, name)]
    return seen


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        then = _AS_THEN.get(sha256(text))
        return (_THEN / f"{then}.py.txt").read_text(encoding="utf-8") if then else text
    except FileNotFoundError:
        raise SpecError("there is no such feature module", where=str(path), do="write it or correct the spec") from None
    except UnicodeDecodeError:
        raise SpecError("not UTF-8 text", where=str(path)) from None


@lru_cache(maxsize=64)
def _module(path: Path, text: str, without: str = "") -> tuple[str, list[str]]:
    """What counts of a module, and what it imports; features and labels share most of theirs."""
    tree = _parse(path, text)
    tree = _without(tree, without) if without else tree
    return _plain(tree), _imports(tree)


def _parse(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text, filename=str(path))
    except SyntaxError as error:
        raise SpecError(f"not valid Python: {error.msg}", where=f"{path}:{error.lineno}") from None


def _without(tree: ast.Module, name: str) -> ast.Module:
    kept = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == name)]
    used = any(isinstance(node, ast.Name) and node.id == name for item in kept for node in ast.walk(item))
    return tree if used else ast.Module(body=kept, type_ignores=[])


def _plain(tree: ast.Module) -> str:
    """The tree as text. ``ast.unparse`` drops comments and layout; docstrings are dropped here."""
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and _is_text(first.value):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements, however deep; no expressions, which are most of a tree and hold no docstring and no import."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from _statements(child)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _imports(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted(name for name in names if name.split(".")[0] == "spark_jobs")


def _files(home: Path, name: str) -> list[Path]:
    path = home.joinpath(*name.split("."))
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
