"""Comparing: fair turns, equal texts, and no speed-up where they are not."""

from functools import cache

import pytest
import torch

from specdec import Sampling, Target, load_drafter
from specdec.bench import Plan, Question, compare
from specdec.bench.entry import Speculative
from specdec.bench.rows import ALL, Difference, rows
from specdec.bench.run import measure, tasks
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.errors import OptionError, PromptError, VocabularyMismatch
from specdec.policies import Auto, Dynamic
from specdec.rules import Typical
from tests.bench.runs import Scripted, run, task
from tests.toys import build, byte_tokenizer, tiny

PROMPTS = ["abcabcabc", "the x y x y x", "héllo abc"]
SETS = {"one": [Question(7, "a", PROMPTS[:1])], "two": [Question(8, "", ["xyxyxy"]), Question(9, "", ["abab"])]}


@cache
def model(seed=1):
    return build("llama", seed=seed, dtype=torch.float32, vocab_size=len(byte_tokenizer()))


def target(rule=None):
    return Target(model(), byte_tokenizer(), rule)


def near():
    """A draft model that agrees now and then."""
    draft = build("llama", seed=1, dtype=torch.float32, vocab_size=len(byte_tokenizer()))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in draft.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return draft


def test_each_drafter_is_equal_to_plain_decoding_and_counted():
    draft = near()
    drafters = {"ngram": Ngram(), "small": SmallModel(draft)}
    found = compare(target(), drafters, PROMPTS, Dynamic(3, 2, 6), Plan((0, 1), 12, 2))

    assert [(row.temperature, row.drafter) for row in found] == [
        (temperature, name) for temperature in (0, 1) for name in ("none", "ngram", "small")
    ]
    assert all(row.equal and row.difference is None for row in found)
    assert [row.figures.speedup for row in found if row.drafter == "none"] == [1.0, 1.0]
    assert [row.figures.acceptance_length for row in found if row.drafter == "none"] == [1.0, 1.0]
    assert all(row.figures.speedup > 0 and row.figures.acceptance_length > 1 for row in found if row.drafter == "small")
    assert [row.parameters for row in found[:3]] == [0, 0, sum(weight.numel() for weight in draft.parameters())]
    assert all(len(row.runs) == 2 * len(PROMPTS) for row in found)


def test_texts_are_those_of_the_seed_and_the_place_in_the_set():
    plan = Plan((1,), 10, 1, seed=5)
    found = compare(target(), {}, PROMPTS, plan=plan)
    decode, prompts = Speculative("x", NoDrafter(), target()).decode, byte_tokenizer()(PROMPTS)["input_ids"]
    expected = [decode(prompt, Sampling(1, seed=5 + number), 10) for number, prompt in enumerate(prompts)]

    assert [each.trace.tokens for each in found[0].runs] == [trace.tokens for trace in expected]


def test_several_sets_have_rows_of_their_own_and_one_for_all():
    found = compare(target(), {"ngram": Ngram()}, SETS, plan=Plan(max_tokens=4, repeats=1))

    assert [(row.prompt_set, row.drafter, row.figures.prompts) for row in found] == [
        *[("one", "none", 1), ("one", "ngram", 1), ("two", "none", 2), ("two", "ngram", 2)],
        *[(ALL, "none", 3), (ALL, "ngram", 3)],
    ]


def test_a_lossy_rule_gets_no_speed_up_and_is_told_where_texts_part():
    plain, small = compare(target(Typical()), {"small": SmallModel(near())}, PROMPTS, plan=Plan((1,), 24, 1))

    assert plain.equal
    assert plain.figures.speedup == 1.0
    assert small.equal is False
    assert (small.figures.speedup, small.figures.speedup_low, small.figures.speedup_high) == (None, None, None)
    assert small.figures.tokens_per_second > 0
    assert isinstance(small.difference, Difference)
    said = next(
        (one, other)
        for one, other in zip(plain.runs, small.runs, strict=True)
        if one.task.question.question_id == small.difference.question_id
    )
    tokens = [each.trace.tokens for each in said]
    place = small.difference.position
    assert tokens[0][:place] == tokens[1][:place]
    assert tokens[0][place] != tokens[1][place]
    assert small.difference.plain != small.difference.drafter


def test_an_entry_that_changes_one_text_of_many_is_refused_and_the_place_named():
    one, two = task(1), task(2)
    plain, other = Scripted("none"), Scripted("liar")
    runs = [run("none", each, 1.0, repeat=repeat) for repeat in range(2) for each in (one, two)]
    said = [run("liar", one, 0.1), run("liar", two, 0.1), run("liar", one, 0.1, repeat=1)]
    said.append(run("liar", two, 0.1, tokens=(5, 6, 9, 8), repeat=1))
    _, row = rows([plain, other], [*runs, *said])

    assert row.figures.speedup is None
    assert (row.difference.question_id, row.difference.position) == (2, 2)
    assert (row.difference.plain, row.difference.drafter) == ("5 6 7 8", "5 6 9 8")
    assert "question 2 of set, temperature 0, seed 0: from new token 3 on, plain decoding says '5 6 7 8'" in str(
        row.difference
    )


