"""The page in the documentation is what the tables say."""

from pathlib import Path

import pytest

from tests.zoo.table import page

pytestmark = pytest.mark.zoo
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "zoo.md"


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text() == page(), "python -m tests.zoo.table > docs/reference/zoo.md"
