"""A voice over HTTP: how to give paytone a synthesiser of your own (docs/prompts.md, "A voice of your own").

The service of this example takes SSML by POST and answers with a WAV file; change ``synthesize`` to what yours takes.
It is used behind the guard, like every synthesiser:

    from prompts.store import PromptStore
    from prompts.synth.factory import guarded

    voice = HttpSynthesizer("https://tts.example.com/v1/speech", key=os.environ["TTS_KEY"])
    store = PromptStore.open("var/prompts", synthesizer=guarded(voice))

The guard sees to it that no text with more than four digits in a row is sent, bounds the time, and takes every
exception for "cannot speak". What is rendered once is cached by the store, so the service is asked once for each text.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.net.http import HttpError, request
from prompts.clip import Clip
from prompts.errors import SynthesisError
from prompts.pieces import Speech, as_speech, to_ssml
from prompts.synth.pool import WorkerPool
from prompts.synth.protocol import Capabilities
from prompts.synth.wav import master_audio

__all__ = ("HttpSynthesizer",)

MAX_ANSWER = 8 * 1024 * 1024
"Bytes: over a minute of 48 kHz audio."


class HttpSynthesizer:
    """Speaks by asking a service in the network."""

    # Remote: texts leave this machine, so the guard lets four digits in a row pass and no more.
    capabilities = Capabilities(remote=True)

    def __init__(
        self, url: str, *, key: str, voices: Mapping[str, str] | None = None, allow_insecure: bool = False
    ) -> None:
        """Ask ``url``, with ``key`` as bearer token. ``voices`` names the service's voice for a locale."""
        self._url = url
        self._key = key
        self._voices = dict(voices or {})
        self._allow_insecure = allow_insecure
        # Decodes, resamples and levels in a worker process: a broken answer breaks that one, and no call waits.
        self._pool = WorkerPool()

    @property
    def identity(self) -> str:
        """What a rendering depends on beside text, locale and voice; never the key."""
        return f"example {self._url} {sorted(self._voices.items())}"

    async def start(self) -> None:
        """Get ready. A service that is asked for each text has nothing to start."""

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        """Return the clip; raise SynthesisError, whose message never holds the text."""
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/ssml+xml; charset=utf-8",
            "Accept": "audio/wav",
            "X-Voice": voice or self._voices.get(locale, ""),
            "X-Locale": locale,
        }
        body = to_ssml(as_speech(text)).encode("utf-8")
        try:
            answer = await request(
                "POST",
                self._url,
                headers=headers,
                body=body,
                timeout_s=9.0,
                max_response=MAX_ANSWER,
                allow_insecure=self._allow_insecure,
            )
        except HttpError as error:
            raise SynthesisError(f"the speech service: {error}") from None
        if answer.status != 200:
            raise SynthesisError(f"the speech service answered {answer.status}", remedy="see its status page")
        return await master_audio(self._pool, answer.body)

    async def close(self) -> None:
        """End the worker."""
        await self._pool.close()
