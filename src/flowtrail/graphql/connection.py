"""What every connection shares: PageInfo, and the page bar."""

import strawberry

from flowtrail import page_cursors


@strawberry.type(description="Where a page lies among its neighbours.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="A numbered page.")
class PageCursor:
    cursor: str | None = strawberry.field(description="What to pass as `after`; null for page 1.")
    page: int
    is_current: bool

    @classmethod
    def of(cls, cursor: page_cursors.PageCursor | None) -> "PageCursor | None":
        return cls(cursor=cursor.cursor, page=cursor.page, is_current=cursor.is_current) if cursor else None


@strawberry.type(
    description="A page bar over cursors. Page numbers count from the newest row as it was when the cursors were made. "
    "`previous` and `next` join exactly what is shown; the others lie on the grid of full pages."
)
class PageCursors:
    first: PageCursor
    around: list[PageCursor]
    last: PageCursor | None = strawberry.field(description="Null where counting stopped at its bound.")
    previous: PageCursor | None
    next: PageCursor | None

    @classmethod
    def of(cls, cursors: page_cursors.PageCursors) -> "PageCursors":
        first = PageCursor.of(cursors.first)
        assert first is not None  # noqa: S101 (page 1 always exists)
        return cls(
            first=first,
            around=[cursor for entry in cursors.around if (cursor := PageCursor.of(entry))],
            last=PageCursor.of(cursors.last),
            previous=PageCursor.of(cursors.previous),
            next=PageCursor.of(cursors.next),
        )
