"""However bytes are cut and streams mixed, the answers are the same; and no bytes do harm."""

from __future__ import annotations

import random

import hpack
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire import END, Wire, answers, data
from xds_server.ext_proc.wire import frames
from xds_server.ext_proc.wire.frames import (
    PREFACE,
    ErrorCode,
    Flag,
    Frame,
    Setting,
    frame,
    rst_stream,
    window_update,
)
from xds_server.ext_proc.wire.grpc import framed
from xds_server.ext_proc.wire.headers import literal, repeatable

MESSAGES = st.lists(
    st.one_of(st.binary(max_size=40), st.integers(0, 50_000).map(bytes)), max_size=3
)
ROOM = 2**30


@given(
    calls=st.lists(MESSAGES, min_size=1, max_size=6),
    frame_bytes=st.integers(1, 16_384),
    cut_bytes=st.integers(1, 70_000),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_cuts_and_mixed_streams_change_no_answer(calls, frame_bytes, cut_bytes, seed):
    chance = random.Random(seed)
    wire = Wire()
    stream = PREFACE + frames.settings({Setting.INITIAL_WINDOW_SIZE: ROOM}) + window_update(0, ROOM)
    queues = []
    for messages in calls:
        content = b"".join(framed(message) for message in messages) + framed(END)
        # Not more than the first window in all: grants depend on time, which has its own tests.
        content = content[:60_000] if len(content) > 60_000 else content
        frame_bytes = max(frame_bytes, len(content) // 200 + 1)
        opening = wire.opening(**{f"x-{chance.randrange(3)}": str(chance.randrange(3))})
        stream_id = int.from_bytes(opening[5:9])
        stream += opening
        parts = [
            data(stream_id, content[at : at + frame_bytes])
            for at in range(0, len(content), frame_bytes)
        ]
        queues.append(parts)
    while queues := [queue for queue in queues if queue]:
        stream += chance.choice(queues).pop(0)
    got = []
    while stream:
        size = chance.randint(1, cut_bytes)
        got += wire.send(stream[:size])
        stream = stream[size:]

    assert wire.connection.failure is None
    for index, messages in enumerate(calls):
        content = b"".join(framed(message) for message in messages) + framed(END)
        expected, status = content, "0"
        if len(content) > 60_000:
            expected, status = whole_messages(messages, 60_000), None
        assert answers(got, 2 * index + 1) == (expected, status)


def whole_messages(messages: list[bytes], size: int) -> bytes:
    """Return the messages of a call that end within its first *size* bytes."""
    content = b""
    for message in messages:
        if len(content) + len(framed(message)) > size:
            break
        content += framed(message)
    return content


PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 16_384).map(bytes),
    st.binary(max_size=20).map(framed),
    st.sampled_from([bytes(4), bytes(8), b"\xff" * 4, (1 << 20).to_bytes(4), b"\x83\x86\x84"]),
)
FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.sampled_from([0, 0x1, 0x4, 0x5, 0x8, 0x20, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 1, 3, 3, 5, 2, 2**31 - 1]),
    PAYLOADS,
)


BLOCK = Wire().block()


@given(
    pieces=st.lists(
        st.one_of(
            FRAMES,
            st.binary(max_size=30),
            st.sampled_from([1, 3, 5, 7]).map(
                lambda id_: frame(Frame.HEADERS, Flag.END_HEADERS, id_, BLOCK)
            ),
            st.sampled_from([1, 3, 5, 7]).map(lambda id_: data(id_, framed(b"hello"))),
            st.sampled_from([1, 3, 5]).map(lambda id_: rst_stream(id_, ErrorCode.CANCEL)),
        ),
        max_size=30,
    ),
    begins_well=st.booleans(),
    cut_bytes=st.integers(1, 20_000),
)
@settings(max_examples=400, deadline=None)
def test_no_bytes_raise_or_leave_anything_behind(pieces, begins_well, cut_bytes):
    wire = Wire()
    stream = b"".join(pieces)
    if begins_well:
        stream = PREFACE + frames.settings({}) + stream
    for at in range(0, len(stream), cut_bytes):
        wire.send(stream[at : at + cut_bytes])
    wire.connection.lost()

    assert wire.connection.open_streams == 0
    assert wire.budget.free == wire.limits.buffered_bytes
    assert wire.budget.waiting == 0
    assert wire.budget.held == 0


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_a_block_that_is_repeatable_leaves_the_tables_as_they_were(block):
    decoder = hpack.Decoder()
    decoder.decode(hpack.Encoder().encode([("a", "b"), ("c", "d")]))
    before = list(decoder.header_table.dynamic_entries), decoder.header_table_size
    try:
        decoder.decode(block)
    except hpack.HPACKError:
        return

    after = list(decoder.header_table.dynamic_entries), decoder.header_table_size
    if repeatable(block):
        assert after == before


@given(st.text(min_size=1, max_size=20), st.text(max_size=40_000))
@settings(max_examples=100, deadline=None)
def test_fields_that_we_write_are_read_as_they_were(name, value):
    expected = name.encode(errors="replace")[:126], value.encode(errors="replace")
    block = literal(*expected)

    assert repeatable(block)
    assert hpack.Decoder().decode(block, raw=True) == [expected]
