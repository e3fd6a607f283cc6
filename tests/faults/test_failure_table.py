"""The table of failures is complete, and every test that it names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\|(\d+)\. ([^|]+)\|([^|]+)\|([^|]+)\|$", re.MULTILINE)
ROWS = 30


def test_every_failure_has_a_test_or_the_reason_why_not() -> None:
    rows = ROW.findall((ROOT / "docs/split.md").read_text("utf-8"))
    assert [int(number) for number, *_ in rows] == list(range(1, ROWS + 1))
    for number, _, _, tests in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert named or tests.startswith("none: "), number
        for path, name in named:
            module = ast.parse((ROOT / path).read_text("utf-8"))
            assert name in {one.name for one in module.body if isinstance(one, ast.FunctionDef)}, (number, path, name)
