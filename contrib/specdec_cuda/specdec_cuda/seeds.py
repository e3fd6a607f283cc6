"""Seeds as torch holds them."""


def signed(seed: int) -> int:
    """Give the signed number of 64 bits that has an unsigned one's bits."""
    return seed - 2**64 if seed >= 2**63 else seed
