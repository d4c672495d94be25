"""Which resources may travel together while a culprit is searched."""

from tests.support.snapshots import cluster, names
from xds_server.protocol.suspects import Suspects


def together(suspects: Suspects, text: str) -> list[str]:
    return names(suspects.together(cluster(name) for name in text))


def test_all_travel_together_while_nobody_is_suspected():
    assert together(Suspects(), "abc") == ["a", "b", "c"]


def test_suspects_travel_in_halves_apart_from_the_others():
    suspects = Suspects()
    suspects.suspect("abcd")

    assert together(suspects, "axbcd") == ["a", "b"]
    assert together(suspects, "xabcdy") == ["x", "y"]


def test_the_last_suspects_travel_alone():
    suspects = Suspects()
    suspects.suspect("ab")

    assert together(suspects, "ab") == ["a"]


def test_who_is_cleared_is_no_suspect():
    suspects = Suspects()
    suspects.suspect("ab")
    suspects.clear("a")
    suspects.clear("b")

    assert together(suspects, "ab") == ["a", "b"]
