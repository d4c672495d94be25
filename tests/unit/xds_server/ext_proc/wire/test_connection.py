"""Conversations with the HTTP/2 server: what a client sends, and what it gets."""

from __future__ import annotations

import pytest

from tests.support.wire import ECHO, END, Wire, answers, data, in_frames, kinds, settings_of
from xds_server.ext_proc.wire.frames import (
    MAX_STREAM_ID,
    PREFACE,
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

HELLO = framed(b"hello")


@pytest.fixture
def wire() -> Wire:
    greeted = Wire()
    greeted.greet()
    return greeted


def test_the_server_tells_its_bounds_first_and_acks_those_of_the_client():
    wire = Wire(max_streams=7)

    assert settings_of(wire.greeting[0]) == {
        Setting.MAX_CONCURRENT_STREAMS: 7,
        Setting.INITIAL_WINDOW_SIZE: 65_536,
        Setting.MAX_HEADER_LIST_SIZE: 16_384,
    }
    [ack] = wire.greet()
    assert (ack.kind, ack.flags, ack.payload) == (Frame.SETTINGS, Flag.ACK, b"")


def test_a_call_is_answered_message_by_message_until_the_service_ends_it(wire):
    first = wire.send(wire.opening(), data(1, HELLO))
    last = wire.send(data(1, framed(END)))

    assert kinds(first) == [Frame.HEADERS, Frame.DATA]
    assert first[0].fields == {":status": "200", "content-type": "application/grpc"}
    assert first[1].payload == HELLO
    assert kinds(last) == [Frame.DATA, Frame.HEADERS, Frame.RST_STREAM]
    assert last[1].flags == Flag.END_HEADERS | Flag.END_STREAM
    assert last[1].fields == {"grpc-status": "0"}
    assert last[2].error is ErrorCode.NO_ERROR
    assert wire.connection.open_streams == 0


def test_a_client_that_has_ended_its_side_is_not_asked_to_abort(wire):
    got = wire.send(wire.opening(), data(1, framed(END), ends=True))

    assert kinds(got) == [Frame.HEADERS, Frame.DATA, Frame.HEADERS]


@pytest.mark.parametrize("way", ["empty data", "trailers", "headers"])
def test_a_client_may_end_its_side_without_a_message(wire, way):
    if way == "headers":
        got = wire.send(wire.opening(flags=Flag.END_HEADERS | Flag.END_STREAM))
    else:
        wire.send(wire.opening())
        ending = frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, b"")
        got = wire.send(ending if way == "trailers" else data(1, b"", ends=True))

    assert kinds(got) == [Frame.HEADERS]
    assert got[0].fields[":status"] == "200"
    assert got[0].fields["grpc-status"] == "0"


def test_a_message_that_is_cut_short_by_the_end_is_told(wire):
    got = wire.send(wire.opening(), data(1, HELLO[:-1], ends=True))

    assert answers(got, 1) == (b"", "13")
    assert got[0].fields["grpc-message"] == "the last message is cut short"


def test_what_comes_behind_the_answer_is_passed_over(wire):
    wire.send(wire.opening(), data(1, framed(END)))
    got = wire.send(
        data(1, HELLO, ends=True),
        rst_stream(1, ErrorCode.INTERNAL_ERROR),
        window_update(1, 5),
        frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, b""),
    )

    assert got == []
    assert answers(wire.send(wire.opening(), data(3, HELLO)), 3) == (HELLO, None)


@pytest.mark.parametrize("behind", [HELLO, b"\x01" + HELLO[1:], b"\x00\x7f\xff\xff\xff", b"\x00"])
def test_what_stands_behind_the_last_message_is_passed_over(wire, behind):
    last = framed(END)
    got = wire.send(wire.opening(), data(1, last[:3]), data(1, last[3:] + behind))

    assert answers(got, 1) == (last, "0")
    assert kinds(got)[-2:] == [Frame.HEADERS, Frame.RST_STREAM]
    assert wire.connection.open_streams == 0


def test_many_messages_in_one_frame_and_one_message_in_many_frames_are_all_answered(wire):
    long = framed(b"x" * 40_000)
    got = wire.send(wire.opening(), data(1, HELLO * 3 + long[:10]), *in_frames(1, long[10:], 7000))

    assert answers(got, 1) == (HELLO * 3 + long, None)


def test_an_empty_message_is_a_message(wire):
    assert answers(wire.send(wire.opening(), data(1, framed(b"") * 2)), 1) == (
        framed(b"") * 2,
        None,
    )


def test_padding_and_priority_are_taken_off(wire):
    block = wire.block()
    padded = b"\x03" + bytes(5) + block + bytes(3)
    flags = Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY
    opening = frame(Frame.HEADERS, flags, 1, padded)
    content = frame(Frame.DATA, Flag.PADDED, 1, b"\xff" + HELLO + bytes(255))

    assert answers(wire.send(opening, content), 1) == (HELLO, None)


def test_headers_may_go_on_in_continuations(wire):
    block = wire.block(x="y" * 5000)
    got = wire.send(
        frame(Frame.HEADERS, 0, 1, block[:1]),
        frame(Frame.CONTINUATION, 0, 1, block[1:2000]),
        frame(Frame.CONTINUATION, Flag.END_HEADERS, 1, block[2000:]),
        data(1, HELLO),
    )

    assert answers(got, 1) == (HELLO, None)


