"""How a command tells what Envoys refuse."""

from xds_server.cli.refusals import one_line, refusal_lines


def node(name, resource, words="no", place=""):
    type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    rejected = {"type_url": type_url, "resource": resource, "error_detail": words}
    return {"id": name, "rejected": {**rejected, "registry_place": place}}


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


def test_words_of_others_cannot_take_over_a_terminal():
    assert one_line("two\n  lines\x1b[2J\x07") == "two lines?[2J?"
