"""docs/faults.md: each row has a test, and the test is there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs/faults.md"


def test_each_row_names_tests_that_are_there():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [line for line in lines if not line.endswith("| test |")]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1])
        assert named, row
        for name in named:
            assert (TESTS / name).is_file(), name
            assert "\ndef test_" in (TESTS / name).read_text(), name
