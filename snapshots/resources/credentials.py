"""What a pool's servers are shown for what clients sent, by upstream filters of its cluster.

Not by the route: Envoy tries a request again with the headers that the last try left, and it may be
another pool's turn then. So each pool first drops what the others set. The secret travels by SDS:
changing it changes no cluster, so no connection ends.

Source: "Credential injector" and "Header mutation" of Envoy's docs, and "Upstream HTTP filters".
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.filters.http.credential_injector import v3 as injector_v3
from envoy_data_plane.envoy.extensions.filters.http.header_mutation import v3 as header_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.http.injected_credentials.generic import v3 as generic_v3

from snapshots.ir import names
from snapshots.ir.secrets import Credential
from snapshots.resources.encode import pack
from snapshots.resources.secrets import by_sds


def build_credential_filters(
    foreign_headers: tuple[str, ...], credential: Credential | None
) -> list[hcm_v3.HttpFilter]:
    """Return the filters that drop *foreign_headers* and write *credential*; none for neither."""
    dropped = tuple(name for name in foreign_headers if not name.startswith(":"))
    filters = [_dropping(dropped)] if dropped else []
    return filters + ([_writing(credential)] if credential else [])


def _dropping(headers: tuple[str, ...]) -> hcm_v3.HttpFilter:
    mutation = header_v3.HeaderMutation(
        mutations=header_v3.Mutations(
            request_mutations=[mutation_v3.HeaderMutation(remove=header) for header in headers]
        )
    )
    return hcm_v3.HttpFilter(name=names.FOREIGN_HEADERS_FILTER, typed_config=pack(mutation))


def _writing(credential: Credential) -> hcm_v3.HttpFilter:
    generic = generic_v3.Generic(credential=by_sds(credential.secret), header=credential.header)
    injector = injector_v3.CredentialInjector(
        overwrite=True,
        credential=core_v3.TypedExtensionConfig(
            name="envoy.http.injected_credentials.generic", typed_config=pack(generic)
        ),
    )
    return hcm_v3.HttpFilter(name=names.CREDENTIAL_FILTER, typed_config=pack(injector))
