"""Registries for tests: from text, from plain data, and drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from textwrap import dedent
from typing import Any

import yaml
from hypothesis import strategies as st

from snapshots.registry.loader import load_registry
from snapshots.registry.names import MAX_NAME_BYTES
from snapshots.registry.paths import check_path
from snapshots.registry.problems import ValueRefusedError
from snapshots.registry.schema import Registry

Data = dict[str, Any]
"""A registry as a YAML parser would give it."""


def registry(text: str) -> Registry:
    """Return the registry of *text*, which is indented as one likes and has no version."""
    return load_registry(f"version: 1\n{dedent(text)}".encode(), "registry.yaml")


def registry_of(data: Data) -> Registry:
    """Return the registry that *data* describes."""
    return load_registry(yaml_of(data), "registry.yaml")


def yaml_of(data: Data) -> bytes:
    """Return *data* as YAML, every text in quotes."""
    return yaml.dump(data, Dumper=_Quoting, sort_keys=False).encode()


class _Quoting(yaml.SafeDumper):
    """Writes every text in quotes, and no anchors for what is there twice."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


_Quoting.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'),
)


# --- drawn at random ---


def _is_name(text: str) -> bool:
    return text not in ("", "-") and text == text.strip() and len(text.encode()) <= MAX_NAME_BYTES


def _is_path(text: str) -> bool:
    try:
        check_path(text)
    except ValueRefusedError:
        return False
    return True


PLAIN_NAMES = st.sampled_from("abcdefghijklmnopqrstuvwxyz") | st.from_regex(
    r"[a-z0-9]([a-z0-9/.:-]{0,10}[a-z0-9])?", fullmatch=True
)
ANY_NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
NAMES = (PLAIN_NAMES | ANY_NAMES).filter(_is_name)
EXACT_NAMES = NAMES.filter(lambda name: "*" not in name)
WILDCARDS = st.just("*") | EXACT_NAMES.filter(lambda n: len(n) < 200).map("{}*".format)
PATHS = st.builds(
    "{}/{}".format,
    st.sampled_from(["", "/v1", "/v2", "/team"]),
    st.from_regex(r"[A-Za-z0-9._~!$&'()*+,;=:@-]{1,6}(/[a-z0-9]{1,3})?", fullmatch=True),
).filter(_is_path)
PORTS = st.integers(1, 65535)
IPV4 = st.builds("{}:{}".format, st.ip_addresses(v=4), PORTS)
IPV6 = st.builds("[{}]:{}".format, st.ip_addresses(v=6), PORTS)
DNS = st.builds("{}.example.com:{}".format, st.from_regex(r"[a-z]{1,4}", fullmatch=True), PORTS)
URLS = st.sampled_from(
    ["https://api.example.com/v1", "https://llm.example.com:8443/a/v1/", "http://10.0.0.1"]
)
ADDRESSES = IPV4 | IPV6 | DNS
DURATIONS = st.sampled_from(["1ms", "250ms", "1.5s", "15s", "5m", "24h"])
REQUEST_PATHS = st.sampled_from(["/health", "/", "/v1/health?deep=1"])


TOKENS = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
STICKY = TOKENS.map(lambda name: {"header": name}) | TOKENS.map(lambda name: {"cookie": name})


RATE_LIMITS = st.fixed_dictionaries(
    {"requests_per_second": st.integers(100_000, 1_000_000)},
    optional={"burst": st.integers(1000, 1_000_000)},
)
"""So high that nobody who asks a little meets one."""


CREDENTIALS = st.fixed_dictionaries(
    {"value_env": st.just("HOME")},
    optional={
        "header": st.sampled_from(["authorization", "X-Api-Key"]),
        "prefix": st.sampled_from(["", "Bearer "]),
    },
)
"""In a variable that is set, and holds nothing secret."""


