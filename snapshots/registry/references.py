"""Whether the names in a registry fit together: each is unique, what it refers to exists.

Reads the plain data, not the pydantic models, so that these problems are reported together with
entries whose form is wrong; whatever has the wrong form is passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.registry.affinity import check_affinity
from snapshots.registry.client_references import check_clients
from snapshots.registry.names import is_wildcard
from snapshots.registry.node_references import check_nodes
from snapshots.registry.pool_references import check_headers, check_url
from snapshots.registry.priority_references import check_budgets, check_priorities
from snapshots.registry.problems import Path, Refusal, Suggestions, code
from snapshots.registry.schema import MAX_SPLIT_WEIGHT
from snapshots.registry.tls_references import check_tls
from snapshots.registry.upstream_references import check_upstream

Entries = Mapping[str, object]


def check_references(data: Entries, suggestions: Suggestions) -> Iterator[Refusal]:
    """Yield every name in *data* that is taken twice or leads nowhere."""
    yield from _check_names(data)
    yield from _check_paths(data)
    yield from _check_pools(data)
    yield from _check_models(data, suggestions)
    yield from check_affinity(data)
    yield from _check_default_model(data, suggestions)
    yield from _check_gateways(data, suggestions)
    yield from check_clients(data, _others(data), suggestions)
    yield from check_upstream(data, suggestions)
    yield from check_tls(data)
    yield from check_headers(data)


# --- reading data of any form ---


def _mappings(parent: Entries, field: str) -> Iterator[tuple[str, Entries]]:
    """Yield the entries of *field* that are mappings themselves."""
    for name, value in _mapping(parent.get(field)).items():
        if isinstance(value, Mapping):
            yield name, value


def _mapping(value: object) -> Entries:
    return value if isinstance(value, Mapping) else {}


def _texts(parent: Entries, field: str) -> Iterator[tuple[int, str]]:
    value = parent.get(field)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, str):
            yield index, item


def _weights(model: Entries) -> dict[str, int]:
    """Return how much of a model's requests goes to each pool, by what its entry says."""
    if isinstance(pool := model.get("pool"), str):
        return {pool: 1}
    split = _mapping(model.get("split"))
    return {pool: weight for pool, weight in split.items() if type(weight) is int}


# --- unique names ---


def _names(data: Entries) -> Iterator[tuple[Path, str, str]]:
    """Yield place, name and description of everything that clients can ask for."""
    for name in _mapping(data.get("models")):
        yield ("models", name), name, "a model"
    for model, entry in _mappings(data, "models"):
        for index, alias in _texts(entry, "aliases"):
            yield ("models", model, "aliases", index), alias, f"an alias of model {code(model)}"
    for pool, entry in _mappings(data, "pools"):
        for index, adapter in _texts(entry, "adapters"):
            yield ("pools", pool, "adapters", index), adapter, f"an adapter of pool {code(pool)}"


def _others(data: Entries) -> Mapping[str, str]:
    """Return all that clients can ask for but is no model, each with its description."""
    return {
        name: description for path, name, description in _names(data) if path != ("models", name)
    }


def _check_names(data: Entries) -> Iterator[Refusal]:
    taken: dict[str, str] = {}
    for path, name, description in _names(data):
        if name in taken:
            yield Refusal(
                path,
                f"{code(name)} is already {taken[name]}",
                "every model, alias and adapter needs a name of its own",
            )
        taken.setdefault(name, description)


def _check_paths(data: Entries) -> Iterator[Refusal]:
    taken: dict[str, str] = {}
    for model, entry in _mappings(data, "models"):
        for index, path in _texts(entry, "paths"):
            if path in taken:
                yield Refusal(
                    ("models", model, "paths", index),
                    f"{code(path)} is already a path of model {code(taken[path])}",
                    "every path needs a model of its own",
                )
            taken.setdefault(path, model)


# --- pools ---


def _check_pools(data: Entries) -> Iterator[Refusal]:
    needed: dict[str, str] = {}
    for pool, needed_by in _needed_pools(data):
        needed.setdefault(pool, needed_by)
    for name, entry in _mappings(data, "pools"):
        for _index, adapter in _texts(entry, "adapters"):
            needed.setdefault(name, f"adapter {code(adapter)}")
        if entry.get("endpoints") == [] and name in needed:
            yield Refusal(
                ("pools", name, "endpoints"),
                f"empty, but {needed[name]} needs it",
                "add the address of a server",
            )
        yield from check_url(name, entry)
        yield from _check_endpoints(name, entry)
        yield from check_budgets(name, entry)


def _needed_pools(data: Entries) -> Iterator[tuple[str, str]]:
    """Yield each pool that a model sends requests to, and what needs it."""
    for model, entry in _mappings(data, "models"):
        for pool, weight in _weights(entry).items():
            if weight > 0:
                yield pool, f"model {code(model)}"
        for _index, pool in _texts(entry, "fallback"):
            yield pool, f"the fallback of model {code(model)}"
        if isinstance(mirrored := _mapping(entry.get("mirror")).get("pool"), str):
            yield mirrored, f"the mirror of model {code(model)}"


