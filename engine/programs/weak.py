"""Holding what may be gone: a call forgets its program when it is over, and neither must keep the other alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from engine.program import CallControl

__all__ = ("held_weakly", "weakly")


def held_weakly(call: CallControl) -> CallControl:
    """Return a proxy of a call, or the proxy that a program has already."""
    proxy: CallControl = call if isinstance(call, weakref.ProxyTypes) else weakref.proxy(call)
    return proxy


def weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Return what calls a bound method of something that may be gone by then."""
    found = weakref.WeakMethod(method)

    def call(*arguments: object) -> None:
        if (bound := found()) is not None:
            bound(*arguments)

    return call
