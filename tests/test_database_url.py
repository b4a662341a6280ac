"""DATABASE_URL in every spelling, against a real PostgreSQL where a connection can tell."""

from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowtrail.database_url import parse
from flowtrail.errors import ConfigurationError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgres+asyncpg"])
async def test_every_scheme_in_use_connects(database_url: str, scheme: str) -> None:
    url = parse(database_url.replace("postgresql", scheme, 1))
    connection = await asyncpg.connect(url.dsn)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_parameters_of_libpq_keep_their_meaning(database_url: str) -> None:
    joint = "&" if "?" in database_url else "?"
    given = f"{database_url}{joint}options={quote('-c search_path=elsewhere')}&application_name=mine&connect_timeout=7&keepalives=1"
    url = parse(given)
    assert url.connect_timeout == 7.0
    connection = await asyncpg.connect(url.dsn)
    assert await connection.fetchval("SHOW search_path") == "elsewhere"
    assert await connection.fetchval("SHOW application_name") == "mine"
    await connection.close()


def test_what_asyncpg_would_misread_is_translated() -> None:
    assert parse("postgres://u@h/d?ssl=require&database=d").dsn == "postgresql://u@h/d?sslmode=require&dbname=d"
    assert parse("postgresql://u:p@ss@h/d").dsn == "postgresql://u:p%40ss@h/d"
    assert parse("postgresql://%2Frun%2Fpostgresql/d").dsn == "postgresql://%2Frun%2Fpostgresql/d"
    assert parse("postgresql://a:5432,[::1]:5433/d").dsn == "postgresql://a:5432,[::1]:5433/d"
    assert parse("postgresql://u@h/d?connect_timeout=0").connect_timeout is None


def test_files_of_certificates_are_found_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "root.crt").touch()
    assert f"sslrootcert={quote(str(tmp_path / 'root.crt'), safe='')}" in parse("postgresql://h/d?sslrootcert=~/root.crt").dsn


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not a PostgreSQL URL"),
        ("mysql://u:secret@h/d", "not a PostgreSQL URL"),
        ("host=h password=secret", "not a PostgreSQL URL"),
        ("postgresql://[::1/d", "not a URL"),
        ("postgresql://u:secret@h:port/d", "port that is not a number"),
        ("postgresql://u:sec#ret@h/d", "%23"),
        ("postgresql://u:secret@h/d?port=x", "port"),
        ("postgresql://u:secret@h/d?sslmode=maybe", "sslmode must be one of disable"),
        ("postgresql://u:secret@h/d?sslrootcert=/nonexistent", "sslrootcert"),
        ("postgresql://u:secret@h/d?channel_binding=require", "channel_binding"),
        ("postgresql://u:secret@h/d?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u:secret@h/d?passwort=secret", "does not know: passwort"),
        ("postgresql://u:secret@h/d?nonsense", "not a URL"),
    ],
)
def test_what_can_not_work_is_refused_without_showing_a_password(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        parse(url)
    assert caught.value.message.startswith("DATABASE_URL")
    assert "secret" not in caught.value.message
    assert caught.value.__cause__ is None


def test_it_is_not_shown_by_accident() -> None:
    assert "secret" not in repr(parse("postgresql://u:secret@h/d"))


@given(user=st.text(min_size=1), password=st.text(min_size=1), database=st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_encoded_parts_come_back_as_they_were(user: str, password: str, database: str) -> None:
    encoded = [quote(part, safe="", errors="surrogatepass") for part in (user, password, database)]
    assert urlsplit(parse("postgres://{}:{}@h/{}".format(*encoded)).dsn)[:3] == (
        "postgresql",
        "{}:{}@h".format(*(quote(part, safe="", errors="replace") for part in (user, password))),
        f"/{encoded[2]}",
    )
