"""Call a customer who asked to pay by phone, with the vendor's own library: placed, followed, told how it went.

Run the engine with ``examples/vonage/paytone.toml``, ``shop_app.py`` beside it, and then, with the same environment::

    python examples/vonage/call_out.py sip:customer@192.0.2.7
    python examples/vonage/call_out.py 15550100002       # by the trunk of [outbound]
"""

from __future__ import annotations

import logging
import os
import sys
import time

from vonage import Auth, HttpClientOptions, Vonage
from vonage_voice import CreateCallRequest, Sip, ToPhone

SHOP = os.environ.get("SHOP_URL", "http://127.0.0.1:5000")
log = logging.getLogger("shop")
OVER = ("busy", "cancelled", "completed", "failed", "rejected", "timeout", "unanswered")


def main(to: str) -> int:
    """Call ``to``; return 0 when somebody answered."""
    client = Vonage(
        Auth(application_id=os.environ["VONAGE_APPLICATION_ID"], private_key=os.environ["VONAGE_PRIVATE_KEY"]),
        HttpClientOptions(api_host=os.environ.get("PAYTONE_API", "localhost:8443")),
    )
    placed = client.voice.create_call(
        CreateCallRequest(
            to=[Sip(uri=to) if to.startswith(("sip:", "sips:")) else ToPhone(number=to)],
            random_from_number=True,  # the number of [app.shop]
            answer_url=[f"{SHOP}/invoice"],
            ringing_timer=40,
            length_timer=600,
        )
    )
    log.info("call=%s", placed.uuid)
    status = ""
    while status not in OVER:
        time.sleep(0.5)
        call = client.voice.get_call(placed.uuid)
        if call.status != status:
            status = call.status
            log.info("status=%s", status)
    return 0 if status == "completed" else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main(sys.argv[1]))
