"""The log of requests: a line of JSON for each, which never holds a key.

Source: "Access logging" of Envoy's docs, with its command operators.
"""

from __future__ import annotations

from typing import Final

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.access_loggers.file import v3 as file_v3
from envoy_data_plane.envoy.extensions.access_loggers.stream import v3 as stream_v3

from snapshots.ir import names
from snapshots.resources.encode import Plain, pack, struct

FIELDS: Final[dict[str, Plain]] = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "client": f"%REQ({names.CLIENT_HEADER})%",
    "model": f"%REQ({names.MODEL_HEADER})%",
    "base_model": f"%REQ({names.BASE_MODEL_HEADER})%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "endpoint": "%UPSTREAM_HOST%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",  # without the query, in which some clients would send a key
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "remote_address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
}


def build_access_logs(place: str) -> list[accesslog_v3.AccessLog]:
    """Return the log that is written to *place*: `stdout`, the path of a file, or none."""
    if not place:
        return []
    lines = core_v3.SubstitutionFormatString(json_format=struct(FIELDS))
    if place == names.STDOUT:
        config = pack(stream_v3.StdoutAccessLog(log_format=lines))
        return [accesslog_v3.AccessLog(name="envoy.access_loggers.stdout", typed_config=config)]
    config = pack(file_v3.FileAccessLog(path=place, log_format=lines))
    return [accesslog_v3.AccessLog(name="envoy.access_loggers.file", typed_config=config)]
