"""Whether the clients of a registry fit in: each has one key, and what it may ask for exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.registry.problems import Path, Refusal, Suggestions, code

Entries = Mapping[str, object]

KEY_FIELDS = ("key_file", "key_env", "key_sha256")


def check_clients(
    data: Entries, others: Mapping[str, str], suggestions: Suggestions
) -> Iterator[Refusal]:
    """Yield what is wrong with `auth.clients` in *data*.

    *others* are the aliases and adapters, each with what it is: `an alias of model ...`.
    """
    auth = data.get("auth")
    clients = auth.get("clients") if isinstance(auth, Mapping) else None
    taken: dict[tuple[str, str], str] = {}
    for name, client in clients.items() if isinstance(clients, Mapping) else ():
        if isinstance(client, Mapping):
            place: Path = ("auth", "clients", name)
            yield from _check_key(place, client, taken)
            yield from _check_models(place, client, data, others, suggestions)


def _check_key(
    place: Path, client: Entries, taken: dict[tuple[str, str], str]
) -> Iterator[Refusal]:
    given = [field for field in KEY_FIELDS if field in client]
    if len(given) != 1:
        count = "no key" if not given else f"{len(given)} keys"
        yield Refusal(place, f"has {count}", "give one of key_file, key_env and key_sha256")
    for field in given:
        reference = client[field]
        if not isinstance(reference, str):
            continue
        name = str(place[-1])
        other = taken.setdefault((field, reference), name)
        if other != name:
            yield Refusal(
                (*place, field), f"client {code(other)} has the same", "give each a key of its own"
            )


def _check_models(
    place: Path,
    client: Entries,
    data: Entries,
    others: Mapping[str, str],
    suggestions: Suggestions,
) -> Iterator[Refusal]:
    models = data.get("models")
    known = models if isinstance(models, Mapping) else {}
    listed = client.get("models")
    taken: set[str] = set()
    for index, model in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(model, str):
            continue
        path: Path = (*place, "models", index)
        if model in taken:
            yield Refusal(path, f"{code(model)} is already in this list", "remove it")
        elif model not in known and others.get(model, "an alias").startswith("an alias"):
            yield _no_model(path, model, known, others, suggestions)
        taken.add(model)


def _no_model(
    path: Path, model: str, known: Entries, others: Mapping[str, str], suggestions: Suggestions
) -> Refusal:
    if model in others:
        return Refusal(path, f"{code(model)} is {others[model]}", "aliases come with their model")
    adapters = [name for name, what in others.items() if what.startswith("an adapter")]
    hint = suggestions.hint(model, [*known, *adapters], "add it under `models`")
    return Refusal(path, f"no model or adapter is named {code(model)}", hint)
