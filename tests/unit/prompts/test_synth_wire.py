from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.synth.wire import MAX_BODY, PREFIX_SIZE, WireError, lengths, pack, unpack_header

HEADERS = st.dictionaries(st.text(max_size=20), st.text(max_size=50) | st.integers(), max_size=8)


@given(header=HEADERS, body=st.binary(max_size=300))
def test_a_frame_is_read_back_as_it_was_written(header: dict[str, str | int], body: bytes) -> None:
    frame = pack(header, body)
    head_size, body_size = lengths(frame[:PREFIX_SIZE])
    assert unpack_header(frame[PREFIX_SIZE : PREFIX_SIZE + head_size]) == header
    assert frame[PREFIX_SIZE + head_size :] == body
    assert body_size == len(body)


@given(data=st.binary(max_size=100))
def test_any_bytes_are_a_header_or_a_wire_error(data: bytes) -> None:
    try:
        header = unpack_header(data)
    except WireError:
        return
    assert all(isinstance(value, str | int) for value in header.values())


@pytest.mark.parametrize("data", [b"[" * 60000, b"[1]", b'{"a": [1]}', b'{"a": null}', b"\xff", b""])
def test_a_header_that_is_no_flat_object_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack_header(data)


@pytest.mark.parametrize(
    "prefix", [b"", b"1234567", b"\xff" * 8, b"\x00\x00\x00\x01" + (MAX_BODY + 1).to_bytes(4, "big")]
)
def test_a_prefix_that_promises_too_much_is_refused(prefix: bytes) -> None:
    with pytest.raises(WireError):
        lengths(prefix)


def test_a_frame_that_would_be_refused_is_not_written() -> None:
    with pytest.raises(WireError):
        pack({"a": "x" * 70000})
