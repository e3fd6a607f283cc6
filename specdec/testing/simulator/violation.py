"""What a simulation looks for."""


class Violation(BaseException):
    """One of the invariants I1 to I7 does not hold; the message begins with its number.

    What is simulated must not catch it, so it is no `Exception`.
    """
