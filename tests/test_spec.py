"""Specs: name, path and options told apart, whatever the path looks like."""

import pytest

from specdec.errors import OptionError
from specdec.spec import Spec, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ngram", ("ngram", None, {})),
        ("ngram:longest=4,shortest=2", ("ngram", None, {"longest": "4", "shortest": "2"})),
        ("moa:/a/b", ("moa", "/a/b", {})),
        ("moa:/a/b:tli=1,cut=raw", ("moa", "/a/b", {"tli": "1", "cut": "raw"})),
        ("moa:C:\\heads\\a", ("moa", "C:\\heads\\a", {})),
        ("moa:C:\\heads\\a:tli=1", ("moa", "C:\\heads\\a", {"tli": "1"})),
        ("small_model:org/model", ("small_model", "org/model", {})),
        ("name:a=1, b=0.5,c=True,d=4x2", ("name", None, {"a": "1", "b": "0.5", "c": "True", "d": "4x2"})),
    ],
)
def test_name_path_and_options_are_told_apart(text, expected):
    assert Spec.parse(text) == Spec(text, *expected)


def test_a_list_keeps_options_with_their_spec():
    text = "none,moa:/a:tli=1,cut=raw, eagle ,ngram:longest=4"

    assert split(text) == ["none", "moa:/a:tli=1,cut=raw", "eagle", "ngram:longest=4"]


@pytest.mark.parametrize("text", ["", ":path", ":a=1"])
def test_a_spec_without_a_name_is_refused(text):
    with pytest.raises(OptionError, match=r"expected NAME\[:PATH\]\[:key=value,...\], got"):
        Spec.parse(text)
