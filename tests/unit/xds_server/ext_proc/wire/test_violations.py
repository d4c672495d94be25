"""What a client must not do: each ends its connection by GOAWAY with the code of the RFC."""

from __future__ import annotations

import pytest

from tests.support.wire import Wire, data, in_frames
from xds_server.ext_proc.wire.frames import (
    HEAD_BYTES,
    PREFACE,
    SETTINGS_ACK,
    ErrorCode,
    Flag,
    Frame,
    Setting,
    frame,
    ping,
    rst_stream,
    settings,
    window_update,
)
from xds_server.ext_proc.wire.grpc import framed

WHOLE = Flag.END_HEADERS


def ended_by(wire: Wire, *sent: bytes) -> tuple[ErrorCode, bytes]:
    """Return the code and the words of the GOAWAY that *sent* leads to."""
    goaway = wire.send(*sent)[-1]
    assert goaway.kind is Frame.GOAWAY
    assert wire.connection.over
    assert wire.connection.open_streams == 0
    assert wire.connection.failure is not None
    assert wire.connection.failure.code is goaway.error
    assert wire.send(ping(bytes(8), ack=False)) == []
    return goaway.error, goaway.payload[8:]


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n",
        PREFACE[:-1] + b"x",
        PREFACE + ping(bytes(8), ack=False),
        PREFACE + SETTINGS_ACK,
        PREFACE + data(1, b"x"),
    ],
)
def test_a_connection_that_does_not_begin_as_http2(first):
    assert ended_by(Wire(), first)[0] is ErrorCode.PROTOCOL_ERROR


PROTOCOL, SIZE, FLOW = (
    ErrorCode.PROTOCOL_ERROR,
    ErrorCode.FRAME_SIZE_ERROR,
    ErrorCode.FLOW_CONTROL_ERROR,
)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(Frame.PUSH_PROMISE, 0, 1, bytes(8)), PROTOCOL),
        (data(0, b"x"), PROTOCOL),
        (data(1, b"x"), PROTOCOL),
        (data(2, b"x"), PROTOCOL),
        (rst_stream(1, ErrorCode.CANCEL), PROTOCOL),
        (window_update(1, 1), PROTOCOL),
        (window_update(0, 0), PROTOCOL),
        (frame(Frame.HEADERS, WHOLE, 0, b"\x83"), PROTOCOL),
        (frame(Frame.HEADERS, WHOLE, 2, b"\x83"), PROTOCOL),
        (frame(Frame.HEADERS, WHOLE | Flag.PADDED, 1, b"\x05\x83"), PROTOCOL),
        (frame(Frame.HEADERS, WHOLE | Flag.PADDED, 1, b""), PROTOCOL),
        (frame(Frame.HEADERS, WHOLE | Flag.PRIORITY, 1, b"\x83"), SIZE),
        (frame(Frame.HEADERS, WHOLE, 1, b"\x80"), ErrorCode.COMPRESSION_ERROR),
        (frame(Frame.HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
        (frame(Frame.CONTINUATION, WHOLE, 1, b"\x83"), PROTOCOL),
        (frame(Frame.HEADERS, 0, 1, b"\x83") + ping(bytes(8), ack=False), PROTOCOL),
        (frame(Frame.HEADERS, 0, 1, b"\x83") + data(1, b"x"), PROTOCOL),
        (frame(Frame.HEADERS, 0, 1, b"") + frame(Frame.CONTINUATION, WHOLE, 3, b""), PROTOCOL),
        (frame(Frame.HEADERS, 0, 1, b"") + frame(0xFA, 0, 1, b""), PROTOCOL),
        (frame(Frame.PING, 0, 1, bytes(8)), PROTOCOL),
        (frame(Frame.PING, 0, 0, bytes(7)), SIZE),
        (frame(Frame.RST_STREAM, 0, 1, bytes(5)), SIZE),
        (frame(Frame.RST_STREAM, 0, 0, bytes(4)), PROTOCOL),
        (frame(Frame.PRIORITY, 0, 1, bytes(4)), SIZE),
        (frame(Frame.WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
        (frame(Frame.SETTINGS, 0, 1, b""), PROTOCOL),
        (frame(Frame.SETTINGS, 0, 0, bytes(5)), SIZE),
        (frame(Frame.SETTINGS, Flag.ACK, 0, bytes(6)), SIZE),
        (settings({Setting.INITIAL_WINDOW_SIZE: 1 << 31}), FLOW),
        (settings({Setting.MAX_FRAME_SIZE: 16_383}), PROTOCOL),
        (settings({Setting.MAX_FRAME_SIZE: 1 << 24}), PROTOCOL),
        (settings({Setting.ENABLE_PUSH: 2}), PROTOCOL),
        (window_update(0, 2**31 - 1), FLOW),
        (frame(0xFA, 0, 0, bytes(16_385)), SIZE),
        (b"\xff" * 9, SIZE),
    ],
)
def test_a_frame_against_the_rules_on_a_fresh_connection(sent, code):
    wire = Wire()
    wire.greet()

    assert ended_by(wire, sent)[0] is code


def test_what_is_against_the_rules_on_an_open_stream():
    cases = {
        frame(Frame.HEADERS, WHOLE, 1, b""): PROTOCOL,
        window_update(1, 0): PROTOCOL,
        window_update(1, 2**31 - 1): FLOW,
        settings({Setting.INITIAL_WINDOW_SIZE: 2**31 - 1}) + window_update(1, 1): FLOW,
        frame(Frame.DATA, Flag.PADDED, 1, b"\x01"): PROTOCOL,
    }
    for sent, code in cases.items():
        wire = Wire()
        wire.greet()
        wire.send(wire.opening())

        assert ended_by(wire, sent)[0] is code


def test_data_behind_the_end_of_a_stream_that_is_not_answered_yet():
    wire = Wire()
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 0})
    wire.send(wire.opening(), data(1, framed(b"waits for a window"), ends=True))

    assert ended_by(wire, data(1, b"x"))[0] is ErrorCode.STREAM_CLOSED


