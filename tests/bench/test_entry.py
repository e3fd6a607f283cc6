"""What is timed does what it does without a watch."""

import pytest

from specdec import Drafter, Keyed, Sampling, Stop, Target, Verifier
from specdec.bench import overhead
from specdec.bench.entry import Entry, Speculative, Stopwatch, TimedDrafter, TimedVerifier
from specdec.decode import Decoder
from specdec.drafters import SmallModel
from specdec.errors import OptionError
from specdec.policies import Chain
from tests.specdec.test_retractions import Absent, Listening
from tests.toys import build


class Salted(Keyed):
    """Other noise than that of `Keyed`."""

    def noise(self, key, size):
        return super().noise(key._replace(seed=key.seed + 1), size)

    def draw(self, weights, count, key):
        return super().draw(weights, count, key._replace(seed=key.seed + 1))


@pytest.mark.parametrize(("interface", "timed"), [(Drafter, TimedDrafter), (Verifier, TimedVerifier)])
def test_all_methods_of_an_interface_are_handed_on(interface, timed):
    methods = {name for name, member in vars(interface).items() if callable(member) and not name.startswith("_")}

    assert methods <= vars(timed).keys()


def test_all_that_a_part_says_of_itself_is_handed_on():
    drafter, verifier = Listening(), Absent()
    for part in (drafter, verifier):
        for name in set(Drafter.__annotations__) | set(Verifier.__annotations__):
            setattr(part, name, f"the {name}")
    timed = TimedDrafter(drafter, Stopwatch(float)), TimedVerifier(verifier, Stopwatch(float))

    assert {name: getattr(timed[0], name) for name in Drafter.__annotations__} == {
        name: f"the {name}" for name in Drafter.__annotations__
    }
    assert {name: getattr(timed[1], name) for name in Verifier.__annotations__} == {
        name: None if name == "tokenizer" else f"the {name}" for name in Verifier.__annotations__
    }


def test_drafters_share_the_noise_of_the_target_s_own_chance():
    """The draft model is the target, so all that is drafted is accepted if they do."""
    model, sampling = build("llama", seed=1), Sampling(1.0, seed=3)
    target = Target(model, chance=Salted())
    wanted = Decoder(SmallModel(model), target, Chain(3)).generate([[1, 2]], sampling, Stop(12, tokens=()))

    trace = Speculative("same", SmallModel(model), target, Chain(3)).decode([1, 2], sampling, 12)

    assert trace.tokens == wanted.tokens[0]
    assert trace.lengths == (4, 4, 4)


@pytest.mark.parametrize("most", [5, 9])
def test_what_is_taken_back_is_no_text(most):
    """At 5 tokens the text ends while the target is away, and it is asked what it would have said."""
    drafter = Listening()
    entry: Entry = Speculative("listening", drafter, Absent())

    assert entry.decode([7], Sampling(), most).tokens == tuple(range(1, most + 1))
    assert drafter.cuts == [3]


def test_overhead_counts_processor_time_with_one_thread_alone(monkeypatch):
    threads = []
    monkeypatch.setattr(overhead, "measure", lambda *_: None)
    monkeypatch.setattr(overhead, "report", lambda _: "")
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    with pytest.raises(OptionError, match="expected one thread with --cpu, which counts the time of one, got 3"):
        overhead.main(threads=3, cpu=True)
    for given in ({"cpu": True}, {"cpu": False}, {"threads": 3}):
        overhead.main(**given)

    assert threads == [1, 2, 3]
