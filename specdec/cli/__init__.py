"""The command line: `specdec --help`."""

__all__: list[str] = []
