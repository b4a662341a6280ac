"""What is told about a JSON value beside the value itself (spec 1.6)."""

import strawberry

from flowtrail.executions import StoredPayload


@strawberry.type(
    description="About a JSON value: its true size and hash, whether only a preview of it was kept, "
    "and its exact JSON text, for numbers that a browser would round."
)
class PayloadInfo:
    size_bytes: float = strawberry.field(description="Of the whole value as compact JSON text in UTF-8, cut or not.")
    sha256: str = strawberry.field(description="Of the same text, in lowercase hexadecimal.", name="sha256")
    is_truncated: bool = strawberry.field(description="Whether the recorder cut the value to a preview.")
    text: str = strawberry.field(description="The exact JSON text of the value as it was kept.")

    @classmethod
    def of_optional(cls, payload: StoredPayload | None) -> "PayloadInfo | None":
        return cls.of(payload) if payload else None

    @classmethod
    def of(cls, payload: StoredPayload) -> "PayloadInfo":
        return cls(
            size_bytes=float(payload.size),
            sha256=payload.sha256.hex(),
            is_truncated=payload.is_truncated,
            text=payload.text or "",  # empty where it is not selected
        )
