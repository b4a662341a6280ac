"""What every table is made with: named constraints, and types that SQLAlchemy lacks."""

import uuid
from datetime import datetime

from sqlalchemy import DateTime, LargeBinary, MetaData, Text, Uuid
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import UserDefinedType


class Xid8(UserDefinedType[int]):
    """A 64-bit transaction id, which never wraps round."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


class PgSnapshot(UserDefinedType[str]):
    """A transaction snapshot, as `xmin:xmax:xip,…`."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "pg_snapshot"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
            "ix": "%(table_name)s_%(column_0_name)s_idx",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads a plain class attribute)
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
        uuid.UUID: Uuid,
    }
