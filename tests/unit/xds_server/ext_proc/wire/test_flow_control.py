"""How much a client may send, and how much it lets us send."""

from __future__ import annotations

import pytest

from tests.support.wire import END, Wire, answers, data, in_frames, kinds, windows
from xds_server.ext_proc.wire.budget import Budget
from xds_server.ext_proc.wire.calls import CONNECTION_WINDOW
from xds_server.ext_proc.wire.frames import (
    MAX_FRAME_BYTES,
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

KIB = 1024
LONG = framed(bytes(200 * KIB))
FIRST = 64 * KIB


def greeted(**limits: int) -> Wire:
    wire = Wire(**limits)
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 2**30})
    wire.send(window_update(0, 2**30))
    return wire


def begin(wire: Wire, message: bytes = LONG) -> tuple[int, dict[int, int]]:
    """Open a call and send the first 64 KiB of a message; return its stream and the windows."""
    opening = wire.opening()
    stream_id = int.from_bytes(opening[5:9])
    return stream_id, windows(wire.send(opening, *in_frames(stream_id, message[:FIRST])))


def test_a_long_message_is_granted_as_soon_as_its_length_is_known_and_given_back_with_it():
    wire = greeted()
    got = wire.send(wire.opening(), data(1, LONG[:5]))
    missing = len(LONG) - FIRST

    assert windows(got) == {1: missing}
    assert wire.budget.free == wire.limits.buffered_bytes - missing

    got = wire.send(*in_frames(1, LONG[5:]))

    assert answers(got, 1)[0] == LONG
    assert wire.budget.free == wire.limits.buffered_bytes
    # The next message may begin as the first one did.
    assert windows(got)[1] == FIRST


def test_short_messages_claim_nothing():
    wire = greeted()
    got = wire.send(wire.opening(), *in_frames(1, framed(bytes(60_000)), 100))

    assert answers(got, 1)[0] == framed(bytes(60_000))
    assert wire.budget.free == wire.limits.buffered_bytes


def test_many_messages_on_one_stream_never_run_out_of_window():
    wire = greeted()
    wire.send(wire.opening())
    window = FIRST
    message = framed(bytes(10_000))
    for _ in range(50):
        got = wire.send(data(1, message))
        window += windows(got).get(1, 0) - len(message)

        assert answers(got, 1)[0] == message
        assert 32 * KIB <= window <= FIRST


def test_messages_above_the_budget_wait_first_come_first():
    missing = len(LONG) - FIRST
    wire = greeted(buffered_bytes=missing * 2)
    grants = [begin(wire)[1] for _ in range(4)]

    assert grants == [{1: missing}, {3: missing}, {}, {}]
    assert wire.budget.waiting == 2

    got = wire.send(*in_frames(3, LONG[FIRST:]))

    assert answers(got, 3)[0] == LONG
    assert windows(got)[5] == missing
    assert 7 not in windows(got)


@pytest.mark.parametrize("end", ["reset", "lost", "violation", "answer"])
def test_room_goes_to_who_waits_however_a_call_ends(end):
    missing = len(LONG) - FIRST
    budget = Budget(missing, FIRST * 4)
    holder, waiter = Wire(budget=budget), Wire(budget=budget)
    holder.greet(), waiter.greet()
    begin(holder)
    assert begin(waiter)[1] == {}

    if end == "reset":
        holder.send(rst_stream(1, ErrorCode.CANCEL))
    elif end == "lost":
        holder.connection.lost()
    elif end == "violation":
        holder.send(data(0, b""))
    else:
        holder.send(*in_frames(1, LONG[FIRST:]))

    assert windows(waiter.unasked) == {1: missing}


def test_first_parts_have_a_bound_over_all_streams_and_who_brings_more_is_refused():
    wire = greeted(first_bytes=2 * FIRST, buffered_bytes=1)
    for _ in range(2):
        begin(wire)
    opening = wire.opening()
    refused = wire.send(opening, data(5, LONG[:1000]))
    whole = wire.send(wire.opening(), data(7, framed(b"in one frame")))

    assert answers(refused, 5) == (b"", "8")
    assert refused[0].fields["grpc-message"] == "too many bodies are on their way"
    assert answers(whole, 7)[0] == framed(b"in one frame")
    assert wire.budget.refused == 1
    assert wire.budget.held == 2 * FIRST

    wire.send(rst_stream(1, ErrorCode.CANCEL))

    assert answers(wire.send(wire.opening(), *in_frames(9, framed(bytes(40_000)))), 9)[0]


