"""Who may read and who may record: by header, by file, by table, and over HTTP."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flowtrail import auth, tokens
from flowtrail.auth import Access, Viewer
from flowtrail.database import Database
from flowtrail.errors import BadUserInput, ConfigurationError, NotFound, Unauthenticated
from flowtrail.record_token import record_token
from flowtrail.settings import Settings
from support import Service

ANONYMOUS_READER = Viewer("anonymous", can_read=True, can_record=False, is_anonymous=True)
ANONYMOUS = Viewer("anonymous", can_read=False, can_record=False, is_anonymous=True)


def settings(tmp_path: Path, **given: Any) -> Settings:
    return Settings(data_dir=tmp_path, **given)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lookup asks the table."""
    monkeypatch.setattr(auth, "_REMEMBERED", 0.0)


async def stored(database: Database, name: str, scope: tokens.Scope, *servers: str) -> str:
    async with database.write() as write:
        return await tokens.create(write, name, scope, servers)


async def test_reading_is_open_and_recording_is_not_by_default(database: Database, tmp_path: Path) -> None:
    access = Access(database, settings(tmp_path))
    assert await access.viewer(None) == ANONYMOUS_READER
    token = (tmp_path / "record-token").read_text().strip()
    recorder = await access.viewer(f"Bearer {token}")
    assert (recorder.can_read, recorder.can_record, recorder.servers) == (True, True, None)


async def test_tokens_of_the_settings_replace_the_file(database: Database, tmp_path: Path) -> None:
    access = Access(database, settings(tmp_path, record_token="old,new"))
    assert not (tmp_path / "record-token").exists()
    for token in ("old", "new"):
        assert (await access.viewer(f"bearer {token}")).can_record
    with pytest.raises(Unauthenticated):
        await access.viewer("Bearer old,new")


async def test_a_read_token_closes_reading_for_others(database: Database, tmp_path: Path) -> None:
    access = Access(database, settings(tmp_path, read_token="look", record_token="write"))
    assert await access.viewer(None) == ANONYMOUS
    reader = await access.viewer("Bearer look")
    assert (reader.can_read, reader.can_record) == (True, False)
    assert (await access.viewer("Bearer write")).can_read


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic d3JpdGU=", "write", "Bearer wrong", "Bearer flowtrail_read_wrong", "Bearer \udcff"],
)
async def test_what_is_not_a_valid_token_is_refused_even_where_reading_is_open(
    database: Database, tmp_path: Path, header: str
) -> None:
    with pytest.raises(Unauthenticated):
        await Access(database, settings(tmp_path, record_token="write")).viewer(header)


@pytest.mark.usefixtures("forgetful")
async def test_tokens_of_the_table(database: Database, tmp_path: Path) -> None:
    access = Access(database, settings(tmp_path))
    recorder = await stored(database, "ci", "record", "orders", "billing")
    assert await access.viewer(None) == ANONYMOUS_READER, "a recorder's token says nothing about readers"
    assert await access.viewer(f"Bearer {recorder}") == Viewer(
        "ci", can_read=True, can_record=True, servers=frozenset({"orders", "billing"})
    )

    reader = await stored(database, "dashboard", "read")
    assert await access.viewer(None) == ANONYMOUS
    assert await access.viewer(f"Bearer {reader}") == Viewer("dashboard", can_read=True, can_record=False)

    async with database.write() as write:
        await tokens.revoke(write, "dashboard")
    with pytest.raises(Unauthenticated, match="revoked"):
        await access.viewer(f"Bearer {reader}")
    assert await access.viewer(None) == ANONYMOUS, "revoking the last token opens the record to nobody"


async def test_a_token_in_use_says_so_once_a_minute(database: Database, tmp_path: Path) -> None:
    token = await stored(database, "ci", "record")
    access = Access(database, settings(tmp_path))

    async def last_used() -> Any:
        async with database.read() as read:
            return (await tokens.all_tokens(read))[0].last_used_at

    assert await last_used() is None
    await access.viewer(f"Bearer {token}")
    first = await last_used()
    assert first is not None
    await access.viewer(f"Bearer {token}")
    await Access(database, settings(tmp_path)).viewer(f"Bearer {token}")
    assert await last_used() == first


async def test_a_lookup_is_remembered(database: Database, tmp_path: Path) -> None:
    token = await stored(database, "ci", "record")
    access = Access(database, settings(tmp_path))
    await access.viewer(f"Bearer {token}")
    async with database.write() as write:
        await write.execute("DROP TABLE api_token")
    assert (await access.viewer(f"Bearer {token}")).name == "ci"


async def test_only_the_hash_of_a_token_is_kept(database: Database) -> None:
    token = await stored(database, "ci", "record")
    async with database.read() as read:
        assert token not in str(await read.fetch("SELECT * FROM api_token"))


