from specdec import load_drafter
from specdec.testing import check_drafter


def test_echo_leaves_the_text_to_the_target():
    check_drafter(lambda target: load_drafter("echo"))
