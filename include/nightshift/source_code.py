"""Code as part of a fingerprint: syntax trees without comments and docstrings."""

import ast
from collections.abc import Iterable
from pathlib import Path

from nightshift.errors import SpecError
from nightshift.lineage import recipe


def feature_code(home: Path, module: str, entry: str) -> str:
    """The hash of what ``entry`` (``build`` or ``label``) of a feature module is made of.

    The module and everything below ``spark_jobs`` that it imports count. The other entry function is left out
    where nothing else in the module names it, so that changing a label leaves features as they are.
    """
    start = home / "spark_jobs" / "features" / f"{module}.py"
    other = {"build": "label", "label": "build"}[entry]
    return recipe(**{str(path.relative_to(home)): text for path, text in _closure(home, start, other).items()})


def package_code(files: Iterable[Path]) -> str:
    """The hash of some modules of this library, by file name."""
    return recipe(**{path.name: _plain(_parse(path)) for path in files})


def _closure(home: Path, start: Path, other: str) -> dict[Path, str]:
    seen: dict[Path, str] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        tree = _without(_parse(path), other) if path == start else _parse(path)
        seen[path] = _plain(tree)
        waiting += [found for name in _imports(tree) for found in _files(home, name)]
    return seen


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except FileNotFoundError:
        raise SpecError("there is no such feature module", where=str(path), do="write it or correct the spec") from None
    except SyntaxError as error:
        raise SpecError(f"not valid Python: {error.msg}", where=f"{path}:{error.lineno}") from None


def _without(tree: ast.Module, name: str) -> ast.Module:
    kept = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == name)]
    used = any(isinstance(node, ast.Name) and node.id == name for item in kept for node in ast.walk(item))
    return tree if used else ast.Module(body=kept, type_ignores=[])


def _plain(tree: ast.Module) -> str:
    """The tree as text. ``ast.unparse`` drops comments and layout; docstrings are dropped here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and _is_text(first.value):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _imports(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted(name for name in names if name.split(".")[0] == "spark_jobs")


def _files(home: Path, name: str) -> list[Path]:
    path = home.joinpath(*name.split("."))
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
