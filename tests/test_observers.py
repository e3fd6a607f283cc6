"""What travels with a decoder's parts: observers of its own, and the policy that suits its drafter."""

from types import SimpleNamespace

import pytest

from specdec import Decoder, Drafter, Stop, Target, load_drafter, load_policy, plugins
from specdec.drafters import NoDrafter
from specdec.errors import OptionError
from specdec.policies import Chain, Static
from tests.test_plugins import Listener
from tests.toys import RAGGED, tiny


class Watcher:
    """Hears as a plugin does, with no marks."""

    def __init__(self):
        self.heard = []

    def on_begin(self, context):
        self.heard.append(("begin", list(map(len, context.tokens))))

    def on_step(self, step, trees):
        self.heard.append(("step", step.lengths, len(trees)))

    def on_end(self):
        self.heard.append(("end",))


class TestObservers:
    def test_they_hear_what_plugins_hear_of_their_own_decoder_alone(self):
        listener, watcher, other, target = Listener(), Watcher(), Watcher(), Target(tiny())
        plugins.plugins().add(listener, "listener")
        try:
            Decoder(load_drafter("ngram"), target, observers=[watcher, other]).generate(RAGGED, stop=Stop(max_tokens=5))
        finally:
            plugins.plugins().remove(listener)
        heard = len(watcher.heard)
        Decoder(load_drafter("ngram"), target, observers=[other]).generate([[1, 2, 3]], stop=Stop(max_tokens=2))

        assert watcher.heard == listener.heard
        assert len(watcher.heard) == heard < len(other.heard)

    @pytest.mark.parametrize("hooks", [(), ("on_begin",), ("on_step", "on_end")])
    def test_they_need_not_hear_all(self, hooks):
        heard = []
        observer = SimpleNamespace(**{hook: lambda hook=hook: heard.append(hook) for hook in hooks}, other=print)
        if not hooks:
            with pytest.raises(OptionError, match="an observer with any of on_begin, on_step, on_end, got namespace"):
                Decoder(load_drafter("none"), Target(tiny()), observers=[observer])
            return
        Decoder(load_drafter("none"), Target(tiny()), observers=[observer]).generate([[1]], stop=Stop(max_tokens=1))

        assert heard == list(hooks)

    def test_an_argument_that_a_hook_does_not_have(self):
        class Typo:
            def on_step(self, stpe):
                raise AssertionError

        with pytest.raises(OptionError, match="stpe"):
            Decoder(load_drafter("none"), Target(tiny()), observers=[Typo()])

    def test_the_same_twice(self):
        watcher = Watcher()
        with pytest.raises(OptionError, match="expected an observer that specdec can call"):
            Decoder(load_drafter("none"), Target(tiny()), observers=[watcher, watcher])


class TestPolicyOfADrafter:
    def test_a_decoder_uses_it_if_none_is_given(self):
        class Wide(NoDrafter):
            policy = "static:levels=3"

        assert Decoder(Wide(), Target(tiny())).policy == Static((3,))
        assert Decoder(Wide(), Target(tiny()), Chain(2)).policy == Chain(2)
        assert Decoder(NoDrafter(), Target(tiny())).policy == Chain()

    def test_those_of_all_drafters_are_policies(self):
        kinds = [Drafter]
        for kind in kinds:
            kinds += kind.__subclasses__()

        assert [load_policy(kind.policy) for kind in kinds if kind.__module__.startswith("specdec")]
