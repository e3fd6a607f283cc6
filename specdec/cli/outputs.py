"""Files that a benchmark is written to."""

from pathlib import Path

from attrs import frozen

from specdec.bench.extras import require
from specdec.bench.page import page
from specdec.bench.plot import picture
from specdec.bench.result import Result, write_answers
from specdec.errors import OptionError

PICTURES = (".png", ".svg", ".pdf")


@frozen
class Outputs:
    """Where a result goes."""

    json: Path | None
    plot: Path | None
    html: Path | None
    answers: Path | None

    def check(self) -> None:
        """Check that all can be written, before time is spent.

        Raises:
            OptionError: a folder is not there, a package is not installed, or no such picture can be drawn.
        """
        for file in (self.json, self.plot, self.html):
            if file is not None and (file.is_dir() or not file.resolve().parent.is_dir()):
                raise OptionError(f"expected a file in a folder that exists, got {str(file)!r}")
        if self.answers is not None and self.answers.exists() and not self.answers.is_dir():
            raise OptionError(f"expected a folder for the answers, got the file {str(self.answers)!r}")
        if self.plot and self.plot.suffix.lower() not in PICTURES:
            raise OptionError(f"expected a plot that ends in {', '.join(PICTURES)}, got {str(self.plot)!r}")
        if self.plot or self.html:
            require("matplotlib", "--plot and --html")
        if self.html:
            require("jinja2", "--html")

    def write(self, result: Result) -> None:
        """Write what was asked for."""
        if self.json:
            result.write(self.json)
        if self.plot:
            self.plot.write_bytes(picture(result, self.plot.suffix[1:].lower()))
        if self.html:
            self.html.write_text(page(result), encoding="utf-8")
        if self.answers:
            write_answers(result, self.answers)
