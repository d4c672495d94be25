"""Requests that nobody sends who means well, by the rows of the table in docs/edge.md.

What they try to smuggle is called so: a server that sees a line beginning with `GET /smuggled` or
`x-smuggled` was reached by it.
"""

from __future__ import annotations

from collections.abc import Iterator

Headers = list[tuple[str, str]]

BODY = b'{"model": "one"}'
LENGTH = b"content-length: %d" % len(BODY)
CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


def request(
    *headers: bytes,
    body: bytes = BODY,
    line: bytes = b"POST /v1/completions HTTP/1.1",
    host: bytes = b"host: modelyard.test",
) -> bytes:
    """Return a request, each of *headers* as it stands."""
    return b"\r\n".join([line, *([host] if host else []), *headers, b"", b""]) + body


def _post(path: bytes) -> bytes:
    return request(LENGTH, line=b"POST " + path + b" HTTP/1.1")


def _version(version: bytes) -> bytes:
    return request(LENGTH, line=b"POST /v1/completions " + version)


def _chunked(body: bytes) -> bytes:
    return request(CHUNKED, body=body)


def _encoded(value: bytes) -> bytes:
    return request(b"transfer-encoding:" + value, body=CHUNKS + SMUGGLED)


def _length(value: bytes) -> bytes:
    return request(b"content-length:" + value, body=BODY + SMUGGLED)


TWO_LENGTHS = "Both `content-length` and `transfer-encoding`"
LENGTHS = "`content-length` twice, or not a plain number"
ENCODINGS = "`transfer-encoding` other than one `chunked`"
CHUNK_LENGTHS = "Chunks with a length that is none, or with bare line ends"
NAMES = "Headers without a name, or with white space in it"
VALUES = "NUL and control characters in headers"
FOLDS = "Folded headers, bare LF, bare CR"
HOSTS = "No host, several, or what is none"
VERSIONS = "Other versions of HTTP, unknown methods"
HOP_BY_HOP = "`connection` that names headers of ours"
TRACE = "`TRACE`"
UPGRADES = "`CONNECT`, WebSockets"
H2C = "An upgrade to `h2c`, `connection: content-length`"
UNDERSCORES = "A `_` in a header's name"
MANY_HEADERS = "More headers than `max_headers`"
LONG_HEADERS = "Headers, or a URL, longer than `max_header_size`"
DOTS = "`//`, `/../`, `%2e%2e` and backslashes in a path"
SLASHES = "`%2f` and `%5c` in a path"
PATHS = "NUL, control characters, `#` or no `/` in a path"
LIES_ABOUT_LENGTH = "A body shorter or longer than `content-length` tells"
PSEUDO_HEADERS = "Pseudo headers twice, late, missing or malformed"
LINES_IN_HEADERS = "Line ends in names or values of headers"

