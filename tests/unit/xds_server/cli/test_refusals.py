"""How a command tells what Envoys refuse."""

from xds_server.cli.refusals import one_line, refusal_lines, refused_note


def node(name, resource, words="no", place=""):
    type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    rejected = {"type_url": type_url, "resource": resource, "error_detail": words}
    told = {**rejected, "registry_place": place}
    return {"id": name, "connected": True, "rejected": told, "kept_from": None}


def kept_from(name, resource, by):
    told = node(name, resource)
    return {**told, "rejected": None, "kept_from": {**told["rejected"], "by": by}}


def test_what_several_refuse_is_told_once():
    nodes = [
        node("a", "pool/x", "bad duration", "registry.yaml:3:3 (pools.x)"),
        node("b", "pool/y"),
        node("c", "pool/x", "bad  duration", "registry.yaml:3:3 (pools.x)"),
        node("d", ""),
    ]

    assert list(refusal_lines(nodes)) == [
        "a, c refuse Cluster pool/x",
        "  Envoy says: bad duration",
        "  it comes from registry.yaml:3:3 (pools.x)",
        "b refuses Cluster pool/y",
        "  Envoy says: no",
        "d refuses Cluster (it does not say which)",
        "  Envoy says: no",
    ]


def test_what_is_not_given_to_some_is_told_beside_who_refused_it():
    nodes = [node("a", "pool/x"), kept_from("b", "pool/x", "a"), kept_from("c", "pool/x", "a")]

    assert list(refusal_lines(nodes)) == [
        "a refuses Cluster pool/x",
        "  Envoy says: no",
        "b, c are not given Cluster pool/x, which a refused",
        "  Envoy says: no",
    ]


def test_who_plans_is_told_what_does_not_run():
    good = {"id": "g", "connected": True, "rejected": None, "kept_from": None}
    gone = {**node("gone", "pool/z"), "connected": False}
    some = [node("a", "pool/x"), kept_from("b", "pool/y", "a"), good, gone]

    assert refused_note([good, gone]) is None
    assert refused_note(some) == (
        "Envoys refuse a part of what is served now, and run what was before: "
        "Cluster pool/x, Cluster pool/y"
    )
    assert refused_note(node("a", f"p{n}") for n in range(7)).endswith(", Cluster p4 and 2 more")


def test_words_of_others_cannot_take_over_a_terminal():
    assert one_line("two\n  lines\x1b[2J\x07") == "two lines?[2J?"
