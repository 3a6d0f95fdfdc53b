"""What the promises stand on, for ``status``: the database's sessions and the lake's store, each tried."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nightshift.settings import Settings


def ground_lines(settings: "Settings", up: bool, untried: Callable[[str], None] = lambda line: None) -> Iterator[str]:
    """A line for each of the two that is not as it must be.

    ``up`` says that the local platform is; without it its own database is not asked, and a lake on a disk that is not
    there yet is not made. An object store is tried where no publication has tried it. ``untried`` gets the line of a
    store that cannot be tried, since nothing may be written to it.
    """
    from nightshift import storage
    from nightshift.database import refuse_pooler
    from nightshift.errors import NightshiftError
    from nightshift.platform.layout import Layout
    from nightshift.tables import StoreUntried, try_store

    given = settings.database_file != Layout(settings.var).secrets / "database"
    if settings.database_url or given or (up and settings.database_file.exists()):
        try:
            refuse_pooler(settings.database)
        except NightshiftError as error:
            yield f"database: {error}"
    there = not storage.is_local(settings.tables) or storage.local_path(settings.tables).exists()
    if there and not _was_tried(settings):
        try:
            try_store(settings.tables)
        except StoreUntried as error:
            untried(f"store: {error}")
        except NightshiftError as error:
            yield f"store: {error}"


def _was_tried(settings: "Settings") -> bool:
    """Return whether a publication to any pipeline's table has tried the store; of a disk that is not kept."""
    from nightshift import storage

    if storage.is_local(settings.tables):  # no spec need be read for that
        return False
    from nightshift.cli.repair import tables_of
    from nightshift.specs.load import load_all
    from nightshift.tables import was_tried

    return any(was_tried(uri) for spec in load_all(settings)[0] for _, uri in tables_of(settings, spec))
