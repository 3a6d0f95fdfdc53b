"""What a statement at the top of a module may do while the module is imported, other than to bind names.

A mistake has to be on the safe side: what is not known to do nothing counts as if it did something.
"""

import ast
from collections.abc import Iterator

from nightshift.syntax.bindings import Function, plain
from nightshift.syntax.modules import Module
from nightshift.syntax.normal import does_nothing

# They change nothing that they are given.
_HARMLESS = frozenset(
    ("tuple", "list", "dict", "set", "frozenset", "sorted", "len", "sum", "min", "max", "range", "str", "int", "float",
     "bool", "zip", "enumerate", "reversed", "map", "filter", "any", "all", "abs", "round", "repr", "staticmethod",
     "classmethod", "property", "isinstance", "bytes", "type")
)  # fmt: skip
# They call what they are given first, or as their key.
_CALLING = frozenset(("map", "filter", "starmap", "takewhile", "dropwhile", "filterfalse", "accumulate", "groupby"))
_CALLING_KEY = frozenset(("sorted", "min", "max", "nlargest", "nsmallest"))
# Methods of texts, mappings and sequences that change none of them.
_HARMLESS_METHODS = frozenset(
    ("format", "join", "split", "rsplit", "splitlines", "strip", "lower", "upper", "title", "replace", "removeprefix",
     "removesuffix", "partition", "items", "keys", "values", "get", "copy", "index", "count", "union", "intersection",
     "difference", "encode", "decode", "startswith", "endswith")
)  # fmt: skip
# Libraries whose functions give something new and nothing else; nor do they depend on a setting.
_PURE = ("logging", "re", "collections", "itertools", "functools", "math", "operator", "datetime", "typing", "enum",
         "typing_extensions", "dataclasses", "string", "fractions", "json", "pathlib", "abc", "contextlib", "copy",
         "textwrap", "statistics", "hashlib", "zoneinfo", "calendar", "types", "pyspark.sql")  # fmt: skip
_NEW = (*_PURE, "numpy", "pandas", "pyarrow")
_CHANGING = ("set", "reset", "register", "reduce")
# They change the first of what they are given.
_IN_PLACE = frozenset(
    ("at", "copyto", "put", "put_along_axis", "place", "putmask", "fill_diagonal", "delitem", "update_wrapper",
     "iadd", "iand", "iconcat", "ifloordiv", "ilshift", "imatmul", "imod", "imul", "ior", "ipow", "irshift", "isub",
     "itruediv", "ixor")
)  # fmt: skip
# One for all: who makes it or asks for it may change its settings.
_SHARED = ("pyspark.sql.SparkSession", "pyspark.sql.session.SparkSession")


def is_import(node: ast.stmt) -> bool:
    """Return whether a statement is an import: what that does is said where the module that it imports is."""
    return isinstance(node, ast.Import | ast.ImportFrom)


def acts(module: Module, node: ast.stmt) -> bool:
    """Return whether a statement may do more than to bind names."""
    match node:
        case ast.Assign(targets=targets, value=value):
            return not all(map(_binds_only, targets)) or _may_change(module, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return not _binds_only(target) or _may_change(module, value)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [item for item in (*node.args.defaults, *node.args.kw_defaults) if item is not None]
            return _decorated(module, node.decorator_list) or any(_may_change(module, item) for item in defaults)
        case ast.ClassDef():
            around = (*node.bases, *(item.value for item in node.keywords))
            if _decorated(module, node.decorator_list) or any(_mentions(module, item) for item in around):
                return True
            return any(acts(module, item) for item in node.body)
        case _:
            return not does_nothing(node) and not is_import(node)


def depends(module: Module, node: ast.stmt) -> bool:
    """Return whether what a statement binds may depend on what was done above it."""
    if isinstance(node, Function):
        now = [*node.decorator_list, *node.args.defaults, *(item for item in node.args.kw_defaults if item)]
        return any(_looks(module, item) for item in now)
    return not does_nothing(node) and not is_import(node) and _looks(module, node)


def _looks(module: Module, node: ast.AST) -> bool:
    return _mentions(module, node) or any(
        isinstance(item, ast.Name)
        and (dotted := module.bound.imports.get(item.id))
        and not _is_of(_PURE, plain(dotted))
        for item in ast.walk(node)
    )


def _binds_only(target: ast.expr) -> bool:
    return all(
        isinstance(item, ast.Name | ast.Tuple | ast.List | ast.Starred | ast.expr_context) for item in ast.walk(target)
    )


def _decorated(module: Module, decorators: list[ast.expr]) -> bool:
    """A decorator of ours is called, and so is one of a library."""
    return any(
        _mentions(module, item) or not _is_new(module, item.func if isinstance(item, ast.Call) else item)
        for item in decorators
    )


def _mentions(module: Module, node: ast.AST) -> bool:
    """Whether an expression names something of the project."""
    names = (item for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load))
    return any(_is_ours(module, item.id) for item in names)


