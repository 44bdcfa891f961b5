"""A voice for Piper of a few kilobytes: each phoneme is a tone, as long as the length scale says.

``python -m tests.support.tiny_voice`` writes it to ``tests/vectors/piper`` (needs the ``onnx`` package; the tests need
the files only). It has the inputs of Piper's models and draws no noise, so the same text gives the same samples.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

__all__ = ("RATE_HZ", "SAMPLES_PER_PHONEME", "TINY_VOICE")

TINY_VOICE = Path(__file__).parents[1] / "vectors" / "piper" / "tiny.onnx"
RATE_HZ = 16_000
SAMPLES_PER_PHONEME = 800
"At a length scale of 1: 50 ms."
SILENT = "_^$ "
SYMBOLS = (
    SILENT
    + ".,;:!?"
    + string.ascii_lowercase
    + "ɐɑɒæɓʙβɔɕçɗɖðʤəɘɚɛɜɝɞɟʄɡɠɢʛɦɧħɥʜɨɪʝɭɬɫɮʟɱɯɰŋɳɲɴøɵɸθœɶʘɹɺɾɻʀʁɽʂʃʈʧʉʊʋⱱʌɣɤʍχʎʏʑʐʒʔʡˈˌːˑ"
)


def build() -> bytes:
    """Return the model: samples = 0.3 sin(2π (150 + 15 id) t / rate), and nothing for the silent symbols."""
    from onnx import NodeProto, TensorProto, checker, helper

    def constant(name: str, kind: int, value: list[float] | list[int]) -> NodeProto:
        tensor = helper.make_tensor(name, kind, [len(value)] if len(value) > 1 else [], value)
        return helper.make_node("Constant", [], [name], value=tensor)

    nodes = [
        constant("one", TensorProto.INT64, [1]),
        constant("zero", TensorProto.FLOAT, [0.0]),
        constant("step", TensorProto.FLOAT, [1.0]),
        constant("samples", TensorProto.FLOAT, [float(SAMPLES_PER_PHONEME)]),
        constant("slope", TensorProto.FLOAT, [15.0 * 6.283185307179586 / RATE_HZ]),
        constant("offset", TensorProto.FLOAT, [150.0 * 6.283185307179586 / RATE_HZ]),
        constant("level", TensorProto.FLOAT, [0.3]),
        constant("last_silent", TensorProto.INT64, [len(SILENT) - 1]),
        constant("column", TensorProto.INT64, [-1, 1]),
        constant("flat", TensorProto.INT64, [1, 1, -1]),
        helper.make_node("Gather", ["scales", "one"], ["length_scale"]),
        helper.make_node("Mul", ["samples", "length_scale"], ["count"]),
        helper.make_node("Range", ["zero", "count", "step"], ["time"]),
        helper.make_node("Reshape", ["input", "column"], ["ids"]),
        helper.make_node("Cast", ["ids"], ["ids_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ids_float", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "offset"], ["omega"]),
        helper.make_node("Mul", ["omega", "time"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["wave"]),
        helper.make_node("Greater", ["ids", "last_silent"], ["sounds"]),
        helper.make_node("Cast", ["sounds"], ["gate"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wave", "gate"], ["gated"]),
        helper.make_node("Mul", ["gated", "level"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "samples"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def settings() -> dict[str, object]:
    """Return what stands beside the model."""
    symbols = list(dict.fromkeys(SYMBOLS))
    return {
        "audio": {"sample_rate": RATE_HZ},
        "espeak": {"voice": "en-us"},
        "inference": {"length_scale": 1.0, "noise_scale": 0.0, "noise_w": 0.0},
        "num_speakers": 1,
        "num_symbols": len(symbols),
        "phoneme_id_map": {symbol: [index] for index, symbol in enumerate(symbols)},
        "phoneme_type": "espeak",
        "speaker_id_map": {},
    }


if __name__ == "__main__":
    TINY_VOICE.parent.mkdir(parents=True, exist_ok=True)
    TINY_VOICE.write_bytes(build())
    text = json.dumps(settings(), ensure_ascii=False, indent=1)
    TINY_VOICE.with_name("tiny.onnx.json").write_text(text + "\n", encoding="utf-8")