def test_a_first_part_counts_as_long_as_it_is_held():
    wire = greeted()
    wire.send(wire.opening(), data(1, framed(b"one") + framed(b"two")[:6]))
    assert wire.budget.held == 6

    wire.send(data(1, framed(b"two")[6:]))
    assert wire.budget.held == 0

    wire.send(data(1, LONG[:5]))
    assert wire.budget.held == FIRST - len(framed(b"one") + framed(b"two"))


def test_a_call_whose_answer_waits_holds_nothing():
    wire = Wire(max_body_bytes=1000)
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 0})
    waits = framed(b"waits")
    wire.send(wire.opening(), data(1, waits[:6]), data(1, waits[6:] + framed(END)[:6]))
    assert wire.budget.held == 6

    wire.send(data(1, framed(END)[6:] + LONG[:4000]))

    assert wire.budget.held == 0
    assert wire.connection.open_streams == 1


def test_who_waits_and_leaves_loses_the_place_only():
    missing = len(LONG) - FIRST
    wire = greeted(buffered_bytes=missing)
    for _ in range(3):
        begin(wire)
    wire.send(rst_stream(3, ErrorCode.CANCEL))
    got = wire.send(*in_frames(1, LONG[FIRST:]))

    assert windows(got)[5] == missing
    assert wire.budget.waiting == 0


def test_who_holds_room_and_sends_nothing_is_ended_when_others_wait():
    missing = len(LONG) - FIRST
    budget = Budget(2 * missing, FIRST * 4)
    frozen, slow, waiter = (Wire(budget=budget) for _ in range(3))
    for wire in (frozen, slow, waiter):
        wire.greet()
    begin(frozen), begin(slow)
    for _ in range(3):
        budget.end_stalled()
    assert frozen.unasked == []  # nobody waits

    begin(waiter)
    budget.end_stalled()
    slow.send(data(1, LONG[FIRST : FIRST + 1]))
    budget.end_stalled()

    assert [(got.kind, got.error) for got in frozen.unasked] == [
        (Frame.RST_STREAM, ErrorCode.CANCEL)
    ]
    assert slow.unasked == []
    assert windows(waiter.unasked) == {1: missing}


def test_a_connection_that_drains_is_over_when_its_last_call_is_ended_for_stalling():
    missing = len(LONG) - FIRST
    budget = Budget(missing, FIRST * 4)
    frozen, waiter = Wire(budget=budget), Wire(budget=budget)
    frozen.greet(), waiter.greet()
    begin(frozen), begin(waiter)
    frozen.connection.drain()
    frozen.send(ping(frozen.unasked[-1].payload, ack=True))
    budget.end_stalled()
    assert not frozen.connection.over
    budget.end_stalled()

    assert frozen.connection.over
    assert frozen.connection.failure is None


def test_a_message_above_the_bound_ends_its_call_and_is_never_granted():
    wire = greeted(max_body_bytes=100 * KIB)
    too_long = framed(bytes(165 * KIB))
    got = wire.send(wire.opening(), data(1, too_long[:5]))

    assert answers(got, 1) == (b"", "8")
    assert str(165 * KIB) in got[0].fields["grpc-message"]
    assert windows(got) == {}
    assert wire.send(*in_frames(1, too_long[5:FIRST])) == []
    assert answers(wire.send(wire.opening(), data(3, framed(b"x"))), 3)[0] == framed(b"x")


def test_padding_is_given_back_at_once():
    wire = greeted()
    wire.send(wire.opening(), data(1, LONG[:5]))
    got = wire.send(frame(Frame.DATA, Flag.PADDED, 1, b"\x09" + b"x" + bytes(9)))

    assert windows(got) == {1: 10}


