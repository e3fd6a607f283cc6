"""A target on a server decides what it decides on this machine."""

import gc
from collections import Counter
from threading import Thread

import pytest
import specdec_zoo
import torch
from transformers import LogitsProcessor

from specdec import (
    Decoder,
    Features,
    Generation,
    Needs,
    OptionError,
    Sampling,
    Stop,
    Target,
    Tree,
    load_drafter,
    load_rule,
    load_transport,
    load_verifier,
)
from specdec.drafters import NoDrafter
from specdec.errors import ConnectionLost, PromptError, TreeError
from specdec.remote import Remote
from specdec.split import Limits, Server
from specdec.testing import check_verifier
from specdec.text import encode
from tests.remote.hosts import KINDS, Lines, drafter, hosting, toy
from tests.waiting import wait_for

STOP = Stop(max_tokens=24)


def test_it_is_a_verifier() -> None:
    lines = Lines(Server.of(toy()))

    check_verifier(lambda: Remote(lines.connect, clock=lines.clock, sleep=lines.sleep), examples=12)

    assert len(lines.server.store) == 0


def test_sixteen_clients_with_all_kinds_of_drafters_get_the_target_s_own_texts(zoo: Target) -> None:
    """Prompts are read in many chunks, and sessions join and leave in the middle of others."""
    prompts, found = specdec_zoo.prompts("functions"), dict[int, Generation]()
    jobs = [(prompts[2 * number : 2 * number + 1 + number % 2], _sampling(number)) for number in range(16)]
    drafters = [drafter(KINDS[number % len(KINDS)], zoo) for number in range(16)]

    def work(number: int) -> None:
        remote = Remote(host.connect, zoo.tokenizer, codec=("float16", "int8")[number % 2], patience=60.0)
        with Decoder(drafters[number], remote) as decoder:
            found[number] = decoder.generate(*jobs[number], STOP)

    with hosting(zoo, *drafters, chunk=64) as host:
        threads = [Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: len(host.server.store) == 0)

    wanted = [Decoder(NoDrafter(), zoo).generate(*job, STOP) for job in jobs]
    assert [found[number].tokens for number in range(16)] == [one.tokens for one in wanted]
    assert [found[number].text for number in range(16)] == [one.text for one in wanted]


def _sampling(number: int) -> Sampling:
    return Sampling(temperature=float(number % 3 == 0), seed=50 + number)


@pytest.mark.parametrize("window", [None, 16, 0])
def test_features_come_once_and_of_the_prompt_as_many_as_are_wanted(
    zoo: Target, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, prompt = drafter("moa", zoo), specdec_zoo.prompts("tests")[0]
    lines, learnt, learn = Lines(Server.of(zoo, [head], chunk=32)), Counter[int](), head.learn

    def record(features: Features, starts: list[int], lengths: list[int]) -> None:
        learnt.update(range(starts[0], starts[0] + lengths[0]))
        learn(features, starts, lengths)

    monkeypatch.setattr(head, "learn", record)
    remote = Remote(lines.connect, zoo.tokenizer, codec="float32", window=window, clock=lines.clock, sleep=lines.sleep)

    found = Decoder(head, remote).generate(prompt, stop=STOP)

    assert found.tokens == Decoder(NoDrafter(), zoo).generate(prompt, stop=STOP).tokens
    length = len(encode(prompt, zoo.tokenizer))
    first = 0 if window is None else length - 1 - window
    last = max(learnt)
    assert last > length + STOP.max_tokens // 2
    assert learnt == Counter(range(first, last + 1))


def test_what_a_server_cannot_do_is_said_before_anything_is_sent(zoo: Target) -> None:
    class Own(LogitsProcessor):
        def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            return scores

    head, lines = drafter("moa", zoo), Lines(Server.of(zoo))
    remote = Remote(lines.connect, zoo.tokenizer, clock=lines.clock, sleep=lines.sleep)
    sent = lines.made[0].up

    with pytest.raises(OptionError, match="register_processors"):
        Decoder(NoDrafter(), remote).generate("a", Sampling(processors=(Own(),)), STOP)
    with pytest.raises(OptionError, match="encoder that the server has"):
        Decoder(head, remote).generate("a", stop=STOP)
    with pytest.raises(PromptError, match="4095"):
        Decoder(NoDrafter(), remote).generate([[9999]], stop=STOP)
    assert lines.made[0].up == sent


def test_only_match_is_served() -> None:
    with pytest.raises(OptionError, match="the rule match"):
        Server.of(Target(toy().model, rule=load_rule("rejection")))


def test_a_tree_may_be_as_large_as_the_server_says() -> None:
    lines = Lines(Server.of(toy(), limits=Limits(nodes=4)))
    remote = Remote(lines.connect, clock=lines.clock, sleep=lines.sleep)
    remote.prefill([[1, 2]], Needs(), [Sampling()])

    with pytest.raises(TreeError, match="at most 4 nodes"):
        remote.verify([Tree.root(2).place([(token, 0, 0.0) for token in range(4)])])

    assert len(remote.verify([Tree.root(2)]).tokens[0]) == 1


def test_sessions_that_the_server_forgot_are_opened_again(zoo: Target) -> None:
    """It has room for one session, and each of three sequences needs it in turn."""
    prompts = sorted(specdec_zoo.prompts("tests"), key=len)[:3]
    lines = Lines(Server.of(zoo, limits=Limits(sessions=1)))
    remotes = [Remote(lines.connect, zoo.tokenizer, clock=lines.clock, sleep=lines.sleep) for _ in prompts]
    streams = [
        Decoder(NoDrafter(), one).stream(prompt, stop=STOP) for one, prompt in zip(remotes, prompts, strict=True)
    ]
    tokens = [list[int]() for _ in prompts]

    for steps in zip(*streams, strict=False):
        for text, step in zip(tokens, steps, strict=True):
            text += step.tokens[0]

    wanted = Decoder(NoDrafter(), zoo).generate(prompts, stop=STOP).tokens
    assert all(tuple(text) == want[: len(text)] for text, want in zip(tokens, wanted, strict=True))
    assert len(tokens[0]) == STOP.max_tokens


def test_a_server_of_this_process_is_found_by_its_address() -> None:
    target = toy()
    with hosting(Target(target.model)) as host:
        host.listen("toy")
        remote = load_verifier("remote:local:toy")
        found = Decoder(load_drafter("ngram"), remote).generate([[1, 2, 3]], stop=STOP)
    assert found.tokens == Decoder(NoDrafter(), target).generate([[1, 2, 3]], stop=STOP).tokens

    with pytest.raises(ConnectionLost, match="'toy'"):
        load_transport("local", "local:toy")
    with pytest.raises(OptionError, match="the rule match"):
        load_verifier("remote:local:toy", rule=load_rule("rejection"))


def test_a_stream_that_is_dropped_leaves_the_server() -> None:
    with hosting(toy()) as host:
        remote = Remote(host.connect)
        decoder = Decoder(NoDrafter(), remote)
        next(iter(decoder.stream([[1, 2]], stop=Stop(max_tokens=20))))
        gc.collect()
        decoder.generate([[3, 4]], stop=Stop(max_tokens=2))
        texts = [*remote.link.client.texts]
        decoder.close()

    assert texts == []
