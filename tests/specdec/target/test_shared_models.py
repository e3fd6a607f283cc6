"""A model may have several targets, and be used for other things: the passes of one thread are its own."""

from threading import Event, Thread, current_thread
from typing import Any

import torch
from torch import nn

from specdec import Decoder, Stop, Target
from specdec.drafters import NoDrafter
from specdec.policies import Static
from tests.specdec_eagle.heads import drafter, target
from tests.toys import build, prompt

STOP = Stop(8, tokens=())
SOON = 0.2
"""Seconds in which a thread that may begin a pass does."""


def test_a_pass_of_one_target_does_not_end_the_evaluation_mode_of_another() -> None:
    model = build("llama", attention_dropout=0.9).train()
    plain = Decoder(NoDrafter(), Target(model)).generate([1, 2, 3], stop=STOP).tokens[0]
    one, other = (Decoder(NoDrafter(), Target(model)) for _ in range(2))
    here, begun, inside, ended = current_thread(), Event(), Event(), Event()

    def wait(*_: Any) -> None:
        if current_thread() is not here and not begun.is_set():
            begun.set()
            inside.wait(SOON)  # until the other target is in a pass too, if it may
        elif current_thread() is here and begun.is_set() and not inside.is_set():
            inside.set()
            ended.wait(SOON)

    stream = one.stream([1, 2, 3], stop=STOP)
    beside = Thread(target=lambda: (other.generate([4, 5], stop=Stop(1)), ended.set()))
    hook = model.model.layers[0].register_forward_pre_hook(wait)
    beside.start()
    begun.wait()
    said = tuple(token for step in stream for token in step.tokens[0])
    beside.join()
    hook.remove()

    assert said == plain


def test_hidden_states_of_another_threads_pass_are_not_taken() -> None:
    model = target("llama")
    decoder = Decoder(drafter("eagle3", model), Target(model), Static((2, 2)))
    prompts, here, beside = [prompt(5), prompt(9), prompt(3)], current_thread(), list[Thread]()
    plain = decoder.generate(prompts, stop=STOP).tokens

    def interrupt(module: nn.Module, args: Any) -> None:
        if current_thread() is here and len(beside) < 3:
            beside.append(Thread(target=lambda: model(input_ids=torch.tensor([[1, 2]]))))
            beside[-1].start()
            beside[-1].join()

    hook = model.lm_head.register_forward_pre_hook(interrupt)
    said = decoder.generate(prompts, stop=STOP).tokens
    hook.remove()

    assert said == plain
    assert len(beside) == 3
