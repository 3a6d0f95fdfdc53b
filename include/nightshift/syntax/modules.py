"""The Python modules of a project by their dotted names, read and parsed once."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from nightshift.errors import SpecError
from nightshift.syntax.bindings import Bindings, bindings, modules_of, never_runs, never_true, plain


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a module, what it binds, and how often each name was bound above it."""

    node: ast.stmt
    bound: frozenset[str]
    before: Mapping[str, int]


@dataclass(frozen=True)
class Module:
    """A file of the project. ``name`` is dotted; ``package`` is what its relative imports start from.

    ``imports`` are the dotted names of the modules that importing it, or calling its functions, may import; ``never``
    are conditions that do not hold in it, see ``never_true``.
    """

    path: Path
    name: str
    package: str
    tree: ast.Module = field(compare=False, repr=False)
    bound: Bindings = field(compare=False, repr=False)
    statements: tuple[Statement, ...] = field(compare=False, repr=False)
    imports: tuple[str, ...] = field(compare=False, repr=False)
    never: frozenset[str] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Modules:
    """The modules below ``home`` whose dotted names begin with ``root``."""

    home: Path
    root: str = "spark_jobs"
    _found: dict[str, Module | None] = field(default_factory=dict, compare=False, repr=False)

    def is_ours(self, name: str) -> bool:
        """Return whether a dotted name would be of the project, were it there."""
        return name.partition(".")[0] == self.root

    def find(self, name: str) -> Module | None:
        """The module of a dotted name; None where it is not one of the project's. Each is looked for once."""
        if not self.is_ours(name):
            return None
        if name not in self._found:
            self._found[name] = self._look(name)
        return self._found[name]

    def _look(self, name: str) -> Module | None:
        path = self.home.joinpath(*name.split("."))
        for file, package in ((path / "__init__.py", name), (path.with_suffix(".py"), name.rpartition(".")[0])):
            try:
                return parsed(file, name, package, file.read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                continue
        return None

    def split(self, dotted: str) -> tuple[Module, tuple[str, ...]] | None:
        """The module that a dotted name begins with, and what follows it; a package's own names go first.

        What an import takes out of a module is looked for in that module, whatever else its package calls so.
        """
        parts, inside = plain(dotted).split("."), dotted.partition(":")[0]
        module = self.find(inside) if inside != dotted else None
        at = 0 if module is None else inside.count(".") + 1
        for count in range(at + 1, len(parts) + 1):
            name = ".".join(parts[:count])
            own = module.bound if module is not None and at == count - 1 else Bindings()
            if parts[count - 1] in own.names and plain(own.imports.get(parts[count - 1], "")) != name:
                break
            if found := self.find(name):
                module, at = found, count
        return None if module is None else (module, tuple(parts[at:]))

    def below(self, package: Module) -> Iterator[Module]:
        """All modules of a package, however deep: once imported by anybody, each is had by its name from the package.

        A module that is no package has none. One that is not Python is left out: nobody can import it.
        """
        folder = package.path.parent
        if package.path.name != "__init__.py":
            return
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            try:
                found = self.find(".".join([package.name, *parts])) if parts else None
            except SpecError:
                continue
            if found is not None:
                yield found

    def parents(self, module: Module) -> Iterator[Module]:
        """The packages around a module, which are imported before it."""
        parts = module.name.split(".")
        for count in range(1, len(parts)):
            if found := self.find(".".join(parts[:count])):
                yield found

    def imported_by(self, start: Module) -> list[Module]:
        """A module and all of the project that it imports in the end, parents too; what is imported first is first."""
        met: set[str] = set()
        found: list[Module] = []

        def follow(module: Module) -> None:
            if module.name in met:
                return
            met.add(module.name)
            for parent in self.parents(module):
                follow(parent)
            for name in module.imports:
                if imported := self.find(name):
                    follow(imported)
            found.append(module)

        follow(start)
        return found


@lru_cache(maxsize=256)
def parsed(path: Path, name: str, package: str, content: bytes) -> Module:
    """The module that a text is. Raises SpecError where that is not Python."""
    try:
        tree = ast.parse(content, filename=str(path))
    except SyntaxError as error:
        raise SpecError(f"not valid Python: {error.msg}", where=f"{path}:{error.lineno}") from None
    except ValueError as error:  # null bytes, or an encoding that there is not
        raise SpecError(f"not valid Python: {error}", where=str(path)) from None
    never = never_true(tree.body, package)
    tree.body = list(_running(tree.body, never))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = dict.fromkeys(name for node in imports for name in modules_of(node, package))
    statements = tuple(_statements(tree.body, package))
    return Module(path, name, package, tree, bindings(tree.body, package), statements, tuple(names), never)


def _statements(body: list[ast.stmt], package: str) -> Iterator[Statement]:
    before: Counter[str] = Counter()
    for node in body:
        bound = frozenset(bindings([node], package).names)
        yield Statement(node, bound, dict(before))
        before.update(bound)


def _running(body: list[ast.stmt], never: frozenset[str]) -> Iterator[ast.stmt]:
    """The statements of a module without those that never run when it is imported."""
    for node in body:
        if isinstance(node, ast.If) and never_runs(node.test, never):
            yield from _running(node.orelse, never)
        else:
            yield node