def _mappings(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Data]:
    """Draw a mapping that may have each of *fields*, or not."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def registries(
    draw: Callable[[st.SearchStrategy[Any]], Any],
    addresses: st.SearchStrategy[str] = ADDRESSES,
    gateways: st.SearchStrategy[Data] | None = None,
) -> Data:
    """Draw a registry that is accepted; *addresses* are those of endpoints.

    *gateways* draws the whole section; otherwise it holds anything, or is not there.
    """
    live = addresses is not ADDRESSES  # then somebody listens, and speaks HTTP/1.1
    pools = draw(st.lists(NAMES, max_size=4, unique=True))
    taken = iter(draw(st.lists(EXACT_NAMES, max_size=10, unique=True)))
    wildcards = iter(draw(st.lists(WILDCARDS, max_size=3, unique=True)))
    paths = iter(draw(st.lists(PATHS, max_size=5, unique=True)))
    models: Data = {}
    for _ in range(draw(st.integers(0, 4)) if pools else 0):
        if (name := next(taken, None)) is not None:
            models[name] = draw(_models(pools))
            _deal(draw, models[name], "aliases", chain(wildcards, taken))
            _deal(draw, models[name], "paths", paths)
    data = {"version": 1, "pools": {pool: draw(_pools(addresses, live=live)) for pool in pools}}
    for pool in pools:
        _deal(draw, data["pools"][pool], "adapters", taken)
        _settle_servers(
            draw, data["pools"][pool], addresses, _is_needed(pool, data["pools"][pool], models)
        )
    if models or draw(st.booleans()):
        data["models"] = models
        _choose_default(draw, data)
    if gateways is not None or draw(st.booleans()):
        anything = _gateways(sorted(models))
        data["gateways"] = draw(anything if gateways is None else gateways)
    if draw(st.booleans()):
        data["extraction"] = draw(EXTRACTIONS)
    _settle_affinity(data)
    _settle_priorities(data)
    _guard(draw, data, known_keys=gateways is not None)
    return data


def _settle_servers(
    draw: Any, pool: Data, addresses: st.SearchStrategy[str], is_needed: bool
) -> None:
    """Make *pool* a provider, where nothing of it is asked, or give it a server if it needs one."""
    if addresses is ADDRESSES and draw(st.booleans()):
        pool["url"] = draw(URLS)
        del pool["endpoints"]
        pool.pop("path_rewrite", None)
    elif is_needed and not pool["endpoints"]:
        pool["endpoints"] = [draw(addresses)]


def _guard(draw: Any, data: Data, *, known_keys: bool) -> None:
    """Give *data* clients and credentials, or not; where *known_keys* are asked for, no clients."""
    if not known_keys and draw(st.booleans()):
        adapters = [a for pool in data["pools"].values() for a in pool.get("adapters", ())]
        data["auth"] = draw(_auth([*data.get("models", ()), *adapters]))
    if data["pools"] and draw(st.booleans()):
        shown = st.dictionaries(st.sampled_from(sorted(data["pools"])), CREDENTIALS, min_size=1)
        data.setdefault("auth", {})["upstream"] = draw(shown)


def _auth(usable: list[str]) -> st.SearchStrategy[Data]:
    models = st.just("*")
    if usable:
        models |= st.lists(st.sampled_from(usable), unique=True)
    client = st.fixed_dictionaries(
        {"key_sha256": st.from_regex(r"[0-9a-f]{64}", fullmatch=True)},
        optional={"models": models, "rate_limit": RATE_LIMITS},
    )
    clients = st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,8}", fullmatch=True), client, min_size=1
    )
    return _mappings(
        clients=clients.filter(lambda c: len({e["key_sha256"] for e in c.values()}) == len(c))
    )


def _deal(draw: Any, entry: Data, field: str, names: Any) -> None:
    """Give *entry* up to two of *names* as *field*."""
    dealt = [name for _ in range(draw(st.integers(0, 2))) if (name := next(names, None))]
    if dealt or draw(st.booleans()):
        entry[field] = dealt


def _choose_default(draw: Any, data: Data) -> None:
    """Name one of the models as the default, or none."""
    if data["models"] and draw(st.booleans()):
        data["default_model"] = draw(st.sampled_from(sorted(data["models"])))


def _settle_priorities(data: Data) -> None:
    """Let the pools of sheddable models have something that is full at some time."""
    for model in data.get("models", {}).values():
        for pool in model.get("split", [model.get("pool")]):
            if model.get("priority") == "sheddable" and "max_requests" not in data["pools"][pool]:
                data["pools"][pool]["shed_at"] = 1000


def _settle_affinity(data: Data) -> None:
    """Let the companion read the bodies where a pool wants prompts read."""
    if any(pool.get("load_balancing") in AFFINE for pool in data["pools"].values()):
        data.get("extraction", {}).pop("mode", None)


def _is_needed(pool: str, entry: Data, models: Data) -> bool:
    used = any(
        model.get("pool") == pool
        or model.get("split", {}).get(pool, 0) > 0
        or model.get("mirror", {}).get("pool") == pool
        or pool in model.get("fallback", ())
        for model in models.values()
    )
    return used or bool(entry.get("adapters"))


def _models(pools: list[str]) -> st.SearchStrategy[Data]:
    one = st.sampled_from(pools).map(lambda pool: {"pool": pool})
    split = st.dictionaries(
        st.sampled_from(pools), st.integers(0, 3) | st.integers(0, 2**29), min_size=1
    ).filter(lambda weights: sum(weights.values()))
    times = _mappings(timeout=DURATIONS | st.just("0s"), idle_timeout=DURATIONS | st.just("0s"))
    target = one | split.map(lambda weights: {"split": weights})
    shadow = st.sampled_from(pools).map(lambda pool: {"pool": pool})
    mirror = st.tuples(shadow, _mappings(percent=st.integers(1, 100))).map(lambda p: p[0] | p[1])
    fallback = st.lists(st.sampled_from(pools), max_size=3, unique=True)
    routing = _mappings(
        sticky=STICKY,
        retries=RETRIES,
        mirror=mirror,
        fallback=fallback,
        rate_limit=RATE_LIMITS,
        headers=HEADERS,
        priority=st.sampled_from(["critical", "standard", "sheddable"]),
    )
    drawn = st.builds(lambda *parts: parts[0] | parts[1] | parts[2], target, times, routing)
    return drawn.map(_with_other_fallbacks)


def _with_other_fallbacks(model: Data) -> Data:
    """Leave out of *model*'s fallbacks what answers it already."""
    if "fallback" in model:
        pools = {model.get("pool"), *model.get("split", ())}
        model["fallback"] = [pool for pool in model["fallback"] if pool not in pools]
    return model


