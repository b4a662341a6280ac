"""What somebody tries who may not: every attempt is refused with a code, and logged without what would help the next one."""

import base64
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, RSAKey
from structlog.testing import capture_logs

from conftest import StartService
from flowtrail import browser_sessions, tokens
from flowtrail.database import Database
from flowtrail.graphql.ids import encode_id
from live import event_stream, socket
from oidc_provider import Provider, running_provider
from recorder import accept, finished, node_started, register, started
from support import Service
from test_auth import MUTATIONS

QUERY = "{ executions(first: 1) { totalCount } }"
READ_TOKEN = "a-secret-to-read-with"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


@pytest.fixture
async def service(start_service: StartService, provider: Provider) -> Service:
    """Where all kinds of readers may read."""
    running: Service = await start_service(
        read_token=READ_TOKEN,
        oidc_issuer=provider.issuer,
        oidc_audience=provider.audience,
        oidc_client_id=provider.client_id,
        oidc_servers_claim="servers",
    )
    return running


def code_of(response: Any) -> str:
    return str(response["errors"][0]["extensions"]["code"])


async def over_http(service: Service, document: str, token: str) -> Any:
    return await service.execute(document, token=token)


async def over_socket(service: Service, document: str, token: str, **variables: Any) -> Any:
    async with socket(service, token=token) as client:
        await client.subscribe(document, **variables)
        return (await client.receive())["payload"]


async def over_sse(service: Service, document: str, token: str) -> Any:
    async with event_stream(service, document, token=token) as events:
        return await anext(events)


# A read-only viewer


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_reader_of_any_kind_can_change_nothing_over_any_transport(
    service: Service, provider: Provider, database: Database, mutation: str
) -> None:
    async with database.write() as write:
        stored = await tokens.create(write, "dashboard", "read")
        session = await browser_sessions.begin(write, "ada", None, timedelta(hours=1))
    with capture_logs() as logs:
        for token in (READ_TOKEN, stored, session, provider.access_token(servers=["*"])):
            for send in (over_http, over_socket, over_sse):
                assert code_of(await send(service, MUTATIONS[mutation], token)) == "FORBIDDEN"
            assert token not in str(logs)
    refusals = [entry for entry in logs if entry["event"] == "recording refused"]
    assert {entry["viewer"] for entry in refusals} == {"reader", "dashboard", "ada"}
    assert code_of(await service.execute(MUTATIONS[mutation])) == "UNAUTHENTICATED"


# Other servers

FRAGMENTS = {
    "Any": "fragment Any on Node { id __typename }",
    "F": """fragment F on Flow { uuid server toolName hasPendingExecutions executions { ...C }
            statistics { total topErrors { message } } }""",
    "E": """fragment E on Execution { uuid server initialParams nodeExecutions { nodeName } parent { uuid }
            children { ...C } flow { uuid } }""",
    "C": """fragment C on ExecutionConnection { totalCount totalCountIsExact hasPendingExecutions edges { node { uuid server } }
            pageInfo { hasNextPage hasPreviousPage } pageCursors { first { page } around { page } last { page } } }""",
}
EVERY_WAY = (
    """query ByIdAndName($flow: ID!, $flowUuid: UUID!, $execution: ID!, $executionUuid: UUID!, $node: ID!, $name: String!) {
      flowNode: node(id: $flow) { ...Any } executionNode: node(id: $execution) { ...Any } nodeNode: node(id: $node) { ...Any }
      flowById: flow(by: {id: $flow}) { ...F } flowByUuid: flow(by: {uuid: $flowUuid}) { ...F }
      flowByTool: flow(by: {tool: {server: $name, toolName: $name}}) { ...F }
      executionById: execution(by: {id: $execution}) { ...E } executionByUuid: execution(by: {uuid: $executionUuid}) { ...E }
    }""",
    """query Flows($name: String!) {
      all: flows { totalCount edges { node { ...F } } }
      byServer: flows(filter: {server: [$name]}) { totalCount edges { node { ...F } } pageInfo { hasNextPage } }
      byText: flows(filter: {text: $name, hasPendingExecutions: true}) { totalCount edges { node { ...F } } }
      recorders { server instance }
    }""",
    """query Executions($flow: ID!, $name: String!) {
      all: executions { ...C } none: executions(first: 0) { totalCount hasPendingExecutions }
      byFlow: executions(filter: {flowId: [$flow]}) { ...C } byServer: executions(filter: {server: [$name]}) { ...C }
      byTrace: executions(filter: {traceId: $name}) { ...C } byClient: executions(filter: {clientName: $name}) { ...C }
      byNode: executions(filter: {failedNodeId: $name}) { ...C } byText: executions(filter: {text: $name}) { ...C }
      byParam: executions(filter: {param: [{path: "/where", value: "depot"}]}) { ...C }
      pending: executions(filter: {status: [PENDING]}) { ...C } failed: executions(filter: {status: [ERROR]}) { ...C }
    }""",
)


