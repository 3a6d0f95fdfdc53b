"""Code as part of a fingerprint: syntax trees without comments and docstrings."""

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
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
    return recipe(**{path.name: _module(path, _text(path))[0] for path in files})


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
        return path.read_text(encoding="utf-8")
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
