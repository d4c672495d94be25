"""What a stream wants of one type."""

from xds_server.protocol.subscription import Subscription


def test_nothing_is_wanted_before_something_was_asked_for():
    assert not Subscription(legacy_wildcard=True).wants("a")


def test_replacing_returns_what_is_new_in_the_order_in_which_it_was_asked_for():
    subscription = Subscription(legacy_wildcard=False)

    assert subscription.replace(["b", "a", "b"]) == ["b", "a"]
    assert subscription.replace(["c", "a"]) == ["c"]
    assert subscription.wants("a")
    assert not subscription.wants("b")


def test_no_names_are_the_wildcard_where_there_is_a_legacy_wildcard():
    subscription = Subscription(legacy_wildcard=True)

    assert subscription.replace([]) == ["*"]
    assert subscription.replace([]) == []
    assert subscription.wants("anything")


def test_no_names_are_nothing_elsewhere():
    subscription = Subscription(legacy_wildcard=False)

    assert subscription.replace([]) == []
    assert not subscription.wants("anything")


def test_a_name_ends_the_legacy_wildcard_for_good():
    subscription = Subscription(legacy_wildcard=True)
    subscription.replace([])
    subscription.replace(["*", "a"])
    assert subscription.wants("b")

    subscription.replace(["a"])
    assert not subscription.wants("b")

    subscription.replace([])
    assert not subscription.wants("a")


def test_names_are_added_beside_the_wildcard():
    subscription = Subscription(legacy_wildcard=True)
    subscription.add(["*", "a"])

    assert subscription.drop(["*"]) == ["*"]
    assert subscription.wants("a")
    assert not subscription.wants("b")


def test_dropping_what_was_not_asked_for_means_nothing():
    subscription = Subscription(legacy_wildcard=False)
    subscription.add(["a"])

    assert subscription.drop(["*", "b", "a"]) == ["a"]
    assert not subscription.wants("a")
