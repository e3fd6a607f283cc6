"""What measurements go on from: beginnings of Python code, or a file of questions."""

from pathlib import Path

from specdec.bench import questions

PYTHON = (
    "def quicksort(items):",
    "def is_prime(number):",
    'def read_lines(path, encoding="utf-8"):',
    "def flatten(nested: list[list[int]]) -> list[int]:",
    "class Stack:\n    def __init__(self):",
    "class Point:\n    def __init__(self, x, y):",
    "import argparse\n\n\ndef main():",
    "import json\nimport os\n\n\ndef load_config(path):",
    "import re\n\n\ndef tokenize(text):",
    "import unittest\n\n\nclass TestParser(unittest.TestCase):\n    def setUp(self):",
    "from collections import defaultdict\n\n\ndef group_by(items, key):",
    "from dataclasses import dataclass\n\n\n@dataclass\nclass Request:",
)


def read(file: Path | None, count: int | None = None) -> list[str]:
    """Take the first prompts of a file of questions, else of `PYTHON`; all without a count.

    Such a file has a JSON object on each line, whose `turns` begin with the prompt (FastChat's `question.jsonl`).

    Raises:
        PromptError: the file cannot be read as that.
    """
    if file is None:
        return list(PYTHON[:count])
    return [question.prompt for question in questions.read(file)][:count]
