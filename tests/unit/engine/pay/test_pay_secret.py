"""A ``Secret`` keeps digits out of everything that prints, copies or outlives it."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import PayError
from engine.pay import secret as secret_module
from engine.pay.secret import MAX_CAPACITY, Secret
from engine.pay.submission import Operation, Submission

PAN = "4242424242424242"


def keyed(digits: str, capacity: int = 19) -> Secret:
    secret = Secret(capacity)
    for digit in digits:
        secret.append(int(digit))
    return secret


def n_free() -> int:
    gc.collect()
    return secret_module._ARENA.n_free


def test_digits_are_read_through_the_view_and_by_index() -> None:
    with keyed(PAN) as secret:
        assert secret.view() == PAN.encode()
        assert [secret.digit(i) for i in range(len(secret))] == [int(c) for c in PAN]
        assert len(secret) == 16
        assert secret.capacity == 19


def test_the_view_is_read_only() -> None:
    with keyed(PAN) as secret:
        assert secret.view().readonly
        with pytest.raises(TypeError):
            secret.view()[0] = 0


@pytest.mark.parametrize("index", [-1, 16, 100])
def test_an_index_outside_the_digits_is_refused(index: int) -> None:
    with keyed(PAN) as secret, pytest.raises(IndexError):
        secret.digit(index)


@pytest.mark.parametrize("digit", [-1, 10, 11, 48])
def test_only_digits_are_taken(digit: int) -> None:
    with Secret() as secret, pytest.raises(ValueError, match="0 to 9"):
        secret.append(digit)


def test_a_full_secret_takes_no_more() -> None:
    with keyed("1234", capacity=4) as secret:
        with pytest.raises(PayError, match="full"):
            secret.append(5)
        assert len(secret) == 4


@pytest.mark.parametrize("capacity", [0, -1, MAX_CAPACITY + 1])
def test_the_capacity_is_limited(capacity: int) -> None:
    with pytest.raises(PayError, match="1 to 64"):
        Secret(capacity)


@pytest.mark.parametrize(
    ("digits", "shown"),
    [("", ""), ("123", ""), ("12345678", ""), ("123456789", "9"), ("500000000009", "0009"), (PAN, "4242")],
)
def test_last_four_leaves_at_least_eight_digits_hidden(digits: str, shown: str) -> None:
    with keyed(digits) as secret:
        assert secret.last_four() == shown


def test_wiping_zeroes_the_slot_and_twice_is_harmless() -> None:
    secret = keyed(PAN)
    view = secret.view()
    secret.wipe()
    assert view == bytes(16)
    secret.wipe()
    assert secret.wiped
    assert len(secret) == 0
    assert bytes(secret.view()) == b""
    assert secret.last_four() == ""
    with pytest.raises(PayError, match="wiped"):
        secret.append(1)


def test_clearing_zeroes_and_keeps_the_secret_usable() -> None:
    with keyed(PAN) as secret:
        view = secret.view()
        secret.clear()
        assert view == bytes(16)
        assert not secret.wiped
        secret.append(7)
        assert bytes(secret.view()) == b"7"


def test_leaving_the_context_wipes_even_on_an_error() -> None:
    secret = keyed(PAN)
    with pytest.raises(RuntimeError), secret:
        raise RuntimeError
    assert secret.wiped


def test_a_forgotten_secret_is_wiped_by_its_finaliser() -> None:
    secret = keyed(PAN)
    view = secret.view()
    del secret
    gc.collect()
    assert view == bytes(16)


def test_a_slot_is_reused_only_when_its_last_view_is_gone() -> None:
    secret = keyed(PAN)
    part = secret.view()[2:6]
    before = n_free()
    secret.wipe()
    assert n_free() == before
    others = [keyed("1111") for _ in range(before)]
    assert part == bytes(4)
    del part
    assert n_free() == 1
    del others


def test_slots_come_back_and_pages_do_not_multiply() -> None:
    for _ in range(3):
        secrets = [keyed("12") for _ in range(200)]
        for secret in secrets:
            secret.wipe()
        n_pages = len(secret_module._ARENA.pages)
    del secret, secrets
    again = [keyed("34") for _ in range(200)]
    assert len(secret_module._ARENA.pages) == n_pages
    del again


def test_a_new_secret_starts_zeroed() -> None:
    keyed("9" * 19).wipe()
    with Secret(MAX_CAPACITY) as secret:
        assert secret._slot is not None
        assert bytes(secret._slot) == bytes(MAX_CAPACITY)


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>40}".format, "{!r}".format, lambda s: "%s" % s])  # noqa: UP031
def test_nothing_printed_says_a_digit(show: Callable[[object], str]) -> None:
    with keyed(PAN) as secret:
        assert show(secret) == "Secret(<redacted>)"


def test_a_submission_prints_no_secret() -> None:
    with keyed(PAN) as number, keyed("737", 4) as code:
        submission = Submission(
            transaction_id="t", operation=Operation.CHARGE, card_number=number, security_code=code, amount="1.00"
        )
        assert "4242" not in repr(submission)
        assert "737" not in repr(submission)


def test_a_traceback_with_locals_prints_no_secret() -> None:
    try:
        with keyed(PAN) as secret:
            secret.append(99)
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "<redacted>" in text
    assert "secret = Secret(<redacted>)" in text


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps, hash, bytes, list, iter])
def test_copying_pickling_hashing_and_iterating_are_refused(act: Callable[[object], object]) -> None:
    with keyed(PAN) as secret, pytest.raises(TypeError):
        act(secret)


def test_equality_is_refused_and_matching_is_offered() -> None:
    with keyed(PAN) as one, keyed(PAN) as same, keyed(PAN[:-1] + "3") as other, keyed(PAN[:-1]) as shorter:
        with pytest.raises(TypeError):
            assert one == same
        assert one.matches(same)
        assert not one.matches(other)
        assert not one.matches(shorter)
        same.wipe()
        assert not one.matches(same)
        assert not same.matches(one)


def test_the_memory_is_locked_undumpable_and_empty_in_a_child() -> None:
    program = """
