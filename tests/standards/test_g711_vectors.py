"""ITU-T G.711: tables 1a/1b (A-law) and 2a/2b (mu-law), all 65,536 inputs and all 256 codes.

The expected values come from `tests.support.oracles`, which builds the tables of decision and output values segment by
segment and searches in them. Ties of sign follow the ITU-T software tools (G.191).
"""

from __future__ import annotations

import numpy as np

from dsp import g711
from tests.support import oracles

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = bytes(range(256))


def test_every_mu_law_code_decodes_to_its_output_value() -> None:
    assert g711.ulaw_decode(EVERY_CODE).tolist() == [oracles.ulaw_decode(code) for code in range(256)]


def test_every_a_law_code_decodes_to_its_output_value() -> None:
    assert g711.alaw_decode(EVERY_CODE).tolist() == [oracles.alaw_decode(code) for code in range(256)]


def test_every_sample_takes_the_mu_law_code_of_its_interval() -> None:
    expected = bytes(oracles.ulaw_encode(int(sample)) for sample in EVERY_SAMPLE)
    assert g711.ulaw_encode(EVERY_SAMPLE) == expected


def test_every_sample_takes_the_a_law_code_of_its_interval() -> None:
    expected = bytes(oracles.alaw_encode(int(sample)) for sample in EVERY_SAMPLE)
    assert g711.alaw_encode(EVERY_SAMPLE) == expected


def test_known_points_of_the_standard() -> None:
    # mu-law: largest output 8031 of 14 bits; positive zero is all ones; negative zero decodes to zero too.
    assert g711.ulaw_decode(b"\x80\x00\xff\x7f").tolist() == [4 * 8031, -4 * 8031, 0, 0]
    # A-law: largest output 4032 of 13 bits; the smallest is one half step of 2.
    assert g711.alaw_decode(b"\xaa\x2a\xd5\x55").tolist() == [8 * 4032, -8 * 4032, 8, -8]


def test_a_decoded_code_encodes_to_itself() -> None:
    assert g711.alaw_encode(g711.alaw_decode(EVERY_CODE)) == EVERY_CODE
    again = g711.ulaw_encode(g711.ulaw_decode(EVERY_CODE))
    assert [code for code in range(256) if again[code] != code] == [0x7F]  # two zeros, one of them is sent


def test_the_digital_milliwatt_measures_0_dbm0() -> None:
    # G.711 tables 5 and 6: one period of 1 kHz at 0 dBm0, eight codes in each law.
    ulaw = g711.ulaw_decode(bytes([0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E]) * 100)
    alaw = g711.alaw_decode(bytes([0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4]) * 100)
    # Our 0 dBm0 is A-law's (+3.14 at 32767); mu-law has +3.17 at 4 * 8159.
    ulaw_offset_db = 3.14 - 3.17 + 20 * np.log10(4 * 8159 / 32767)
    for samples, expected_dbm0 in ((alaw, 0.0), (ulaw, ulaw_offset_db)):
        rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
        level_dbm0 = 20 * np.log10(rms * np.sqrt(2) / 32767) + 3.14
        print(f"digital milliwatt: {level_dbm0:+.3f} dBm0")
        assert abs(level_dbm0 - expected_dbm0) < 0.01


def test_transcoding_keeps_the_sign_and_costs_at_most_one_step() -> None:
    for recode, back, decode in (
        (g711.ulaw_to_alaw, g711.alaw_to_ulaw, g711.ulaw_decode),
        (g711.alaw_to_ulaw, g711.ulaw_to_alaw, g711.alaw_decode),
    ):
        before = decode(EVERY_CODE).astype(int)
        after = decode(back(recode(EVERY_CODE))).astype(int)
        assert np.all(before * after >= 0)
        # A step at this magnitude: 1/16 of the segment's start in mu-law, 1/16 in A-law; 16 at the least.
        assert np.all(np.abs(after - before) <= np.maximum(16, np.abs(before) / 16 + 8))


def test_transcoding_is_the_same_for_both_polarities() -> None:
    for recode in (g711.ulaw_to_alaw, g711.alaw_to_ulaw):
        codes = recode(EVERY_CODE)
        assert all(codes[code] ^ codes[code | 0x80] == 0x80 for code in range(128))
