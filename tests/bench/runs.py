"""Runs made up, and entries that do as they are told."""

from specdec.bench import Entry, Question, Run, Trace
from specdec.bench.run import Task
from specdec.options import Sampling


def task(number=1, temperature=0.0, prompt_set="set"):
    return Task(prompt_set, Question(number, "", ["text"]), (1, 2), Sampling(temperature))


def run(entry, of, seconds, tokens=(5, 6, 7, 8), lengths=None, repeat=0, draft=0.0, verify=0.0):
    lengths = lengths or (1,) * len(tokens)
    accepted = tuple(length - 1 for length in lengths)
    return Run(entry, of, repeat, Trace(tuple(tokens), seconds, tuple(lengths), accepted, draft, verify))


class Scripted(Entry):
    """Says what it is told to, in the time that it is told, and remembers when it was asked."""

    def __init__(self, name, log=None, seconds=1.0, tokens=(5, 6, 7, 8)):
        self.name, self.seconds, self.tokens = name, seconds, tokens
        self.log = [] if log is None else log

    def decode(self, prompt, sampling, max_tokens):
        self.log.append((self.name, prompt, sampling, max_tokens))
        return run(self.name, task(), self.seconds, self.tokens).trace
