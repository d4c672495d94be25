import gc

import pytest

from xds_server.garbage import no_search


def test_no_search_for_cycles_begins_within_the_block():
    with no_search():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_searches_go_on_after_an_error():
    with pytest.raises(ValueError, match="bad"), no_search():
        raise ValueError("bad")

    assert gc.isenabled()


def test_who_switched_the_search_off_finds_it_off_afterwards():
    gc.disable()
    try:
        with no_search():
            pass

        assert not gc.isenabled()
    finally:
        gc.enable()
