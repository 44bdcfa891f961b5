from typing import TypedDict, type_check_only

from typing_extensions import Buffer

@type_check_only
class Summary(TypedDict):
    ssrc: int
    bye: bool
    sender: tuple[int, int, int, int, int] | None
    reception: tuple[int, int, int, int, int, int] | None

def parse(data: Buffer, about: int) -> Summary | None: ...
def build(
    ssrc: int,
    cname: Buffer,
    *,
    sender: tuple[int, int, int, int, int] | None = None,
    reception: tuple[int, int, int, int, int, int, int] | None = None,
    bye: bool = False,
) -> bytes: ...