def test_turns_are_taken_round_and_the_warm_up_is_left_out():
    log = []
    entries = [Scripted(name, log) for name in ("none", "a", "b")]
    todo, plan = [task(1), task(2)], Plan(max_tokens=30, repeats=2)
    runs = measure(entries, todo, plan)
    order = [name for name, *_ in log]

    assert order[:6] == ["none", "a", "b"] * 2
    assert [tokens for *_, tokens in log] == [16] * 6 + [30] * 12
    assert [order[place : place + 3] for place in range(6, 18, 3)] == [
        ["none", "a", "b"],
        ["a", "b", "none"],
        ["b", "none", "a"],
        ["none", "a", "b"],
    ]
    assert [(each.entry, each.task.question.question_id, each.repeat) for each in runs[:4]] == [
        ("none", 1, 0),
        ("a", 1, 0),
        ("b", 1, 0),
        ("a", 2, 0),
    ]


def test_looping_texts_are_counted_and_figures_given_without_them():
    loop, straight = (1, 2) * 20, tuple(range(40))
    ends, goes_on = task(1), task(2)
    runs = [run("none", ends, 1.0, loop), run("none", goes_on, 1.0, straight)]
    runs += [run("d", ends, 0.1, loop, (10,) * 4), run("d", goes_on, 0.5, straight, (2,) * 20)]
    _, row = rows([Scripted("none"), Scripted("d")], runs)

    assert row.looping == 1
    assert row.figures.speedup == pytest.approx(2 / 0.6)
    assert row.without_looping.speedup == pytest.approx(2)
    assert (row.without_looping.prompts, row.without_looping.acceptance_length) == (1, 2.0)


def test_the_token_that_ends_a_text_does_not_keep_it_from_looping():
    tokens = (1,) * 8 + (2,)  # with its end two runs of eight of which both are distinct
    found = rows([Scripted("none")], [run("none", task(), 1.0, (*tokens[:-1], 1, 1, 2))], end_tokens=[2])

    assert found[0].looping == 1
    assert found[0].without_looping is None


class TestRefused:
    def test_a_drafter_called_as_plain_decoding(self):
        with pytest.raises(OptionError, match="plain decoding is always measured"):
            compare(target(), {"none": Ngram()}, PROMPTS)

    def test_a_prompt_that_does_not_fit_before_anything_runs(self):
        log = []
        sets = {"long": [Question(1, "", ["a"]), Question(2, "", ["x" * 120])]}
        with pytest.raises(PromptError, match="question 2 of long and 20 tokens more to fit the target's 128"):
            compare(target(), {"s": Scripted("s", log)}, sets, plan=Plan(max_tokens=20))

        assert log == []

    def test_a_drafter_of_another_vocabulary(self):
        with pytest.raises(VocabularyMismatch):
            compare(target(), {"small": SmallModel(tiny())}, PROMPTS)

    def test_no_prompts(self):
        with pytest.raises(PromptError, match="at least one prompt"):
            tasks({"none": []}, Plan(), byte_tokenizer())

    @pytest.mark.parametrize("given", [(), (0, 0), (-1,)])
    def test_temperatures_that_mean_nothing(self, given):
        with pytest.raises(OptionError, match="temperature"):
            Plan(given)

    def test_rows_without_plain_decoding(self):
        with pytest.raises(OptionError, match="plain decoding, 'none', among"):
            rows([Scripted("d")], [run("d", task(), 1.0)])


def test_weights_of_the_target_are_not_the_drafters():
    class Sharing(NoDrafter):
        def __init__(self, shared, own):
            self.parts = [shared, own]

    own = torch.nn.Linear(3, 5)
    drafter = Sharing(model(), own)

    assert Speculative("s", drafter, target()).parameters == 20
    assert Speculative("n", load_drafter("ngram"), target()).parameters == 0


def test_a_drafter_without_a_policy_uses_its_own():
    shapes = [None, "chain:length=3", Dynamic(3, 2, 6)]

    assert [Speculative("n", Ngram(), target(), shape).policy for shape in shapes] == [
        *(Ngram.policy, "chain:length=3", str(Dynamic(3, 2, 6)))
    ]


def test_a_policy_that_learns_is_not_shared():
    """Else what one drafter is measured with depends on those before it."""
    drafters = {"one": Ngram(), "other": Ngram(longest=2)}
    with pytest.raises(OptionError, match=r"spec of a policy that learns, .*, for one and other .*got Auto"):
        compare(target(), drafters, PROMPTS, Auto())

    assert len(compare(target(), {"one": Ngram()}, PROMPTS[:1], Auto(), Plan((0,), 2, 1))) == 2