def _check_endpoints(name: str, pool: Entries) -> Iterator[Refusal]:
    endpoints = pool.get("endpoints")
    taken: set[str] = set()
    for index, endpoint in enumerate(endpoints if isinstance(endpoints, list) else ()):
        address = endpoint.get("address") if isinstance(endpoint, Mapping) else endpoint
        if not isinstance(address, str):
            continue
        if address in taken:
            yield Refusal(
                ("pools", name, "endpoints", index),
                f"{code(address)} is already in this pool",
                "give it a weight instead",
            )
        taken.add(address)


# --- models ---


def _check_models(data: Entries, suggestions: Suggestions) -> Iterator[Refusal]:
    pools = _mapping(data.get("pools"))
    for name, model in _mappings(data, "models"):
        place: Path = ("models", name)
        if ("pool" in model) == ("split" in model):
            count = "both" if "pool" in model else "neither"
            yield Refusal(place, f"has {count} of `pool` and `split`", "give exactly one of them")
        yield from _check_sticky((*place, "sticky"), model.get("sticky"), data)
        if isinstance(pool := model.get("pool"), str) and pool not in pools:
            yield _dangling((*place, "pool"), pool, pools, suggestions)
        for pool in _mapping(model.get("split")):
            if pool not in pools:
                yield _dangling((*place, "split", pool), pool, pools, suggestions)
        yield from _check_fallback((*place, "fallback"), model, pools, suggestions)
        shadow = _mapping(model.get("mirror")).get("pool")
        if isinstance(shadow, str) and shadow not in pools:
            yield _dangling((*place, "mirror", "pool"), shadow, pools, suggestions)
        yield from _check_weights((*place, "split"), _mapping(model.get("split")))
        yield from check_priorities(pools, name, model, _weights(model))


def _check_fallback(
    path: Path, model: Entries, pools: Entries, suggestions: Suggestions
) -> Iterator[Refusal]:
    taken = dict.fromkeys(_weights(model), "answers this model already")
    for index, pool in _texts(model, "fallback"):
        if pool not in pools:
            yield _dangling((*path, index), pool, pools, suggestions)
        elif pool in taken:
            hint = "a request goes to each pool once: name another one"
            yield Refusal((*path, index), f"{code(pool)} {taken[pool]}", hint)
        taken.setdefault(pool, "is already in this list")


def _check_sticky(path: Path, sticky: object, data: Entries) -> Iterator[Refusal]:
    if not isinstance(sticky, Mapping):
        return
    given = [field for field in ("header", "cookie", "client") if field in sticky]
    if len(given) != 1:
        count = " and ".join(map(code, given)) if given else "none of `header`, `cookie`, `client`"
        yield Refusal(path, f"has {count}", "give exactly one of them")
    elif sticky.get("client") is True and not _mapping(_mapping(data.get("auth")).get("clients")):
        hint = "add `auth.clients`, or go by a header or cookie"
        yield Refusal((*path, "client"), "the file knows no clients", hint)


def _dangling(path: Path, pool: str, pools: Entries, suggestions: Suggestions) -> Refusal:
    subject = "no pool has this name" if path[-1] == pool else f"no pool is named {code(pool)}"
    return Refusal(path, subject, suggestions.hint(pool, pools, "add it under `pools`"))


def _check_weights(path: Path, split: Entries) -> Iterator[Refusal]:
    weights = [weight for weight in split.values() if type(weight) is int and weight >= 0]
    if not weights or len(weights) < len(split):
        return
    if sum(weights) == 0:
        yield Refusal(path, "all weights are 0", "give at least one pool a positive weight")
    if sum(weights) > MAX_SPLIT_WEIGHT >= max(weights):
        yield Refusal(path, f"the weights add up to more than {MAX_SPLIT_WEIGHT}")


def _check_default_model(data: Entries, suggestions: Suggestions) -> Iterator[Refusal]:
    name = data.get("default_model")
    if not isinstance(name, str):
        return
    requested = [known for _path, known, _description in _names(data)]
    if is_wildcard(name):
        yield Refusal(("default_model",), f"{code(name)} is no single name", "name one model")
    elif name not in requested:
        hint = suggestions.hint(name, requested, "add it under `models`")
        yield Refusal(("default_model",), f"nothing is named {code(name)}", hint)


# --- gateways ---


def _check_gateways(data: Entries, suggestions: Suggestions) -> Iterator[Refusal]:
    others = _others(data)
    gateways = dict(_mappings(data, "gateways"))
    yield from check_nodes(gateways)
    for name, gateway in gateways.items():
        yield from _check_exposed(name, gateway, data, others, suggestions)


def _check_exposed(
    name: str,
    gateway: Entries,
    data: Entries,
    others: Mapping[str, str],
    suggestions: Suggestions,
) -> Iterator[Refusal]:
    models = _mapping(data.get("models"))
    taken: set[str] = set()
    for index, model in _texts(gateway, "models"):
        path: Path = ("gateways", name, "models", index)
        if model in taken:
            yield Refusal(path, f"{code(model)} is already in this list", "remove it")
        elif model not in models and model in others:
            hint = "list models only: their aliases and adapters come with them"
            yield Refusal(path, f"{code(model)} is {others[model]}", hint)
        elif model not in models:
            hint = suggestions.hint(model, models, "add it under `models`")
            yield Refusal(path, f"no model is named {code(model)}", hint)
        taken.add(model)