def test_the_window_of_the_connection_is_given_back_as_it_is_used():
    wire = greeted()
    used = 0
    returned = 0
    while not returned:
        opening = wire.opening()
        stream_id = int.from_bytes(opening[5:9])
        message = framed(END.ljust(16_000))
        got = wire.send(opening, data(stream_id, message), rst_stream(stream_id, ErrorCode.CANCEL))
        used += len(message)
        returned = windows(got).get(0, 0)

    assert used >= CONNECTION_WINDOW // 2
    assert returned == used


def test_data_that_nobody_wants_any_more_is_given_back_to_the_connection_too():
    wire = greeted()
    wire.send(wire.opening(), data(1, framed(END)))
    got = wire.send(*in_frames(1, bytes(CONNECTION_WINDOW // 2 + 1)))

    assert set(windows(got)) == {0}


def test_an_answer_waits_for_the_window_of_its_stream_and_comes_in_parts():
    wire = Wire()
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 0})
    got = wire.send(wire.opening(), data(1, framed(b"abc")), data(1, framed(END)))
    assert kinds(got) == [Frame.HEADERS]
    assert wire.connection.open_streams == 1

    [part] = wire.send(window_update(1, 3))
    [more] = wire.send(settings({Setting.INITIAL_WINDOW_SIZE: 2}))[:1]
    rest = wire.send(window_update(1, 100))

    assert part.payload + more.payload + rest[0].payload == framed(b"abc") + framed(END)
    assert kinds(rest) == [Frame.DATA, Frame.HEADERS, Frame.RST_STREAM]
    assert wire.connection.open_streams == 0


def test_an_answer_waits_for_the_window_of_the_connection():
    wire = Wire()
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 2**30})
    message = framed(bytes(40_000))
    got = wire.send(wire.opening(), *in_frames(1, message), wire.opening(), *in_frames(3, message))
    sent = [answers(got, stream_id)[0] for stream_id in (1, 3)]
    assert sent[0] == message
    assert sum(map(len, sent)) == 65_535
    assert max(len(part.payload) for part in got) == MAX_FRAME_BYTES

    got = wire.send(window_update(0, 2**20))

    assert sent[1] + answers(got, 3)[0] == message


def test_a_window_may_become_negative():
    wire = Wire()
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 100})
    first = answers(wire.send(wire.opening(), data(1, framed(bytes(200)))), 1)[0]
    got = wire.send(settings({Setting.INITIAL_WINDOW_SIZE: 0}), window_update(1, 100))
    assert answers(got, 1)[0] == b""
    rest = answers(wire.send(window_update(1, 105)), 1)[0]

    assert first + rest == framed(bytes(200))


def test_a_change_of_the_first_window_is_one_of_all_open_streams_and_of_those_to_come():
    wire = Wire()
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 0})
    wire.send(wire.opening(), data(1, framed(b"one")), wire.opening(), data(3, framed(b"two")))
    got = wire.send(
        settings({Setting.INITIAL_WINDOW_SIZE: 8}),
        *(wire.opening(), data(5, framed(b"six"))),
        *(data(id_, framed(b"more")) for id_ in (1, 3, 5)),
    )

    assert [answers(got, id_)[0] for id_ in (1, 3, 5)] == [
        framed(b"one"),
        framed(b"two"),
        framed(b"six"),
    ]
    wire.send(settings({Setting.INITIAL_WINDOW_SIZE: 0}))  # all have used 8, and lack 8 + 9
    assert wire.send(*(window_update(id_, 8) for id_ in (1, 3, 5))) == []
    assert wire.send(settings({Setting.INITIAL_WINDOW_SIZE: 1}))[1].payload == framed(b"more")[:1]


def test_a_call_whose_answer_waits_may_be_reset():
    wire = Wire()
    wire.greet({Setting.INITIAL_WINDOW_SIZE: 0})
    wire.send(wire.opening(), data(1, framed(END)))
    wire.send(rst_stream(1, ErrorCode.CANCEL))

    assert kinds(wire.send(settings({Setting.INITIAL_WINDOW_SIZE: 100}))) == [Frame.SETTINGS]
    assert wire.connection.open_streams == 0
