"""What the benchmarks' load client counts is what came, however TCP cut it."""

from __future__ import annotations

import asyncio
import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.publishing import FILLER, MSP_STREAM, event
from benchmarks.load.receiving import MARK, Socket, Tally

HANDSHAKE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
EVENTS = [json.dumps(event(seq, MSP_STREAM, FILLER), separators=(",", ":")).encode() for seq in range(1, 13)]
EVENT = len(EVENTS[0])
AT_A_MARK = EVENTS[0].index(MARK) + 2


def batch(events: list[bytes]) -> bytes:
    """Return a frame with events, as the portal writes it."""
    payload = b'{"type":"batch","messages":[' + b",".join(events) + b"]}"
    return b"\x81\x7f" + len(payload).to_bytes(8, "big") + payload


@given(
    sizes=st.lists(st.integers(1, len(EVENTS)), min_size=1, max_size=4),
    reads=st.lists(
        st.sampled_from([1, 3, AT_A_MARK, EVENT, EVENT + 1]) | st.integers(50, 9 * EVENT), min_size=2
    ),
)
def test_each_event_is_counted_once_wherever_it_is_cut(sizes, reads):
    wire = b"".join(batch(EVENTS[:size]) for size in sizes)

    async def deliver() -> int:
        tally = Tally()
        socket = Socket(tally, b"", b"\r\n\r\n", b"")
        for read in itertools.chain([HANDSHAKE], cut(wire, reads)):
            tally.view[: len(read)] = read
            socket.buffer_updated(len(read))
        return tally.delivered

    assert asyncio.run(deliver()) == sum(sizes)


def cut(wire: bytes, reads: list[int]) -> list[bytes]:
    """Return `wire` in pieces of these sizes, over and over; none is so small throughout that it takes for ever."""
    ends = itertools.takewhile(
        lambda end: end < len(wire), itertools.accumulate(itertools.cycle([*reads, 500]))
    )
    edges = [0, *ends, len(wire)]
    return [wire[begin:end] for begin, end in itertools.pairwise(edges)]