def _is_ours(module: Module, name: str) -> bool:
    dotted = module.bound.imports.get(name)
    return name in module.bound.names if dotted is None else dotted.partition(".")[0] == module.name.partition(".")[0]


def _may_change(module: Module, value: ast.expr) -> bool:
    """Whether an expression calls something that may change what there is."""
    nodes = list(_now(value))
    calls = [item for item in nodes if isinstance(item, ast.Call)]
    if calls and any(_is_shared(module, item) for item in nodes):
        return True
    return any(_call_may_change(module, item) for item in calls)


def _is_shared(module: Module, node: ast.AST) -> bool:
    if not isinstance(node, ast.Name | ast.Attribute):
        return False
    dotted = _dotted(module, node)
    return dotted is not None and _is_of(_SHARED, dotted)


def _now(node: ast.AST) -> Iterator[ast.AST]:
    """The parts that are evaluated where an expression stands: of a lambda its defaults, not what it does later."""
    yield node
    for child in ast.iter_child_nodes(node.args if isinstance(node, ast.Lambda) else node):
        yield from _now(child)


def _call_may_change(module: Module, call: ast.Call) -> bool:
    given = [*call.args, *(item.value for item in call.keywords)]
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if _is_new(module, call.func):
        changed = name in _IN_PLACE or any(item.arg == "out" for item in call.keywords)
        return (changed and any(_mentions(module, item) for item in given)) or any(
            _calling_may_change(module, item) for item in _called(call, name)
        )
    if isinstance(call.func, ast.Attribute) and not isinstance(call.func.value, ast.Name | ast.Attribute):
        # Of something that was made here.
        return call.func.attr not in _HARMLESS_METHODS and any(_mentions(module, item) for item in given)
    return not (isinstance(call.func, ast.Attribute) and call.func.attr in _HARMLESS_METHODS)


def _called(call: ast.Call, name: str) -> list[ast.expr]:
    """The functions that a call of something that changes nothing itself may call in its turn."""
    keys = [item.value for item in call.keywords if item.arg in ("key", "func", None)]
    if name in _CALLING:
        return [*call.args[:2], *keys]
    return keys if name in _CALLING_KEY else []


def _calling_may_change(module: Module, node: ast.expr) -> bool:
    """Return whether a function given as an expression may change something; a mere value does not."""
    if isinstance(node, ast.Lambda):
        return _may_change(module, node.body)
    if isinstance(node, ast.Attribute):
        return _mentions(module, node)
    return _is_function(module, node)


def _is_function(module: Module, node: ast.expr) -> bool:
    """Whether a name may be a function of the project: it is not one of its texts and numbers."""
    if not isinstance(node, ast.Name) or not _is_ours(module, node.id):
        return False
    bound = [item.node for item in module.statements if node.id in item.bound]
    return not all(isinstance(item, ast.Assign | ast.AnnAssign) for item in bound)


def _is_new(module: Module, node: ast.expr) -> bool:
    """Whether what is called is of a library, and known to give something new and do nothing else."""
    if isinstance(node, ast.Name) and node.id in _HARMLESS and not _is_ours(module, node.id):
        return True
    dotted = _dotted(module, node)
    if dotted is None:
        return False
    last = dotted.rpartition(".")[2]
    if any(part.startswith(_CHANGING) for part in dotted.split(".")[1:]):
        return False
    return last[:1].isupper() or _is_of(_NEW, dotted)


def _dotted(module: Module, node: ast.expr) -> str | None:
    """The dotted name of what a chain of names and dots is in another library; None where it is no such thing."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or _is_ours(module, node.id):
        return None
    dotted = module.bound.imports.get(node.id)
    return None if dotted is None else plain(".".join([dotted, *reversed(attributes)]))


def _is_of(libraries: tuple[str, ...], dotted: str) -> bool:
    return any(dotted == name or dotted.startswith(f"{name}.") for name in libraries)
