"""What is wrong with a feature module that is Python and has its functions: names that lead nowhere.

It is read as a syntax tree and never run. ``nightshift check`` says this; a night would fail with it.
"""

import ast
from collections.abc import Collection, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from nightshift.settings import Settings
from nightshift.specs.document import Problem
from nightshift.specs.load import shown
from nightshift.specs.model import Pipeline
from nightshift.specs.spelling import nearest

_JOBS = "spark_jobs"
_INPUTS = "inputs"


def lost_names(settings: Settings, pipeline: Pipeline) -> list[Problem]:
    """Sources that the module reads and the spec does not give it, and imports of what is not there, by line."""
    path = settings.feature_modules / f"{pipeline.module}.py"
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    found = [*_lost_sources(tree, pipeline), *_lost_imports(tree, settings.home)]
    return [Problem(shown(path), line, text) for line, text in sorted(found)]


def _lost_sources(tree: ast.Module, pipeline: Pipeline) -> Iterator[tuple[int, str]]:
    """``inputs["x"]`` in a function whose parameter is ``inputs``, unless the function gives that name to another."""
    given: dict[str, tuple[str, Collection[str]]] = {
        "build": ("features.inputs", pipeline.feature_inputs),
        "label": ("label.inputs", pipeline.label_inputs),
    }
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        arguments = {item.arg for item in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
        nodes = list(ast.walk(function))
        stored = any(isinstance(node, ast.Name) and _is_stored(node) for node in nodes)
        if _INPUTS not in arguments or stored:
            continue
        part, sources = given.get(function.name, ("inputs", pipeline.inputs))
        for node in nodes:
            name = _source_read(node)
            if name is None or name in sources:
                continue
            words = f"there is no source {name}{nearest(name, sources)}"
            if name in pipeline.inputs:
                words = f"the source {name} is not one of {part}"
            yield node.lineno, f"{words}; allowed: {', '.join(sources)}"  # type: ignore[attr-defined]


def _is_stored(name: ast.Name) -> bool:
    return name.id == _INPUTS and isinstance(name.ctx, ast.Store)


def _source_read(node: ast.AST) -> str | None:
    match node:
        case ast.Subscript(value=ast.Name(id="inputs"), slice=ast.Constant(value=str(name)), ctx=ast.Load()):
            return name
        case _:
            return None


def _lost_imports(tree: ast.Module, home: Path) -> Iterator[tuple[int, str]]:
    """Imports at the module's top that would fail: what is not installed, and names that our own modules lack."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not _is_there(alias.name, home):
                    yield node.lineno, _not_there(alias.name, home)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if not _is_there(node.module, home):
                yield node.lineno, _not_there(node.module, home)
                continue
            known = _defined(node.module, home)
            for alias in node.names:
                lost = known is not None and alias.name not in (*known, "*")
                if lost and not _is_there(f"{node.module}.{alias.name}", home):
                    words = f"{node.module} has no {alias.name}{nearest(alias.name, known or ())}"
                    yield node.lineno, words


def _not_there(name: str, home: Path) -> str:
    if _top(name) != _JOBS:
        return f"imports {name}, which is not installed"
    folder = home.joinpath(*name.split(".")[:-1])
    beside = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return f"imports {name}, which is not there{nearest(name.rpartition('.')[2], beside)}"


def _is_there(name: str, home: Path) -> bool:
    """Whether a module of ours is in the project, and another one's package is installed."""
    if _top(name) != _JOBS:
        return _is_installed(_top(name))
    path = home.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _top(name: str) -> str:
    return name.partition(".")[0]


@cache
def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # a module that was made by hand
        return True


def _defined(module: str, home: Path) -> list[str] | None:
    """The names at the top of a module of ours; None where that cannot be told."""
    if _top(module) != _JOBS:
        return None
    path = home.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    try:
        tree = ast.parse(file.read_bytes())
    except FileNotFoundError:
        return []
    except (SyntaxError, ValueError):
        return None
    if any(isinstance(node, ast.If | ast.Try | ast.With | ast.For) for node in tree.body):
        return None
    return [name for node in tree.body for name in _names_of(node)]


def _names_of(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [(alias.asname or alias.name).split(".")[0] for alias in names]
        case _:
            return [
                item.id for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
            ]