def test_a_stream_id_may_not_go_back():
    wire = Wire()
    wire.greet()
    wire.send(wire.opening(), wire.opening())

    assert ended_by(wire, frame(Frame.HEADERS, WHOLE, 1, wire.block()))[0] is PROTOCOL


def test_more_data_than_the_window_of_a_stream():
    message = b"\x00\x7f\xff\xff\xff" + bytes(70_000)
    wire = Wire(max_body_bytes=2**31, buffered_bytes=1)
    wire.greet()
    wire.send(wire.opening())

    assert ended_by(wire, *in_frames(1, message))[0] is FLOW


@pytest.mark.parametrize(
    "block",
    [
        pytest.param([(str(number), "x" * 1000) for number in range(20)], id="many"),
        pytest.param([("x", "y" * 16_384)], id="long"),
    ],
)
def test_headers_above_their_bound(block):
    wire = Wire()
    wire.greet()
    encoded = wire.encoder.encode(block)
    first = frame(Frame.HEADERS, 0, 1, encoded[:10])
    rest = encoded[10:]
    parts = [rest[at : at + 16_000] for at in range(0, len(rest), 16_000)]
    continuations = [frame(Frame.CONTINUATION, 0, 1, part) for part in parts[:-1]]
    last = frame(Frame.CONTINUATION, WHOLE, 1, parts[-1])

    assert ended_by(wire, first, *continuations, last)[0] is ErrorCode.ENHANCE_YOUR_CALM


def test_a_small_block_that_grows_large():
    wire = Wire()
    wire.greet()
    bomb = wire.encoder.encode([("x", "y" * 3000)]) + b"\xbe" * 1000

    assert ended_by(wire, frame(Frame.HEADERS, WHOLE, 1, bomb))[0] is ErrorCode.ENHANCE_YOUR_CALM


def floods() -> dict[str, bytes]:
    return {
        "PING": ping(bytes(8), ack=False),
        "PING that is ACKed": ping(bytes(8), ack=True),
        "SETTINGS": settings({}),
        "PRIORITY": frame(Frame.PRIORITY, 0, 1, bytes(5)),
        "WINDOW_UPDATE": window_update(0, 1),
        "unknown": frame(0xFA, 0, 0, b""),
        "empty DATA": data(1, b""),
        "padding only": frame(Frame.DATA, Flag.PADDED, 1, b"\x03" + bytes(3)),
    }


@pytest.mark.parametrize("name", floods())
def test_a_flood_of_frames_that_carry_nothing(name):
    wire = Wire(idle_frames=50)
    wire.greet()
    wire.send(wire.opening())

    code, words = ended_by(wire, floods()[name] * 51)

    assert code is ErrorCode.ENHANCE_YOUR_CALM
    assert b"too many frames that carry nothing" in words


def test_a_flood_of_settings_in_one_frame():
    wire = Wire(idle_frames=50)
    wire.greet()
    one = settings({Setting.INITIAL_WINDOW_SIZE: 5})[HEAD_BYTES:]

    assert wire.send(frame(Frame.SETTINGS, 0, 0, one * 40))
    assert ended_by(wire, frame(Frame.SETTINGS, 0, 0, one * 40))[0] is ErrorCode.ENHANCE_YOUR_CALM


def test_a_flood_of_continuations():
    wire = Wire(idle_frames=50)
    wire.greet()
    opening = frame(Frame.HEADERS, 0, 1, b"")

    code, _ = ended_by(wire, opening, frame(Frame.CONTINUATION, 0, 1, b"") * 51)

    assert code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("path", ["/test.Service/Echo", "/no/method"])
def test_a_flood_of_calls_that_are_reset_at_once(path):
    wire = Wire(idle_frames=50)
    wire.greet()
    calls = [
        wire.opening(path) + rst_stream(2 * number + 1, ErrorCode.CANCEL) for number in range(51)
    ]

    assert ended_by(wire, *calls)[0] is ErrorCode.ENHANCE_YOUR_CALM


def test_a_flood_of_calls_above_the_bound():
    wire = Wire(idle_frames=50, max_streams=1)
    wire.greet()
    [refused] = wire.send(wire.opening(), wire.opening())

    assert refused.error is ErrorCode.REFUSED_STREAM
    assert ended_by(wire, *(wire.opening() for _ in range(51)))[0] is ErrorCode.ENHANCE_YOUR_CALM


def test_calls_that_are_answered_pay_for_the_frames_they_bring():
    wire = Wire(idle_frames=50)
    wire.greet()
    for number in range(1000):
        stream_id = 2 * number + 1
        wire.send(
            wire.opening(),
            data(stream_id, framed(b"end")),
            rst_stream(stream_id, ErrorCode.CANCEL),
            *[window_update(0, 1)] * 3,
        )

    assert wire.connection.failure is None


def test_frames_that_carry_nothing_may_come_again_after_a_while():
    wire = Wire(idle_frames=50, idle_frames_per_s=10)
    wire.greet()
    wire.send(ping(bytes(8), ack=False) * 49)
    wire.now_s += 1

    assert len(wire.send(ping(bytes(8), ack=False) * 10)) == 10
    assert ended_by(wire, ping(bytes(8), ack=False))[0] is ErrorCode.ENHANCE_YOUR_CALM