import os, re, sys
from pathlib import Path
from engine.pay import secret as module
import ctypes
secret = module.Secret(4)
for digit in (7, 3, 7, 1):
    secret.append(digit)
address = ctypes.addressof(ctypes.c_ubyte.from_buffer(module._ARENA.pages[0].memory))
flags, inside = "", False
for line in Path("/proc/self/smaps").read_text().splitlines():
    head = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
    if head:
        inside = int(head[1], 16) <= address < int(head[2], 16)
    elif inside and line.startswith("VmFlags:"):
        flags = line
print("dd" in flags.split(), ("lo" in flags.split()) == secret.locked, "wf" in flags.split() or "dc" in flags.split())
sys.stdout.flush()
child = os.fork()
if child == 0:
    seen = bytes(secret.view())
    del secret
    os._exit(0 if seen == bytes(4) else 1)
print(os.waitpid(child, 0)[1], bytes(secret.view()) == bytes((55, 51, 55, 49)))
"""
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=30, check=False
    )
    assert done.stdout.split() == ["True", "True", "True", "0", "True"], done.stderr


def test_a_page_that_cannot_be_locked_is_still_used_and_says_so() -> None:
    program = """
import ctypes, mmap, resource
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
from engine.pay.secret import Secret
page = mmap.mmap(-1, mmap.PAGESIZE)
address = ctypes.c_void_p(ctypes.addressof(ctypes.c_ubyte.from_buffer(page)))
# A privileged process (CAP_IPC_LOCK) locks without regard to the limit.
lockable = ctypes.CDLL(None).mlock(address, ctypes.c_size_t(mmap.PAGESIZE)) == 0
with Secret(4) as secret:
    secret.append(1)
    print(secret.locked == lockable, len(secret))
"""
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=30, check=False
    )
    assert done.stdout.split() == ["True", "1"], done.stderr
