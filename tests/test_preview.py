"""The one line that a list shows of an execution's parameters (spec 1.5)."""

from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from flowtrail.recording.preview import preview_of
from properties import examples
from recorder import accept, ask, started
from support import Service

FAMILY = "👩🏽\u200d👩🏽\u200d👧🏽\u200d👦🏽"
FLAG = "🇳🇴"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
COMBINED = "e\u0301\u0323"
HANGUL = "\u1100\u1161\u11a8"

PREVIEWS: dict[str, tuple[Any, str]] = {
    "no parameters": ({}, ""),
    "text": ({"city": "Oslo", "days": 3}, "city: Oslo"),
    "empty text": ({"city": ""}, "city: "),
    "number": ({"days": 3}, "days: 3"),
    "big number": ({"days": 10**40}, f"days: {10**40}"),
    "fraction": ({"share": 0.5}, "share: 0.5"),
    "true": ({"dry": True}, "dry: true"),
    "null": ({"dry": None}, "dry: null"),
    "object": ({"where": {"city": "Oslo", "at": [1, 2]}}, 'where: {"city":"Oslo","at":[1,2]}'),
    "array": ({"ids": [1, "two", None]}, 'ids: [1,"two",null]'),
    "letters of all kinds": ({"名前": "Åsa"}, "名前: Åsa"),
    "several lines": ({"text": "a\nb"}, "text: a\nb"),
    "nul": ({"text": "a\0b"}, "text: a\u2400b"),
    "lone surrogate": ({"text": "a\ud800b"}, "text: a\ufffdb"),
    "80 exactly": ({"a": "x" * 77}, f"a: {'x' * 77}"),
    "81": ({"a": "x" * 78}, f"a: {'x' * 77}…"),
    "long name": ({"n" * 100: 1}, f"{'n' * 80}…"),
    "line ends count as one": ({"a": "\r\n" * 78}, f"a: {chr(13) + chr(10)}" + "\r\n" * 76 + "…"),
    "huge": ({"a": "x" * 100_000}, f"a: {'x' * 77}…"),
} | {
    f"{count + 3} of {name}": ({"a": character * count}, f"a: {character * min(count, 77)}{'…' * (count > 77)}")
    for name, character in (("family", FAMILY), ("flag", FLAG), ("England", ENGLAND), ("accent", COMBINED), ("hangul", HANGUL))
    for count in (1, 76, 77, 78, 500)
}


async def test_previews_of_every_kind(service: Service) -> None:
    ids = {name: str(uuid7()) for name in PREVIEWS}
    await accept(service, *(started(ids[name], params=params) for name, (params, _) in PREVIEWS.items()))
    document = (
        """query ($after: String) { executions(first: 100, after: $after) { edges { node { uuid initialParamsPreview } } } }"""
    )
    edges = (await ask(service, document))["executions"]["edges"]
    shown = {edge["node"]["uuid"]: edge["node"]["initialParamsPreview"] for edge in edges}
    assert {name: shown[id_] for name, id_ in ids.items()} == {name: preview for name, (_, preview) in PREVIEWS.items()}


CHARACTERS = st.sampled_from([FAMILY, FLAG, ENGLAND, COMBINED, HANGUL, "a", "\r\n", "\u200d", "🏽", "字", "\u0301"])


@examples(100)
@given(st.lists(CHARACTERS, max_size=120).map("".join))
def test_a_preview_is_the_longest_start_of_at_most_80_whole_characters(text: str) -> None:
    line = f"a: {text}"
    characters = regex.findall(r"\X", line)
    expected = line if len(characters) <= 80 else "".join(characters[:80]) + "…"
    assert preview_of({"a": text}) == expected


@pytest.mark.parametrize("marks", [1_990, 2_500, 100_000])
def test_a_character_without_end_does_not_make_a_preview_without_end(marks: int) -> None:
    preview = preview_of({"a": "b" + "\u0301" * marks + "c"})
    assert len(preview) <= 2_001
    assert preview == (f"a: b{chr(0x301) * marks}c" if marks < 2_000 else "a: …")
