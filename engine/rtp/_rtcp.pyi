from collections.abc import Mapping
from typing import TypedDict, type_check_only

from typing_extensions import Buffer

@type_check_only
class Summary(TypedDict):
    ssrc: int
    bye: bool
    leaving: list[int]
    sender: tuple[int, int, int, int, int] | None
    reception: tuple[int, int, int, int, int, int] | None
    metrics: dict[str, int] | None
    reference: tuple[int, int] | None
    last_reference: tuple[int, int] | None

def parse(data: Buffer, about: int) -> Summary | None: ...
def build(
    ssrc: int,
    cname: Buffer,
    *,
    sender: tuple[int, int, int, int, int] | None = None,
    reception: tuple[int, int, int, int, int, int, int] | None = None,
    bye: bool = False,
    metrics: Mapping[str, int] | None = None,
    reference: tuple[int, int] | None = None,
    last_reference: tuple[int, int, int] | None = None,
) -> bytes: ...
def round_trip(now_middle: int, last: int, delay: int) -> float | None: ...