def asking_for(flow_id: str, execution_id: str, name: str) -> dict[str, str]:
    """The variables of EVERY_WAY, to find what is called `name`."""
    execution = uuid.UUID(execution_id)
    return {
        "flow": encode_id("Flow", uuid.UUID(flow_id)),
        "flowUuid": flow_id,
        "execution": encode_id("Execution", execution),
        "executionUuid": execution_id,
        "node": encode_id("NodeExecution", execution, 0),
        "name": name,
    }


async def record_theirs(service: Service) -> tuple[str, str]:
    """A flow of another server, with executions of every kind; returns its id and that of one of them."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    (flow,) = await register(service, {"toolName": "depot", "name": "depot"}, server="depot")
    common: Any = {
        "server": "depot",
        "tool": "depot",
        "traceId": "depot",
        "client": {"name": "depot"},
        "params": {"where": "depot"},
    }
    await accept(service, *(started(id_, **common) for id_ in ids))
    await accept(
        service,
        node_started(ids[0], nodeId="depot", nodeName="depot"),
        finished(ids[1], error={"kind": "TOOL_ERROR", "message": "depot", "nodeId": "depot", "nodeName": "depot"}),
        started(parentExecutionId=ids[0], **common),
    )
    report = """mutation { reportRecorder(input: {server: "depot", instance: "depot", version: "1", droppedExecutions: 0})
                { recorder { server } } }"""
    assert "errors" not in await service.execute(report, token=service.record_token)
    return flow["uuid"], ids[0]


async def limited_tokens(provider: Provider, database: Database) -> list[str]:
    """Tokens of every kind that can be limited to servers, all for `orders`."""
    async with database.write() as write:
        made = [await tokens.create(write, f"orders {scope}", scope, ["orders"]) for scope in ("read", "record")]
    return [*made, provider.access_token(servers=["orders"])]


@pytest.mark.parametrize("way", EVERY_WAY, ids=("objects", "flows", "executions"))
async def test_what_others_recorded_is_as_if_it_did_not_exist(
    service: Service, provider: Provider, database: Database, way: str
) -> None:
    document = way + "".join(fragment for name, fragment in FRAGMENTS.items() if f"...{name}" in way or name == "C")
    await accept(service, started(server="orders", tool="ship"))
    unknown = asking_for(str(uuid.uuid4()), str(uuid.uuid4()), "never heard of")
    readers = await limited_tokens(provider, database)
    before = [await service.execute(document, unknown, token=token) for token in readers]
    known = asking_for(*await record_theirs(service), "depot")
    everything = await service.execute(document, known, token=READ_TOKEN)
    assert "errors" not in everything, everything
    assert all(found and found != {"totalCount": 0, "edges": []} for found in everything["data"].values()), (
        "who may see it finds it"
    )
    for token, answer in zip(readers, before, strict=True):
        assert "errors" not in answer
        assert await service.execute(document, known, token=token) == answer
        assert await over_socket(service, document, token, **known) == answer


async def test_changes_of_others_do_not_arrive(service: Service, provider: Provider, database: Database) -> None:
    cursor = (await service.execute("{ executions { changeCursor } }", token=READ_TOKEN))["data"]["executions"]["changeCursor"]
    flow, execution = await record_theirs(service)
    known = asking_for(flow, execution, "depot")
    choices: tuple[dict[str, str], ...] = (
        {},
        {"after": cursor},
        {"flowId": known["flow"], "after": cursor},
        {"executionId": known["execution"], "after": cursor},
    )
    for token in await limited_tokens(provider, database):
        async with socket(service, token=token) as client:
            for number, choice in enumerate(choices):
                await client.subscribe(id_=str(number), **choice)
            await accept(service, node_started(execution, 1 + len(token)), started(server="depot", tool="depot"))
            ours: set[str] = set()
            heard: set[str] = set()
            while heard != {"0", "1"}:  # the first, which begins now, may not have begun yet; the second misses nothing
                latest = started(server="orders", tool="ship")
                ours.add(latest["started"]["executionId"])
                await accept(service, latest)
                message = {"id": ""}
                while message["id"] != "1":
                    message = await client.receive()
                    heard.add(message["id"])
                    change = message["payload"]["data"]["executionChanges"]
                    assert change["executionId"] in ours
            cursor = change["cursor"]
        choices = ({}, *({**choice, "after": cursor} for choice in choices[1:]))


async def test_a_recorder_is_told_no_more_of_others_than_of_nothing(
    service: Service, provider: Provider, database: Database
) -> None:
    flow, _ = await record_theirs(service)
    _, recorder, _ = await limited_tokens(provider, database)
    delete = "mutation ($id: ID!) { deleteFlow(input: {id: $id}) { deletedId } }"
    existing, missing = [
        await service.execute(delete, {"id": encode_id("Flow", uuid.UUID(id_))}, token=recorder)
        for id_ in (flow, str(uuid.uuid4()))
    ]
    assert existing == missing
    assert code_of(existing) == "NOT_FOUND"
    found = await service.execute("query ($uuid: UUID!) { flow(by: {uuid: $uuid}) { server } }", {"uuid": flow}, token=READ_TOKEN)
    assert found["data"]["flow"] == {"server": "depot"}


# Tokens in the wrong place


async def test_a_token_in_an_address_or_a_body_is_none(service: Service) -> None:
    with capture_logs() as logs:
        for name in ("access_token", "token", "authorization", "Authorization", "api_key"):
            for value in (READ_TOKEN, f"Bearer {READ_TOKEN}"):
                answer = await service.client.post("/graphql", params={name: value}, json={"query": QUERY, name: value})
                assert code_of(answer.json()) == "UNAUTHENTICATED"
                url = f"{service.url.replace('http', 'ws', 1)}/graphql?{name}={READ_TOKEN}"
                async with websockets.connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]) as connection:
                    await connection.send('{"type": "connection_init"}')
                    with pytest.raises(websockets.ConnectionClosedError, match="4403"):
                        await connection.recv()
    assert READ_TOKEN not in str(logs)


# Made-up tokens of the provider


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    return ".".join(map(encoded, (json.dumps(header).encode(), json.dumps(claims).encode(), signature)))


def by_hand(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """What no library would sign."""
    content = unsigned(header, claims).rpartition(".")[0]
    return f"{content}.{encoded(sign(content.encode()))}"


def claims_for(provider: Provider, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": provider.audience, "sub": "eve", "iat": now, "exp": now + 300, "servers": ["*"]}
    return claims | more


def hmac_signed(provider: Provider, secret: bytes) -> str:
    header = {"alg": "HS256", "kid": provider.keys[-1].kid}
    return by_hand(header, claims_for(provider), lambda content: hmac.digest(secret, content, "sha256"))


def rsa_signed(provider: Provider, **header: Any) -> str:
    """Signed by the provider itself."""
    key = provider.keys[-1]
    assert isinstance(key, RSAKey)
    private = key.get_op_key("sign")
    whole = {"alg": "RS256", "kid": key.kid} | header
    return by_hand(whole, claims_for(provider), lambda content: private.sign(content, PKCS1v15(), SHA256()))


def public_pem(provider: Provider) -> bytes:
    key = provider.keys[-1]
    assert isinstance(key, RSAKey)
    return key.as_pem(private=False)


def without_signature(provider: Provider) -> str:
    return provider.access_token(servers=["*"]).rpartition(".")[0] + "."


def changed(provider: Provider) -> str:
    header, _, signature = provider.access_token(servers=["orders"]).split(".")
    return ".".join((header, unsigned({}, claims_for(provider)).split(".")[1], signature))


ATTACKER = RSAKey.generate_key(2048, {"kid": "attacker"})

FORGERIES: dict[str, Callable[[Provider], str]] = {
    "expired": lambda p: p.signed(claims_for(p, exp=int(time.time()) - 60)),
    "never expires": lambda p: p.signed(claims_for(p, exp=None)),
    "expires at no time": lambda p: p.signed(claims_for(p, exp="tomorrow")),
    "not yet valid": lambda p: p.signed(claims_for(p, nbf=int(time.time()) + 120)),
    "issued in the future": lambda p: p.signed(claims_for(p, iat=int(time.time()) + 120)),
    "another audience": lambda p: p.signed(claims_for(p, aud="https://another.example")),
    "no audience": lambda p: p.signed(claims_for(p, aud=None)),
    "the page's ID token": lambda p: p.id_token(servers=["*"]),
    "another issuer": lambda p: p.signed(claims_for(p, iss="https://evil.example")),
    "almost the issuer": lambda p: p.signed(claims_for(p, iss=f"{p.issuer}/")),
    "nobody's": lambda p: p.signed(claims_for(p, sub=None)),
    "no servers": lambda p: p.signed(claims_for(p, servers=None)),
    "a logout": lambda p: p.signed(claims_for(p), typ="logout+jwt"),
    "alg none": lambda p: unsigned({"alg": "none"}, claims_for(p)),
    "alg nOnE": lambda p: unsigned({"alg": "nOnE", "kid": p.keys[-1].kid}, claims_for(p)),
    "alg missing": lambda p: unsigned({"kid": p.keys[-1].kid}, claims_for(p)),
    "alg a list": lambda p: unsigned({"alg": ["RS256"]}, claims_for(p)),
    "HS256 with the public key as PEM": lambda p: hmac_signed(p, public_pem(p)),
    "HS256 with the public key as JWK": lambda p: hmac_signed(p, json.dumps(p.keys[-1].as_dict(private=False)).encode()),
    "HS256 with nothing": lambda p: hmac_signed(p, b""),
    "another key under the same name": lambda p: p.signed(claims_for(p), key=ATTACKER, kid=p.keys[-1].kid),
    "another key's name": lambda p: p.signed(claims_for(p), key=ATTACKER),
    "a key brought along": lambda p: p.signed(claims_for(p), key=ATTACKER, jwk=ATTACKER.as_dict(private=False)),
    "a key to be fetched": lambda p: p.signed(claims_for(p), key=ATTACKER, jku=f"{p.issuer}/evil", x5u=f"{p.issuer}/evil"),
    "a key's name that is a path": lambda p: p.signed(claims_for(p), kid="../../../dev/null"),
    "a key's name that is SQL": lambda p: p.signed(claims_for(p), kid="' OR 1=1 --"),
    "a key's name that is none": lambda p: rsa_signed(p, kid=["a", "list"]),
    "a key of another kind": lambda p: p.signed(claims_for(p), key=ECKey.generate_key("P-256"), kid=p.keys[-1].kid),
    "what it does not understand": lambda p: rsa_signed(p, crit=["exp2"], exp2=1),
    "claims changed": changed,
    "no signature": without_signature,
    "an empty signature": lambda p: unsigned({"alg": "RS256", "kid": p.keys[-1].kid}, claims_for(p)),
    "a signature of zeros": lambda p: unsigned({"alg": "ES256", "kid": p.keys[-1].kid}, claims_for(p), bytes(64)),
    "a header that is a list": lambda p: f"{base64.urlsafe_b64encode(b'[1]').decode()}.e30.e30",
    "a header that nests": lambda p: f"{base64.urlsafe_b64encode(b'[' * 2000).decode()}.e30.e30",
    "no JSON": lambda p: "a.b.c",
    "only dots": lambda p: "..",
    "huge": lambda p: p.signed(claims_for(p, padding="x" * 20_000)),
    "a huge header": lambda p: rsa_signed(p, padding="x" * 8_000),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_made_up_token_opens_no_door(service: Service, provider: Provider, forgery: str) -> None:
    genuine = provider.access_token(servers=["*"])
    assert "errors" not in await service.execute(QUERY, token=genuine)
    assert "errors" not in await service.execute(QUERY, token=rsa_signed(provider)), "so that it is not the signing by hand"
    token = FORGERIES[forgery](provider)
    with capture_logs() as logs:
        answer = await service.client.post("/graphql", json={"query": QUERY}, headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, code_of(answer.json())) == (401, "UNAUTHENTICATED")
        stream = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
        answer = await service.client.post("/graphql", json={"query": QUERY}, headers=stream)
        assert (answer.status_code, code_of(answer.json())) == (401, "UNAUTHENTICATED")
        answer = await service.client.post("/graphql", json={"query": QUERY}, headers={"cookie": f"flowtrail_session={token}"})
        assert (answer.status_code, code_of(answer.json())) == (401, "UNAUTHENTICATED")
        with pytest.raises(websockets.ConnectionClosedError, match="4403"):
            async with socket(service, token=token):
                pass
        if len(token) < 16_000:
            answer = await service.client.post("/session", json={"token": token})
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
            assert "set-cookie" not in answer.headers
    assert {entry["client"] for entry in logs if entry["event"] == "access refused"} == {"127.0.0.1"}
    assert all(len(part) < 8 or part not in str(logs) for part in token.split("."))
    assert "errors" not in await service.execute(QUERY, token=genuine)
    assert "/evil" not in provider.requests


# Anything else that is no token

NO_TOKENS = [
    b"",
    b"Bearer",
    b"Basic d3JpdGU6d3JpdGU=",
    b"Bearer \xe9\xe8\xff",
    "Bearer пароль.пароль.пароль".encode(),
    b"Bearer \xa0\x80",
    b"Bearer flowtrail_read_" + b"x" * 40_000,
    b"Bearer flowtrail_session_%00",
    b"Bearer flowtrail_read_' OR ''='",
    b"Bearer a,Bearer " + READ_TOKEN.encode(),
    b"bearer" + READ_TOKEN.encode(),
    b"Bearer " + READ_TOKEN.encode() + b"x",
    b"Bearer " + READ_TOKEN[:-1].encode(),
    b"Bearer " + READ_TOKEN.upper().encode(),
]


@pytest.mark.parametrize("header", NO_TOKENS, ids=range(len(NO_TOKENS)))
async def test_what_is_no_token_is_refused(service: Service, header: bytes) -> None:
    headers = [(b"authorization", header), (b"content-type", b"application/json")]
    with capture_logs() as logs:
        answer = await service.client.post("/graphql", content=json.dumps({"query": QUERY}), headers=headers)
    assert (answer.status_code, code_of(answer.json())) == (401, "UNAUTHENTICATED")
    assert READ_TOKEN[:-1] not in str(logs)


async def test_of_two_tokens_none_is_chosen_to_the_senders_advantage(service: Service, database: Database) -> None:
    """A wrong Authorization is not made good by a cookie."""
    headers = {"authorization": "Bearer wrong", "cookie": f"flowtrail_session={READ_TOKEN}"}
    answer = await service.client.post("/graphql", json={"query": QUERY}, headers=headers)
    assert code_of(answer.json()) == "UNAUTHENTICATED"


async def test_a_revoked_token_ends_its_streams(service: Service, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowtrail.graphql.endpoint.ACCESS_CHECK_SECONDS", 0.05)
    async with database.write() as write:
        token = await tokens.create(write, "dashboard", "read")
    async with socket(service, token=token) as client:
        await client.subscribe()
        async with database.write() as write:
            await tokens.revoke(write, "dashboard")
        assert await client.close_code() == 4403


async def test_assets_are_public_and_data_is_not(service: Service) -> None:
    for path in ("/", "/healthz", "/readyz", "/session"):
        assert (await service.client.get(path, headers={"accept": "text/html"})).status_code in (200, 503), path
    assert (await service.client.get("/metrics")).status_code == 401
    assert code_of(await service.execute(QUERY)) == "UNAUTHENTICATED"
    assert await service.execute("{ __typename }") == {"data": {"__typename": "Query"}}