def test_frames_that_mean_nothing_here_are_passed_over(wire):
    got = wire.send(
        frame(Frame.PRIORITY, 0, 1, bytes(5)),
        frame(Frame.GOAWAY, 0, 0, bytes(8)),
        frame(0xFA, 0xFF, 77, b"unknown"),
        settings({99: 1, Setting.ENABLE_PUSH: 0}),
    )

    assert kinds(got) == [Frame.SETTINGS]


def test_a_ping_is_answered(wire):
    assert wire.send(ping(b"12345678", ack=False))[0].payload == b"12345678"
    assert wire.send(ping(b"12345678", ack=True)) == []


def test_a_stream_that_was_reset_gets_no_answer(wire):
    got = wire.send(wire.opening(), data(1, HELLO[:3]), rst_stream(1, ErrorCode.CANCEL))

    assert got == []
    assert wire.connection.open_streams == 0


def test_an_unknown_method_is_unimplemented(wire):
    [headers, reset] = wire.send(wire.opening("/test.Service/Other"))

    assert headers.fields["grpc-status"] == "12"
    assert headers.fields["grpc-message"] == "there is no method /test.Service/Other"
    assert reset.kind is Frame.RST_STREAM


def test_a_request_that_is_not_grpc_gets_415(wire):
    block = wire.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/")])
    [headers] = wire.send(frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block))

    assert headers.fields == {":status": "415"}


@pytest.mark.parametrize(
    "fields",
    [
        [(":method", "POST"), (":scheme", "http")],
        [(":method", "POST"), (":scheme", "http"), (":path", ECHO), (":path", ECHO)],
        [(":method", "POST"), ("te", "trailers"), (":scheme", "http"), (":path", ECHO)],
        [(":method", "POST"), (":scheme", "http"), (":path", ECHO), (":status", "200")],
        [(":method", "POST"), (":scheme", "http"), (":path", ECHO), ("TE", "trailers")],
        [],
    ],
    ids=["no path", "two paths", "path too late", "one of answers", "capitals", "nothing"],
)
def test_a_malformed_request_ends_its_stream_only(wire, fields):
    got = wire.send(
        frame(Frame.HEADERS, Flag.END_HEADERS, wire.next_id(), wire.encoder.encode(fields))
    )

    assert [(reset.kind, reset.error) for reset in got] == [
        (Frame.RST_STREAM, ErrorCode.PROTOCOL_ERROR)
    ]
    assert answers(wire.send(wire.opening(), data(3, HELLO)), 3) == (HELLO, None)


def test_a_compressed_message_is_refused_in_clear_words(wire):
    got = wire.send(wire.opening(), data(1, b"\x01" + HELLO[1:]))

    assert answers(got, 1) == (b"", "12")
    assert "compressed" in got[0].fields["grpc-message"]


def test_a_mistake_in_a_call_ends_that_call_only(wire):
    class Broken:
        def message(self, content):
            raise ZeroDivisionError

        def half_closed(self):
            raise NotImplementedError

    fine = wire.service.method
    wire.service.method = lambda path, _: Broken if path == b"/broken" else fine(path)
    broken = wire.send(wire.opening("/broken"), data(1, HELLO))
    served = wire.send(wire.opening(), data(3, HELLO))

    assert answers(broken, 1) == (b"", "13")
    assert answers(served, 3) == (HELLO, None)


def test_a_preface_may_come_byte_by_byte():
    wire = Wire()
    got = [wire.send(bytes((byte,))) for byte in PREFACE + settings({})]

    assert [len(frames) for frames in got] == [0] * (len(got) - 1) + [1]


def test_the_reserved_bit_of_a_stream_id_is_ignored(wire):
    opening = bytearray(wire.opening())
    opening[5] |= 0x80

    assert answers(wire.send(bytes(opening), data(1 | 1 << 31, HELLO)), 1) == (HELLO, None)


def test_draining_answers_calls_in_flight_and_those_that_were_on_their_way(wire):
    wire.send(wire.opening())
    wire.connection.drain()
    [first, asked] = wire.unasked
    late = wire.send(wire.opening(), data(3, framed(END)))
    [last] = wire.send(ping(asked.payload, ack=True))
    refused = wire.send(wire.opening(), data(5, HELLO))

    assert (first.kind, int.from_bytes(first.payload[:4])) == (Frame.GOAWAY, MAX_STREAM_ID)
    assert answers(late, 3) == (framed(END), "0")
    assert (last.kind, int.from_bytes(last.payload[:4])) == (Frame.GOAWAY, 3)
    assert last.error is ErrorCode.NO_ERROR
    assert refused == []
    assert not wire.connection.over
    assert answers(wire.send(data(1, framed(END))), 1) == (framed(END), "0")
    assert wire.connection.over
    assert wire.connection.failure is None


def test_an_idle_connection_is_over_with_the_answer_to_the_ping(wire):
    wire.connection.drain()
    wire.connection.drain()
    [_, asked] = wire.unasked
    wire.send(ping(asked.payload, ack=True))

    assert wire.connection.over
