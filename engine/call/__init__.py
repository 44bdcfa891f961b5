"""Calls in both directions: the session, the media leg and the program that runs on them."""

from engine.call.call import Call
from engine.call.context import CallContext, Signalling
from engine.call.incoming import IncomingCall
from engine.call.outgoing import Dialler, OutgoingCall

__all__ = ("Call", "CallContext", "Dialler", "IncomingCall", "OutgoingCall", "Signalling")