async def test_names_of_valid_tokens_are_unique(database: Database) -> None:
    await stored(database, "ci", "record")
    with pytest.raises(BadUserInput, match="already"):
        await stored(database, "ci", "read")
    async with database.write() as write:
        await tokens.revoke(write, "ci")
    await stored(database, "ci", "read")
    async with database.write() as write:
        with pytest.raises(NotFound):
            await tokens.revoke(write, "nobody")


@pytest.mark.parametrize("name", ["", "  ", "n" * 101, "a\nb", "nul\0"])
async def test_names_that_can_not_be_shown_are_refused(database: Database, name: str) -> None:
    with pytest.raises(BadUserInput, match="name"):
        await stored(database, name, "read")


def test_the_file_is_its_owners_alone_and_stays_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    token = record_token(folder)
    assert stat.S_IMODE((folder / "record-token").stat().st_mode) == 0o600
    assert record_token(folder) == token
    assert len(token) >= 43
    assert [path.name for path in folder.iterdir()] == ["record-token"]


def test_processes_that_start_at_once_agree_on_the_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(record_token, [tmp_path / "data"] * 64))) == 1


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    record_token(tmp_path)
    (tmp_path / "record-token").chmod(0o640)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        record_token(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record-token").touch(mode=0o600)
    (tmp_path / "record-token").write_bytes(content)
    with pytest.raises(ConfigurationError, match="record-token"):
        record_token(tmp_path)


SECRETS = {
    "DATABASE_URL": "database_url",
    "DATABASE_LISTEN_URL": "database_listen_url",
    "DATABASE_READ_URL": "database_read_url",
    "FLOWTRAIL_READ_TOKEN": "read_token",
    "FLOWTRAIL_OIDC_CLIENT_SECRET": "oidc_client_secret",
}


@pytest.mark.parametrize("variable", SECRETS)
def test_every_secret_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    (tmp_path / "secret").write_text("hush\n")
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
    loaded = Settings.load()
    assert getattr(loaded, SECRETS[variable]).get_secret_value() == "hush"
    assert "hush" not in repr(loaded)
    monkeypatch.setenv(variable, "hush")
    with pytest.raises(ConfigurationError, match="both set"):
        Settings.load()
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match=f"{variable}_FILE"):
        Settings.load()


def test_no_secret_was_forgotten() -> None:
    """Whatever a setting hides may also come from a file, and the two record tokens are two there too."""
    hidden = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert hidden == set(SECRETS.values()) | {"record_token"}


async def test_record_tokens_are_rotated_without_a_gap(
    start_service: Any, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").write_text("old, new\n")
    monkeypatch.setenv("FLOWTRAIL_RECORD_TOKEN_FILE", str(tmp_path / "tokens"))
    both = Settings.load().record_token
    for tokens_now, accepted in ((("old",), {"old"}), (both, {"old", "new"}), (("new",), {"new"})):
        service = await start_service(record_token=tokens_now)
        for token in ("old", "new"):
            answer = await service.execute(MUTATIONS["recordEvents"], token=token)
            assert ("errors" not in answer) == (token in accepted), (tokens_now, token)


MUTATIONS = {
    "registerFlows": 'mutation { registerFlows(input: {server: "s", flows: []}) { flows { id } } }',
    "recordEvents": 'mutation { recordEvents(input: {sentAt: "2026-01-01T00:00:00Z", events: []}) { serverTime } }',
    "reportRecorder": """mutation { reportRecorder(input: {server: "s", instance: "i", version: "1",
                         droppedExecutions: 0}) { recorder { server } } }""",
    "deleteFlow": 'mutation { deleteFlow(input: {id: "x"}) { deletedId } }',
}


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_mutations_are_for_recorders_alone(service: Service, database: Database, mutation: str) -> None:
    reader = await stored(database, "dashboard", "read")

    async def code(token: str | None) -> str:
        response = await service.execute(MUTATIONS[mutation], token=token)
        return str(response["errors"][0]["extensions"]["code"])

    assert await code(None) == "UNAUTHENTICATED"
    assert await code("wrong") == "UNAUTHENTICATED"
    assert await code(reader) == "FORBIDDEN"


async def test_queries_need_a_token_where_reading_is_not_open(start_service: Any) -> None:
    service = await start_service(read_token="look")
    refused, allowed, recorder = await asyncio.gather(
        service.execute("{ flows { edges { cursor } } }"),
        service.execute("{ flows { edges { cursor } } }", token="look"),
        service.execute("{ flows { edges { cursor } } }", token=service.record_token),
    )
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert allowed == recorder == {"data": {"flows": {"edges": []}}}
