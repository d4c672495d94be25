"""`xds.type.v3.TypedStruct`: a configuration whose fields newer Envoys know and our types do not.

Source: xds/type/v3/typed_struct.proto; the message is missing from envoy-data-plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import betterproto2
from envoy_data_plane.google.protobuf import Struct
from envoy_data_plane.message_pool import default_message_pool

_TYPE_URL = betterproto2.field(1, betterproto2.TYPE_STRING)
_VALUE = betterproto2.field(2, betterproto2.TYPE_MESSAGE, optional=True)


@dataclass(eq=False, repr=False)
class TypedStruct(betterproto2.Message):
    """A message given as JSON: `type_url` names its type, `value` holds its fields."""

    type_url: str = _TYPE_URL
    value: Struct | None = _VALUE


default_message_pool.register_message("xds.type.v3", "TypedStruct", TypedStruct)
