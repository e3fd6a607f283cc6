"""What a pass takes by its number of nodes, and how often a drafter is right by position in the text."""


def wide(nodes: int) -> float:
    """A GPU: up to 64 nodes cost hardly more than one."""
    return 0.02 + 0.0001 * max(nodes - 64, 0)


def steps(nodes: int) -> float:
    """A processor, which is better at even numbers than at one."""
    return 0.057 if nodes == 1 else 0.095 + 0.004 * nodes


def steep(nodes: int) -> float:
    """A processor that has no use for several at a time."""
    return 0.01 * nodes


def often(position: int) -> float:
    return 0.8


def in_parts(position: int) -> float:
    return 0.95 if position // 8 % 2 else 0.2


def never(position: int) -> float:
    return 0.0


def rarely(position: int) -> float:
    """Some text is copied now and then; where none is, there is no match."""
    return 0.95 if position // 12 % 6 == 5 else 0.0


def late(position: int) -> float:
    return 0.9 if position > 150 else 0.0


def seldom(position: int) -> float:
    return 0.3


def packed(nodes: int) -> float:
    """A processor that reads half-precision weights: two nodes cost a third more than one, four hardly more."""
    table = {1: 29, 2: 39, 4: 41, 8: 59, 16: 80, 32: 154, 64: 243}
    after = next(place for place in table if place >= nodes)
    before = max(place for place in table if place <= nodes)
    share = (nodes - before) / max(after - before, 1)
    return 0.001 * (table[before] + share * (table[after] - table[before]))
