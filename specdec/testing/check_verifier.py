"""Does a verifier keep what was decided and nothing else, whatever it is asked?"""

from collections.abc import Callable

from specdec.interfaces import Verifier


def check_verifier(
    factory: Callable[[], Verifier], *, examples: int = 15, steps: int = 8, shrink: bool = False
) -> None:
    """Prefill, verify trees of all kinds, let sequences leave and make mistakes, in any order; needs hypothesis.

    The verifier's rule is to be `match`. After each call every sequence must have what a verifier of its own, fed one
    root after the other, says of its prompt; a tree or a prompt that is refused must change nothing; and where the
    verifier gives views (`Verifier.view`), up to three batches take turns, and none ends another.

    Raises:
        AssertionError: the message says what was broken; hypothesis prints the calls that lead there. If it is to
            `shrink` them, it looks for the fewest that do, which may take minutes.
    """
    from hypothesis import Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    from specdec.testing.verifier_machine import VerifierMachine

    class Machine(VerifierMachine):
        make = staticmethod(factory)

    phases = [phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)]
    limits = settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases)
    run_state_machine_as_test(Machine, settings=limits)
