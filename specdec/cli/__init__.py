"""The command line: `specdec --help`."""
