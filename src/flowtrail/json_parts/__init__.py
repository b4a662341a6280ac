"""Large JSON texts, decoded in parts, so that others have their turn in between (spec 2.10).

reader.py   the grammar: what is small is decoded by the standard library, a part at a time; what is large is put together of parts
encoding.py whether the bytes are UTF-8, and where they may be cut
strings.py  strings and names that are larger than a part
kinds.py    what is made of what is large: plain values, or nothing
text.py     or its compact text, without any of its objects alive at the same time

All that takes long is a generator that yields when it has done as much as should be done in one go, and returns its result.
`reader.py` answers as `json_text.load` does: the same values, and the same errors in the same words, whatever the text.
"""

from flowtrail.json_parts.encoding import PART, part_of, utf_8_of
from flowtrail.json_parts.kinds import NOTHING, PLAIN, Builder, Items, Kind, Members, Pieces, Steps, StringBuilder
from flowtrail.json_parts.reader import Reader
from flowtrail.json_parts.text import RepeatedName, Text

__all__ = [
    "NOTHING",
    "PART",
    "PLAIN",
    "Builder",
    "Items",
    "Kind",
    "Members",
    "Pieces",
    "Reader",
    "RepeatedName",
    "Steps",
    "StringBuilder",
    "Text",
    "part_of",
    "utf_8_of",
]