HTTP1: dict[str, list[bytes]] = {
    TWO_LENGTHS: [
        request(LENGTH, CHUNKED, body=CHUNKS + SMUGGLED),
        request(CHUNKED, LENGTH, body=CHUNKS + SMUGGLED),
        request(b"content-length: 0", CHUNKED, body=CHUNKS + SMUGGLED),
        request(b"content-length: 4", CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
    ],
    LENGTHS: [
        request(LENGTH, LENGTH, body=BODY + SMUGGLED),
        request(LENGTH, b"content-length: 3", body=BODY + SMUGGLED),
        request(b"content-length: 3", LENGTH, body=BODY + SMUGGLED),
        *map(_length, [b" 16, 16", b" 16, 3", b" +16", b" -1", b" 0x10", b"", b" 1 6", b" 16a"]),
        *map(_length, [b" 99999999999999999999999", b" 1e1", b" 16;", b' "16"', b" \x0b16"]),
        request(b"content-length : 16", body=BODY + SMUGGLED),
    ],
    ENCODINGS: [
        *map(_encoded, [b" xchunked", b" chunked, identity", b" identity", b" identity, chunked"]),
        *map(_encoded, [b" gzip, chunked", b" \x0bchunked", b' "chunked"', b" chunked\0", b""]),
        *map(_encoded, [b" chunked, chunked", b" chunked;q=1", b" chunke\xc4\x8f", b" cHuNkEd,"]),
        request(CHUNKED, CHUNKED, body=CHUNKS + SMUGGLED),
        request(CHUNKED, b"transfer-encoding: identity", body=CHUNKS + SMUGGLED),
        request(b"transfer-encoding : chunked", body=CHUNKS + SMUGGLED),
        request(b" transfer-encoding: chunked", body=CHUNKS + SMUGGLED),
    ],
    CHUNK_LENGTHS: [
        _chunked(b"%b\r\n%b\r\n0\r\n\r\n%b" % (length, BODY, SMUGGLED))
        for length in [b"-10", b"0x10", b"ffffffffffffffff0", b"", b"10;a\nb", b"10;a\rb", b"g"]
    ]
    + [_chunked(b"10\n%b\n0\n\n%b" % (BODY, SMUGGLED))],
    NAMES: [
        request(LENGTH, header)
        for header in [b"x a: b", b": b", b"x-a", b"x-a : b", b"x\xe4: b", b"x(a): b"]
    ],
    VALUES: [request(LENGTH, b"x-a: b%bc" % bytes([code])) for code in [0, 1, 8, 27, 127]]
    + [request(LENGTH, b"x\x7fa: b")],
    FOLDS: [
        request(LENGTH, b"x-a: b\r\n x-smuggled: 1"),
        request(LENGTH, b"x-a: b\r\n\tx-smuggled: 1"),
        request(LENGTH, b"x-a: b\rx-smuggled: 1"),
        request(b"transfer-encoding:\r\n chunked", body=CHUNKS),
        request(LENGTH, b"x-a: b").replace(b"\r\n", b"\n"),
        request(LENGTH, b"x-a: b\nx-b: c"),
    ],
    HOSTS: [
        request(LENGTH, host=host)
        for host in [b"", b"host: a\r\nhost: b", b"host: a, b", b"host: a b", b"host: a@b/c"]
    ],
    VERSIONS: [
        *map(_version, [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"ICY"]),
        request(LENGTH, line=b"post /v1/completions HTTP/1.1"),
        request(LENGTH, line=b"FOO /v1/completions HTTP/1.1"),
        b"GET /v1/models\r\n\r\n",
    ],
    HOP_BY_HOP: [
        request(LENGTH, b"connection: close, x-gateway-model-name, x-forwarded-for"),
        request(LENGTH, b"connection: keep-alive, host"),
    ],
    TRACE: [
        request(body=b"", line=b"TRACE /v1/completions HTTP/1.1"),
        request(body=b"", line=b"TRACE /v1/one/completions HTTP/1.1"),
    ],
    UPGRADES: [
        b"CONNECT modelyard.test:443 HTTP/1.1\r\nhost: modelyard.test:443\r\n\r\n",
        request(LENGTH, b"connection: upgrade", b"upgrade: websocket"),
        request(LENGTH, b"connection: upgrade", b"upgrade: x-other"),
        request(
            b"connection: upgrade",
            b"upgrade: websocket",
            body=b"",
            line=b"GET /v1/one/realtime HTTP/1.1",
        ),
    ],
    H2C: [
        request(
            LENGTH,
            b"connection: Upgrade, HTTP2-Settings",
            b"upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        request(LENGTH, b"connection: content-length"),
    ],
    UNDERSCORES: [
        request(LENGTH, header)
        for header in [b"x_user: a", b"x_gateway_client: a", b"content_length: 3", b"_: a"]
    ],
    MANY_HEADERS: [request(LENGTH, *(b"x-%d: a" % i for i in range(101)))],
    LONG_HEADERS: [
        request(LENGTH, b"x-a: " + b"a" * 61 * 1024),
        request(LENGTH, *(b"x-%d: %b" % (i, b"a" * 2000) for i in range(40))),
        _post(b"/v1/one/" + b"a" * 61 * 1024),
        request(LENGTH, b"a" * 61 * 1024),
    ],
    DOTS: [
        *map(
            _post, [b"/v1//one///completions", b"/v1/x/../one/completions", b"//v1/one/completions"]
        ),
        *map(
            _post,
            [b"/v1/x/%2e%2e/one/completions", b"/v1/./one/completions", b"/v1\\one/completions"],
        ),
        *map(_post, [b"/../v1/one/completions", b"/v1/x/%2E./one/completions"]),
    ],
    SLASHES: [
        *map(_post, [b"/v1%2fone/completions", b"/v1%5Cone/completions", b"/v1/one%2Fcompletions"]),
        *map(_post, [b"/%2fsmuggled.test/", b"/%5csmuggled.test/", b"//smuggled.test%2f"]),
    ],
    PATHS: [
        *map(_post, [b"/v1/one/%00", b"/v1/one/\x01", b"/v1/one/x#y", b"v1/one", b"/v1/one/\x7f"]),
        *map(_post, [b"/v1/one/\xc3\xa9", b""]),
    ],
}


def _pseudo(**changed: str | None) -> Headers:
    fields = {
        "method": "POST",
        "scheme": "http",
        "authority": "modelyard.test",
        "path": "/v1/completions",
    } | changed
    return [(f":{name}", value) for name, value in fields.items() if value is not None]


def _with(name: str, value: str) -> Headers:
    return [*_pseudo(), (name, value)]


HTTP2: dict[str, list[Headers]] = {
    LENGTHS: [[*_with("content-length", "16"), ("content-length", "3")]],
    ENCODINGS: [_with("transfer-encoding", "chunked"), _with("te", "gzip")],
    LIES_ABOUT_LENGTH: [_with("content-length", "3"), _with("content-length", "300")],
    NAMES: [_with("x a", "b"), _with("", "b"), _with("X-A", "b"), _with("x(a)", "b")],
    VALUES: [_with("x-a", f"b{chr(code)}c") for code in (0, 1, 27, 127)],
    LINES_IN_HEADERS: [
        *(_with("x-a", f"b{end}x-smuggled: 1") for end in ("\n", "\r", "\r\n")),
        *(_with(f"x-a: b{end}x-smuggled", "1") for end in ("\n", "\r", "\r\n")),
        _pseudo(path="/v1/one/x HTTP/1.1\r\nx-smuggled: 1\r\nx-a: b"),
        _pseudo(method="GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\nPOST"),
    ],
    PSEUDO_HEADERS: [
        _with(":path", "/v1/one/x"),
        [*_pseudo()[:3], ("x-a", "b"), (":path", "/v1/one/x")],
        _pseudo(path=None),
        _pseudo(path=""),
        _pseudo(path="v1"),
        _pseudo(path="/v1/one/x y"),
        _pseudo(method=None),
        _with(":protocol", "websocket"),
        _with(":smuggled", "1"),
    ],
    HOSTS: [_pseudo(authority=None), _pseudo(authority="a b"), _pseudo(authority="a@b/c")],
    HOP_BY_HOP: [_with("connection", "x-gateway-model-name"), _with("keep-alive", "1")],
    TRACE: [_pseudo(method="TRACE", path="/v1/one/completions")],
    UPGRADES: [_pseudo(method="CONNECT", scheme=None, path=None)],
    UNDERSCORES: [_with("x_user", "a"), _with("x_gateway_client", "a")],
    MANY_HEADERS: [[*_pseudo(), *((f"x-{i}", "a") for i in range(101))]],
    LONG_HEADERS: [_with("x-a", "a" * 61 * 1024)],
    DOTS: [_pseudo(path="/v1/x/../one/completions"), _pseudo(path="/v1//one/completions")],
    SLASHES: [_pseudo(path="/v1%2fone/x"), _pseudo(path="/%2fsmuggled.test/")],
    PATHS: [_pseudo(path=path) for path in ("/v1/one/%00", "/v1/one/x#y")],
}


def each_http1() -> Iterator[tuple[str, bytes]]:
    """Yield every attack over HTTP/1.1 with its row."""
    return ((row, wire) for row, wires in HTTP1.items() for wire in wires)


def each_http2() -> Iterator[tuple[str, Headers]]:
    """Yield every attack over HTTP/2 with its row."""
    return ((row, headers) for row, attacks in HTTP2.items() for headers in attacks)
