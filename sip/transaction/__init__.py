"""The transactions of RFC 3261 §17, one file for each machine, and the layer that tells messages apart."""

from __future__ import annotations

from sip.transaction.invite_client import InviteClientTransaction
from sip.transaction.invite_server import InviteServerTransaction, InviteServerUser
from sip.transaction.layer import TransactionLayer
from sip.transaction.machine import Action, ClientTransaction, ClientUser, Failure, Input, ServerTransaction
from sip.transaction.non_invite_client import NonInviteClientTransaction
from sip.transaction.non_invite_server import NonInviteServerTransaction

__all__ = (
    "Action",
    "ClientTransaction",
    "ClientUser",
    "Failure",
    "Input",
    "InviteClientTransaction",
    "InviteServerTransaction",
    "InviteServerUser",
    "NonInviteClientTransaction",
    "NonInviteServerTransaction",
    "ServerTransaction",
    "TransactionLayer",
)