def _pools(addresses: st.SearchStrategy[str], *, live: bool) -> st.SearchStrategy[Data]:
    zones = st.sampled_from(["a", "b", ""])
    options = _mappings(weight=st.integers(1, 3) | st.just(65535), zone=zones)
    endpoints = st.lists(addresses, max_size=3, unique=True).flatmap(
        lambda drawn: st.tuples(*(st.just(a) | options.map({"address": a}.__or__) for a in drawn))
    )
    times = st.integers(1, 100)
    check = _mappings(
        path=REQUEST_PATHS,
        interval=DURATIONS,
        timeout=DURATIONS,
        unhealthy_after=times,
        healthy_after=times,
        status=st.integers(200, 599),
    )
    policies = ["least_request", "round_robin", "random", "maglev", "ring_hash"]
    return st.fixed_dictionaries(
        {"endpoints": endpoints.map(list)},
        optional={
            "model": NAMES,
            "health_check": st.just(False) | check,
            "max_requests": st.integers(1, 1_000_000),
            "max_critical_requests": st.integers(1, 1_000_000),
            "max_pending": st.integers(1, 1_000_000),
            "connect_timeout": DURATIONS,
            "headers": HEADERS,
            "path_rewrite": st.sampled_from(["/v1"] if live else ["/openai/v1", "/", "/v1"]),
            "outlier_detection": st.just(False) | OUTLIERS,
            **({} if live else {"protocol": st.sampled_from(["http1", "http2"])}),
            "load_balancing": st.sampled_from([*policies, {"policy": "random"}, *AFFINE, *KEYED]),
        },
    )


CAUSES = st.sampled_from(["unreachable", "reset"]) | st.integers(400, 599)
RETRIES = _mappings(
    attempts=st.integers(0, 10),
    on=st.lists(CAUSES, min_size=1, max_size=3),
    per_try_timeout=DURATIONS | st.just("0s"),
)
AFFINE = [{"policy": name, "key": "prompt_prefix"} for name in ("maglev", "ring_hash")]

_CHANGES = _mappings(
    set=st.dictionaries(st.sampled_from(["x-a", "X-B"]), st.sampled_from(["1", "", "50%"])),
    remove=st.lists(st.sampled_from(["x-c", "X-D"]), unique=True),
)
HEADERS = _mappings(request=_CHANGES, response=_CHANGES)
KEYED = [
    {"policy": "maglev", "key": {"header": "x-user-id"}, "overload": 120},
    {"policy": "ring_hash", "key": {"cookie": "session"}},
    {"policy": "maglev", "key": "client_ip"},
    {"policy": "least_request", "choices": 5},
]
OUTLIERS = _mappings(
    consecutive_errors=st.integers(1, 1000),
    consecutive_5xx=st.integers(1, 1000),
    interval=DURATIONS,
    eject_for=DURATIONS,
    max_ejected_percent=st.integers(1, 100),
)

EXTRACTIONS = _mappings(
    mode=st.sampled_from(["ext_proc", "native"]),
    on_failure=st.sampled_from(["native", "reject"]),
    max_body=st.sampled_from(["1KiB", "64KiB", "16MiB", 2**32 - 1]),
)


LIMITS = _mappings(
    max_headers=st.integers(50, 10_000),
    max_header_size=st.sampled_from(["8KiB", "8MiB", 10_000]),
    headers_with_underscores=st.sampled_from(["reject", "drop"]),
    request_headers_timeout=st.sampled_from(["10s", "24h"]),
    request_timeout=st.sampled_from(["0s", "300s"]),
    connection_idle_timeout=st.sampled_from(["1h", "24h"]),
    max_concurrent_streams=st.integers(1, 2**31 - 1),
)


def _gateways(models: list[str]) -> st.SearchStrategy[Data]:
    exposed = st.just("*")
    if models:
        exposed |= st.lists(st.sampled_from(models), unique=True)
    gateway = _mappings(
        listen=st.sampled_from(["127.0.0.1:0", "0.0.0.0:10000", "[::]:8080"]),
        models=exposed,
        response_headers=st.booleans(),
        access_log=st.sampled_from([False, "stdout", "/dev/null"]),
        trusted_hops=st.integers(0, 10),
        limits=LIMITS,
    )
    clusters = st.lists(st.just("*") | NAMES, min_size=1, max_size=3, unique=True)
    return clusters.flatmap(
        lambda drawn: st.lists(
            st.tuples(NAMES, gateway),
            min_size=len(drawn),
            max_size=len(drawn),
            unique_by=lambda entry: entry[0],
        ).map(
            lambda entries: {
                name: {"node_cluster": cluster, **entry}
                for cluster, (name, entry) in zip(drawn, entries, strict=True)
            }
        )
    )
