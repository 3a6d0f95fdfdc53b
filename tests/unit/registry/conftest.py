import pytest

from nightshift.registry.ledger import Ledger, create_ledger
from tests.postgres import WRITER, Database, ledger_of


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """An empty ledger, written through the writer role."""
    create_ledger(database.owner_url, WRITER)
    return ledger_of(database)
