"""Whether the fields of each `tls` fit together. Reads the plain data, as `references.py` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.registry.addresses import Address
from snapshots.registry.problems import Path, Refusal, ValueRefusedError, code

Entries = Mapping[str, object]


def check_tls(data: Entries) -> Iterator[Refusal]:
    """Yield every `tls` in *data* of which a field needs another one."""
    for name, gateway, tls in _parts(data, "gateways"):
        del gateway
        if "require_client_certificate" in tls and "client_ca" not in tls:
            yield Refusal(
                ("gateways", name, "tls", "require_client_certificate"),
                "says nothing without `client_ca`",
                "add the file of the authorities that sign the clients' certificates",
            )
    for name, pool, tls in _parts(data, "pools"):
        path: Path = ("pools", name, "tls")
        if ("certificate" in tls) != ("key" in tls):
            given, missing = (
                ("certificate", "key") if "certificate" in tls else ("key", "certificate")
            )
            yield Refusal(
                (*path, given), f"needs {code(missing)} beside it", f"add {code(missing)}"
            )
        if "server_name" not in tls and (address := _ip_endpoint(pool)):
            yield Refusal(
                path,
                f"needs `server_name`: the server {code(address)} is an IP address",
                "write the DNS name that the servers' certificates hold",
            )


def _parts(data: Entries, section: str) -> Iterator[tuple[str, Entries, Entries]]:
    """Yield name, entry and `tls` of each entry in *section* that has one."""
    entries = data.get(section)
    for name, entry in (entries if isinstance(entries, Mapping) else {}).items():
        tls = entry.get("tls") if isinstance(entry, Mapping) else None
        if tls is True:
            yield name, entry, {}
        elif isinstance(tls, Mapping):
            yield name, entry, tls


def _ip_endpoint(pool: Entries) -> str:
    """Return the first endpoint of *pool* that is an IP address, if any."""
    endpoints = pool.get("endpoints")
    for endpoint in endpoints if isinstance(endpoints, list) else ():
        address = endpoint.get("address") if isinstance(endpoint, Mapping) else endpoint
        try:
            if isinstance(address, str) and Address.parse(address).is_ip:
                return address
        except ValueRefusedError:
            continue
    return ""
