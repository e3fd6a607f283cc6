"""A program that generates texts with a server's target, ends at any time, and continues."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from attrs import frozen

from specdec.decode import Decoder
from specdec.errors import TransportError
from specdec.interfaces import Drafter, Verifier
from specdec.options import Sampling, Stop
from specdec.policies import Chain
from specdec.remote import DraftOnly, Failover, Remote
from specdec.split.codecs import CODECS
from specdec.testing.simulator import law
from specdec.testing.simulator.actor import Actor
from specdec.testing.simulator.drafter import ToyDrafter, WatchedDrafter
from specdec.testing.simulator.journal import TornJournal, tear
from specdec.testing.simulator.service import Service
from specdec.testing.simulator.shown import Shown
from specdec.testing.simulator.world import World

POLICY = Chain(3)


@frozen
class Parts:
    """What takes the place of the simulator's own drafter, and of `Failover`."""

    drafter: Callable[[], Drafter] | None = None
    verifier: Callable[[Remote], Verifier] | None = None


@frozen
class Job:
    """What is to be generated."""

    prompts: list[list[int]]
    seeds: list[int]
    most: int

    @classmethod
    def random(cls, world: World) -> "Job":
        """Make one up: one or two prompts, some of them longer than a chunk."""
        prompts = [
            [1 + world.random.randrange(law.VOCABULARY - 1) for _ in range(world.pick((1, 3, 7, 20)))]
            for _ in range(world.pick((1, 1, 2)))
        ]
        return cls(prompts, [world.random.randrange(2**32) for _ in prompts], world.pick((1, 8, 16, 24)))


class Caller:
    """Works through its jobs, one life after the other."""

    def __init__(self, world: World, service: Service, parts: Parts, number: int, folder: Path) -> None:
        """Choose the jobs, and how they are done."""
        self.world, self.service, self.parts = world, service, parts
        self.name, self.tenant = f"client{number}", f"tenant{number % 2}"
        self.jobs = [Job.random(world) for _ in range(world.pick((1, 1, 2)))]
        self.keep, self.journalled = parts.verifier is None and world.chance(0.2), world.chance(0.7)
        self.drafter = ToyDrafter(world)
        self.codec, self.window = world.pick(CODECS), world.pick((None, 0, 1, 4))
        self.most = world.pick((None, None, 6))
        self.patience = world.between(0.3, 5)
        self.tears, self.loses = world.pick((0, 0, 0.02)), world.chance(0.3)
        self.burst = world.pick((0, 0, 1, 5))
        self._path = folder / self.name
        self.start()

    @property
    def done(self) -> bool:
        """Whether all jobs are."""
        return not self.jobs and not self.actor.alive

    def start(self) -> None:
        """Begin a life, with what the last one left."""
        self.world.note(self.name, "starts")
        self.actor = Actor(self.world, self._work, self._ended)
        if self.loses:
            tear(self._path, self.actor)

    def _ended(self) -> None:
        if self.jobs:
            self.world.note(self.name, "ends")
            self.world.after(self.world.between(0, 3), self.start)

    def _work(self) -> None:
        while self.jobs:
            try:
                if self._generate(self.jobs[0]):
                    self.world.note(self.name, "is done with a job")
                    self._path.unlink(missing_ok=True)
                    del self.jobs[0]
            except TransportError as error:
                self.world.note(self.name, "gives up:", error)
            self.actor.wait(self.world.between(0, 1))

    def _generate(self, job: Job) -> bool:
        """Generate, and look at each step; say whether all of it is verified."""
        shown = Shown(job.prompts, job.seeds, job.most, self.keep)
        journal = TornJournal(self._path, self.actor, self.tears) if self.journalled else None
        try:
            for number, chapter in journal.chapters.items() if journal is not None else ():
                if self.keep:
                    shown.restored = shown.restored or bool(chapter.decided)
                else:
                    shown.check(number, chapter.decided[: job.most])
            with Decoder(self._drafter(), self._verifier(journal), POLICY, clock=self.world.clock) as decoder:
                sampling = [Sampling(seed=seed) for seed in job.seeds]
                for step in decoder.stream(job.prompts, sampling, Stop(max_tokens=job.most)):
                    self.world.note(self.name, "reads", step.tokens, step.retracted, step.verified)
                    shown.take(step)
            return shown.finished()
        finally:
            if journal is not None:
                journal.close()

    def _drafter(self) -> WatchedDrafter:
        drafter = self.drafter if self.parts.drafter is None else self.parts.drafter()
        return WatchedDrafter(drafter, self.world, self.actor.wait)

    def _verifier(self, journal: TornJournal | None) -> Verifier:
        remote = Remote(
            lambda: self.service.connect(self.actor, self.tenant),
            codec=self.codec,
            window=self.window,
            patience=self.patience,
            journal=journal,
            burst=self.burst,
            clock=self.world.clock,
            sleep=self.actor.wait,
            random=Random(self.world.random.random()),
        )
        if self.parts.verifier is not None:
            return self.parts.verifier(remote)
        return Failover(remote, DraftOnly(self.most), keep=self.keep)
