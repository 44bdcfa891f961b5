"""What the caller hears: ``[prompts]``, and the voices of ``[prompts.piper]``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from engine.config.table import Table

__all__ = ("PiperConfig", "PromptsConfig")

_LOCALE = r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$"


class PiperConfig(Table):
    """Neural voices of the operator's own."""

    voices: Mapping[str, str] = Field(default_factory=dict)
    "Model by locale, such as ``en-US``: a file NAME.onnx, with NAME.onnx.json beside it."
    threads: int = Field(default=1, ge=1, le=64)
    "Of each worker; what they take is taken from the calls."

    @field_validator("voices")
    @classmethod
    def _locales(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for locale in value:
            if not locale.replace("_", "-").replace("-", "").isalnum() or not locale[:2].isalpha():
                raise ValueError(f"{locale!r} is not a locale such as en-US")
        return value


class PromptsConfig(Table):
    """What the caller hears by default."""

    locale: str = Field(default="en-US", pattern=_LOCALE)
    cache: str = "var/prompts"
    "Directory for rendered audio."
    texts: str = ""
    "Directory of texts of one's own, which go before the shipped ones (``docs/prompts.md``); empty: none."
    synthesizer: Literal["espeak-ng", "piper"] = "espeak-ng"
    "What speaks; where Piper has no voice for a locale, espeak-ng does."
    workers: int = Field(default=0, ge=0, le=64)
    "Processes that speak; 0: one a core, four at most."
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    "For one text; a worker that takes longer is replaced, and the text tried once more."
    piper: PiperConfig = PiperConfig()

    @property
    def overlay(self) -> Path | None:
        """The directory of ``texts``, if there is one."""
        return Path(self.texts) if self.texts else None

    @property
    def piper_voices(self) -> dict[str, Path]:
        """Models of ``piper.voices`` by locale."""
        return {locale: Path(model) for locale, model in self.piper.voices.items()}

    @model_validator(mode="after")
    def _files(self) -> PromptsConfig:
        if self.texts and not Path(self.texts).is_dir():
            raise ValueError(f"texts: {self.texts} is not a directory; make it, or remove the key")
        if self.synthesizer == "piper":
            self._check_piper()
        return self

    def _check_piper(self) -> None:
        if not self.piper.voices:
            raise ValueError('synthesizer = "piper" wants voices: [prompts.piper] voices = { en-US = "FILE.onnx" }')
        for locale, model in self.piper.voices.items():
            for file in (model, f"{model}.json"):
                if not Path(file).is_file():
                    raise ValueError(
                        f"piper.voices.{locale}: {file} is not there; NAME.onnx and NAME.onnx.json are needed"
                    )
        if importlib.util.find_spec("piper") is None:
            raise ValueError('synthesizer = "piper" needs a package: pip install "paytone[piper]"')
