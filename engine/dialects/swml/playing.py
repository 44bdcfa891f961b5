"""What is heard by ``play``, ``prompt`` and ``ringback``, of their parameters (`dialects.md` §3.6). Pure."""

from __future__ import annotations

from engine.dialects.spoken import Spoken
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.media import MediaRefused, items_of
from engine.dialects.swml.parameters import Parameters, has_placeholder, wrong_type

__all__ = ("heard", "spoken_of")


def spoken_of(parameters: Parameters, *, required: bool = True) -> tuple[Spoken, ...]:
    """Return what ``url`` or ``urls`` say. Raises `SwmlError`."""
    if "url" in parameters and "urls" in parameters:
        raise SwmlError(ScriptError.METHOD_PARAMETER_CONFLICT, parameters.where, "either url or urls can be given")
    if "urls" in parameters:
        return heard(parameters, "urls")
    if required:
        parameters.required("url")
    return heard(parameters, "url")


def heard(parameters: Parameters, name: str) -> tuple[Spoken, ...]:
    """Return what one parameter says, a URL or a list of them, spoken as the ``say_*`` beside it want it."""
    voice = parameters.line("say_voice")
    language = parameters.line("say_language")
    gender = parameters.line("say_gender")
    value = parameters.raw(name)
    if value is None or parameters.is_pending(name):
        return ()
    if not isinstance(value, str | list):
        raise wrong_type(parameters.at(name), "a URL or a list of URLs")
    urls = value if isinstance(value, list) else [value]
    if parameters.pending:
        # The others keep their places, so that an error names the one that is meant.
        urls = ["silence:0" if has_placeholder(url) else url for url in urls]
    try:
        return items_of(urls, say_voice=voice, say_language=language, say_gender=gender)
    except MediaRefused as refused:
        at = f"{parameters.at(name)}[{refused.index}]" if isinstance(value, list) else parameters.at(name)
        code = ScriptError.METHOD_PARAMETER_INVALID_VALUE
        raise SwmlError(code, at, refused.reason) from None
