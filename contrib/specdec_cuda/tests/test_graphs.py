"""Passes that are replayed give what passes that are made give."""

from collections.abc import Callable
from threading import Thread

import pytest
import torch
from pretending import gpu
from specdec_cuda.graphs import NODES, WARM, Graphs
from torch import Tensor

from specdec import Decoder, Sampling, Stop, Target, load_drafter, load_policy
from specdec.drafters import NoDrafter
from specdec.errors import UnsupportedModel
from specdec.target import Engine
from specdec.testing import PretendedGPU
from tests.toys import build

__all__ = ["gpu"]

PROMPTS = [[5, 6, 7, 5, 6, 7, 5], [1, 2, 3]]
STOP = Stop(24, tokens=())


def target(place: Callable[[torch.nn.Module], torch.nn.Module] = lambda model: model, **options: int) -> Target:
    return Target(place(build("llama", seed=1, **options)))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, seed=4)], ids=repr)
def test_texts_are_the_same(gpu: PretendedGPU, sampling: Sampling) -> None:
    """With trees of several sizes, of sequences that leave."""
    stops = [STOP, Stop(9, tokens=())]
    wanted = Decoder(NoDrafter(), target()).generate(PROMPTS, sampling, stops).tokens
    there = target(gpu.place)
    Graphs.use(there.engine)
    gpu.clear()

    found = Decoder(load_drafter("ngram"), there, load_policy("chain:length=3")).generate(PROMPTS, sampling, stops)

    assert found.tokens == wanted
    assert gpu.launches["graph"] > found.metrics.steps / 2


def test_hidden_states_are_those_of_their_pass(gpu: PretendedGPU) -> None:
    """They stay as they were when the graph is replayed for another."""
    read = list[Tensor]()
    for captured in (False, True):
        engine = target(gpu.place).engine
        if captured:
            Graphs.use(engine)
        gpu.clear()
        slot, kept = engine.open(), list[Tensor]()
        for token in range(WARM + 4):
            numbers = torch.tensor([[token]]), torch.tensor([[0]]), torch.ones(1, 1, 1, dtype=torch.bool)
            kept.append(engine.read([slot], *numbers, hidden_states=(1, -1)).hidden_states[1])
            engine.keep(slot, [0])
        read.append(torch.stack([one.cpu() for one in kept]))

    assert torch.allclose(*read)
    assert gpu.launches["graph"] == 4


def test_what_moves_is_captured_again(gpu: PretendedGPU) -> None:
    """A longer text makes the cache move, and graphs that wrote to where it was are of no use."""
    prompt, size = [token % 50 for token in range(240)], 512
    wanted = Decoder(NoDrafter(), target(max_position_embeddings=size)).generate([prompt], stop=Stop(40, tokens=()))
    there = target(gpu.place, max_position_embeddings=size)
    Graphs.use(there.engine)

    assert Decoder(NoDrafter(), there).generate([prompt], stop=Stop(40, tokens=())).tokens == wanted.tokens


def test_the_next_text_replays_what_was_captured(gpu: PretendedGPU) -> None:
    """Memory stays where it is when a text ends; of a longer one it is given back when the next is read."""
    there = target(gpu.place, max_position_embeddings=2048)
    Graphs.use(there.engine)
    decoder = Decoder(NoDrafter(), there)
    first = decoder.generate(PROMPTS, stop=Stop(9, tokens=()))
    gpu.clear()

    assert decoder.generate(PROMPTS, stop=Stop(9, tokens=())).tokens == first.tokens
    assert gpu.launches["graph"] >= 9
    room = there.engine.cache.nbytes
    decoder.generate([[token % 50 for token in range(1100)]], stop=Stop(1, tokens=()))
    assert decoder.generate(PROMPTS, stop=Stop(9, tokens=())).tokens == first.tokens
    assert there.engine.cache.nbytes <= 2 * room


def test_a_kind_whose_graph_was_dropped_is_captured_only_once_it_is_common_again(gpu: PretendedGPU) -> None:
    """Else more kinds than are kept would be captured at every pass."""
    engine = target(gpu.place).engine
    Graphs.use(engine)
    engine.run = Graphs(most=1)
    slot = engine.open()

    def read(nodes: int) -> int:
        tokens = torch.zeros(1, nodes, dtype=torch.long)
        before = gpu.launches["graph"]
        engine.read([slot], tokens, torch.arange(nodes)[None], torch.ones(1, nodes, nodes, dtype=torch.bool).tril())
        return gpu.launches["graph"] - before

    for nodes in (NODES, 2 * NODES):
        assert [read(nodes) for _ in range(WARM + 2)] == [0] * WARM + [1, 1]
    assert [read(NODES) for _ in range(WARM + 1)] == [0] * WARM + [1]


def test_other_threads_may_use_the_gpu_while_a_graph_is_captured(gpu: PretendedGPU) -> None:
    wanted = Decoder(NoDrafter(), target()).generate(PROMPTS, stop=Stop(9, tokens=()))
    there, other, meanwhile = target(gpu.place), torch.ones(3, device="cuda"), list[Tensor]()
    Graphs.use(there.engine)

    def elsewhere(*_: object) -> None:
        if gpu.capturing is not None:
            thread = Thread(target=lambda: meanwhile.append((other + 1).cpu()))
            thread.start()
            thread.join()

    there.model.model.layers[0].register_forward_hook(elsewhere)

    assert Decoder(NoDrafter(), there).generate(PROMPTS, stop=Stop(9, tokens=())).tokens == wanted.tokens
    assert meanwhile[0].tolist() == [2, 2, 2]


def test_memory_that_is_full_is_told_as_such(gpu: PretendedGPU) -> None:
    there = target(gpu.place)
    Graphs.use(there.engine)

    def full(*_: object) -> None:
        if gpu.capturing is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    there.model.model.layers[0].register_forward_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        Decoder(NoDrafter(), there).generate(PROMPTS, stop=STOP)


def test_a_model_that_looks_at_values_is_refused(gpu: PretendedGPU) -> None:
    there = target(gpu.place)
    Graphs.use(there.engine)
    there.model.model.layers[0].register_forward_hook(lambda _, __, output: output[0].sum().item() and None)

    with pytest.raises(UnsupportedModel, match=r"can hold, got LlamaForCausalLM, which without graphs"):
        Decoder(NoDrafter(), there).generate(PROMPTS, stop=STOP)


def test_nodes_are_rounded_up(gpu: PretendedGPU) -> None:
    """So that trees of several sizes share a graph; no more logits come out than nodes go in."""
    there, shapes = target(gpu.place), set[tuple[int, ...]]()
    Graphs.use(there.engine)
    run = there.engine.run

    def watched(engine: Engine, plan: object, *inputs: Tensor) -> object:
        shapes.add(tuple(inputs[0].shape))
        return run(engine, plan, *inputs)  # type: ignore[arg-type]

    there.engine.run = watched  # type: ignore[assignment]
    slot = there.engine.open()
    for size in (1, 3, NODES, NODES + 1):
        chain = torch.arange(size)[None], torch.arange(size)[None], torch.ones(1, size, size, dtype=torch.bool).tril()
        assert there.engine.read([slot], *chain).logits.shape[1] == size  # type: ignore[union-attr]

    assert shapes == {(1, NODES), (1, 2 * NODES)}
