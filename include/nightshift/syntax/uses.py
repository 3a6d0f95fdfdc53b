"""What definitions refer to, and by which names they look at code: they see then what texts leave out otherwise."""

from dataclasses import dataclass, field
from typing import Final

Symbol = tuple[str, str]
"""A module and the name of a definition in it."""

_NAMES: Final = frozenset(("__name__", "__qualname__"))  # of a definition
_REFLECTING: Final = frozenset(
    ("__doc__", "__code__", "__annotations__", "__defaults__", "__kwdefaults__", "__closure__", "__globals__",
     "__dict__", "__module__", "__wrapped__", "__subclasses__", "__getattribute__", "__signature__")
)  # fmt: skip
OF_THE_MODULE: Final = frozenset(("__name__", "__file__", "__package__", "__spec__", "__loader__"))
"""Names that each module has, and that say where it is."""
_LOOKING = ("inspect", "gc", "importlib", "pydoc", "sys.modules", "sys._getframe", "typing.get_type_hints")


@dataclass
class Uses:
    """What the texts of some definitions refer to: whose parameters and annotations have to be kept follows from it.

    ``keywords`` are given to calls by name, ``**`` among them where any may be; ``values`` are referred to other than
    by a call; of modules that are ``unresolved`` any part may be used, of ``opened`` ones what they import, too.
    ``names``: somebody asks definitions for their names; ``reflects``: for docstrings, parameters, or what else a text
    leaves out.
    """

    keywords: set[str] = field(default_factory=set)
    values: set[Symbol] = field(default_factory=set)
    unresolved: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)
    names: bool = False
    reflects: bool = False

    def look_at(self, attribute: str, module: str) -> None:
        """Note an attribute that a module asks for, in case it is one by which definitions show themselves."""
        if attribute in _NAMES:
            self.names = True
        elif attribute in _REFLECTING:
            self.reflects = True
            self.opened.add(module)


def looks(dotted: str) -> bool:
    """Return whether what a dotted name of a library stands for looks at definitions, or at all that there is."""
    return any(dotted == name or dotted.startswith(f"{name}.") for name in _LOOKING)
