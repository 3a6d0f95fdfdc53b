"""What of a feature module is no function of its inputs: clocks, chance, the environment, files, late imports.

The module and all of the project that it imports are read as syntax trees and never run. This finds what somebody wrote
without a thought, by whatever name; it is no wall against who hides something.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from nightshift.errors import SpecError
from nightshift.settings import Settings
from nightshift.specs import forbidden
from nightshift.specs.document import Problem
from nightshift.specs.forbidden import CHANCE, CLOCK, FILE, forbidden_attribute, forbidden_name, what_to_do
from nightshift.specs.forbidden_sql import forbidden_in_sql
from nightshift.specs.load import shown
from nightshift.specs.meanings import methods, named_columns
from nightshift.specs.model import Pipeline
from nightshift.specs.scoped import Scoped
from nightshift.syntax.bindings import imported, never_runs
from nightshift.syntax.modules import Module, Modules

# What takes SQL, and how many of its arguments are that; pandas' `where` and `filter` take words beside it.
_SQL = {"expr": 1, "sql": 1, "where": 1, "filter": 1, "selectExpr": None}
_SQL_KEYWORDS = frozenset(("str", "sqlQuery", "condition"))
_BY_NAME = frozenset(("call_function", "call_udf"))
_CASTS = frozenset(("cast", "astype", "try_cast"))


def impurities(settings: Settings, pipeline: Pipeline) -> list[Problem]:
    """The uses that a feature module, and what it imports of the project, may not make; by file and line."""
    modules = Modules(settings.home)
    start = modules.find(f"spark_jobs.features.{pipeline.module}")
    if start is None:
        return []
    reads = [PurePosixPath(name).name for name in pipeline.features.reads]
    columns = frozenset(name.lower() for name in pipeline.column_names)
    found = set[tuple[str, int, str]]()
    try:
        read = modules.imported_by(start)
        own = frozenset(name for module in read for name in methods(module.tree))
        for module in read:
            for line, what, why in _Reader(modules, module, reads, own, columns).found():
                found.add((shown(module.path), line, f"asks {what} for {why}; {what_to_do(why)}"))
    except SpecError:  # one that is imported is not Python, which `lost_names` or the night says
        return []
    return [Problem(*item) for item in sorted(found)]


class _Reader(Scoped, ast.NodeVisitor):
    """Reads one module; ``reads`` are names of files that it may open, ``own`` the methods of the project's classes.

    ``columns`` are those that the spec names.
    """

    def __init__(
        self, modules: Modules, module: Module, reads: Sequence[str], own: frozenset[str], columns: frozenset[str]
    ) -> None:
        super().__init__(modules, module)
        self._reads, self._own = reads, own
        self._columns, self._named = columns, columns.union(named_columns(module.tree))
        self._found: list[tuple[int, str, str]] = []
        self._said: ast.expr | None = None

    def found(self) -> Iterator[tuple[int, str, str]]:
        for node in self._module.tree.body:
            self.visit(node)
        yield from self._found

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._name(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for name, dotted in imported(node, self._module.package):
            if name != "*":
                self._name(node, self._meanings.meant(dotted))

    def visit_If(self, node: ast.If) -> None:
        if not self._meanings.binds("TYPE_CHECKING", "__name__") and never_runs(node.test, self._module.never):
            for item in node.orelse:
                self.visit(item)
            return
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._said = node.exc  # its texts are for people
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and (dotted := self._meanings.dotted(node)):
            self._name(node, dotted)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if dotted := self._meanings.dotted(node):
            self._name(node, dotted)
            return
        read = isinstance(node.value, ast.Attribute) and node.value.attr == "read"
        if why := forbidden.ATTRIBUTES.get(node.attr):
            self._add(node, f".{node.attr}", why)
        elif node.attr in forbidden.READERS and read:
            self._add(node, f".read.{node.attr}", FILE)
        elif (why := forbidden.OF_SESSIONS.get(node.attr)) and self._meanings.is_session(node.value):
            self._add(node, f".{node.attr}", why)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        dotted = self._meanings.dotted(node.func)
        name = dotted.rpartition(".")[2] if dotted else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        arguments = [*node.args, *(item.value for item in node.keywords)]
        if dotted is None:
            self._method(node, name)
        else:
            self._function_of_library(node, dotted, arguments)
        if name in _SQL and dotted != "builtins.filter":
            of_sql = [*node.args[: _SQL[name]], *(item.value for item in node.keywords if item.arg in _SQL_KEYWORDS)]
            for text in self._whole_texts(item for item in of_sql if not isinstance(item, ast.List)):
                self._sql(node, text, is_sql=True)
        elif name in _BY_NAME or name == "agg":  # which takes a mapping of columns to functions
            given = (value for item in arguments for value in self._meanings.given(item))
            values = [value for item in given if isinstance(item, ast.Dict) for value in item.values]
            for text in self._whole_texts(values if name == "agg" else arguments[:1]):
                if why := forbidden.SPARK.get(text.lower()):
                    self._add(node, f"{text}()", why)
        self.visit(node.func)
        of_text = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Constant)  # ", ".join(…)
        self._visit_all(arguments, words=(name in forbidden.GIVEN_WORDS and not of_text) or node is self._said)

    def visit_Compare(self, node: ast.Compare) -> None:
        self._visit_all([node.left, *node.comparators], words=True)

    def visit_Assert(self, node: ast.Assert) -> None:
        self._visit_all([node.test, *filter(None, [node.msg])], words=True)

    def _visit_all(self, nodes: Iterable[ast.expr], words: bool) -> None:
        """Visit expressions; where these are words or values, their texts are no SQL, however they are put together."""
        for node in nodes:
            match node:
                case ast.Constant() if words:
                    continue
                case (
                    ast.JoinedStr(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts)
                ) if words:
                    self._visit_all(parts, words)
                case ast.BinOp(left=left, right=right) if words:
                    self._visit_all((left, right), words)
                case ast.Dict(keys=keys, values=values) if words:
                    self._visit_all((*filter(None, keys), *values), words)
                case _:
                    self.visit(node)

    def _whole_texts(self, nodes: Iterable[ast.expr]) -> list[str]:
        return [text for item in nodes for text in self._meanings.whole_texts(item)]

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._sql(node, node.value, is_sql=False)

    def _function_of_library(self, node: ast.Call, dotted: str, arguments: Sequence[ast.expr]) -> None:
        """A function that is impure for what it is given, or is not given."""
        fewer, why = forbidden.FEWER.get(dotted, (0, ""))
        module, _, name = dotted.rpartition(".")
        if len(arguments) < fewer and not any(isinstance(item, ast.Starred) for item in node.args):
            self._add(node, f"{dotted}()", why)
        elif dotted in forbidden.OF_TIMES or (module.startswith("pyspark.sql") and name in forbidden.SPARK_OF_TIMES):
            of_columns = module.startswith("pyspark.sql")
            self._moments(node, dotted, (item for item in arguments if not (of_columns and self._is_column(item))))
        elif dotted == "builtins.getattr" and len(node.args) > 1:
            base = self._meanings.dotted(node.args[0])
            for text in self._meanings.texts(node.args[1]):
                if base:
                    self._name(node, f"{base}.{text}")
                elif text not in self._own and (found := forbidden.METHODS.get(text)):
                    self._add(node, f".{text}", found)

    def _method(self, node: ast.Call, name: str) -> None:
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        if self._meanings.is_path(receiver):
            why = forbidden.OF_PATHS.get(name) or forbidden.METHODS.get(name)
        else:
            bare = {} if node.args or node.keywords else forbidden.METHODS_WITHOUT_ARGUMENT
            why = None if name in self._own else forbidden.METHODS.get(name) or bare.get(name)
        if why:
            self._add(node, f".{name}()", why)
        elif name == "sample" and name not in self._own and not any(i.arg == "random_state" for i in node.keywords):
            self._add(node, ".sample()", CHANCE)
        elif name in _CASTS and any(map(self._is_time, (*node.args, *(item.value for item in node.keywords)))):
            self._moments(node, f".{name}", [receiver])

    def _is_time(self, kind: ast.expr) -> bool:
        """Return whether what a value is cast to is a day or a moment, as text or as a type of Spark."""
        named = [getattr(item, "attr", getattr(item, "id", "")) for item in ast.walk(kind)]
        return any(word in text.lower() for text in (*named, *self._meanings.texts(kind)) for word in ("date", "time"))

    def _is_column(self, node: ast.expr) -> bool:
        """Return whether an argument is the name of a column, which is how functions of Spark read a bare text."""
        given = self._meanings.given(node)
        texts = [item.value for item in given if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        return bool(texts) and all(text.lower() in self._named for text in texts)

    def _moments(self, node: ast.Call, what: str, arguments: Iterable[ast.expr]) -> None:
        texts = (text for item in arguments for text in self._meanings.constants(item))
        if found := forbidden.MOMENTS & {text.strip(" '\"").lower().partition(" ")[0] for text in texts}:
            self._add(node, f"{what}({', '.join(sorted(found))})", CLOCK)

    def _sql(self, node: ast.expr, text: str, is_sql: bool) -> None:
        for what, why in forbidden_in_sql(text, is_sql, self._columns):
            self._add(node, what, why)

    def _name(self, node: ast.stmt | ast.expr, dotted: str) -> None:
        why = forbidden_name(dotted)
        if why is None and dotted.startswith("builtins."):
            why = forbidden.BUILTINS.get(dotted.removeprefix("builtins."))
        elif why is None and "." in dotted and not self._meanings.is_ours(dotted):
            why = forbidden_attribute(dotted)
        if why:
            self._add(node, dotted.removeprefix("builtins."), why)

    def _add(self, node: ast.stmt | ast.expr, what: str, why: str) -> None:
        if why == FILE and self._reads:
            named = [
                PurePosixPath(text).name for text in self._meanings.texts_around(node) if "." in text or "/" in text
            ]
            if not named or any(name in self._reads for name in named):
                return
        self._found.append((node.lineno, what, why))
