# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The description of the interface against the running server: every route, status and schema in docs/openapi.json."""
import json

import jsonschema
import pytest

from anybpfd import HELLO, ROOT

DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
METHODS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"]


def resolve(value):
    while "$ref" in value:
        at = DOCUMENT
        for part in value["$ref"][2:].split("/"):
            at = at[part]
        value = at
    return value


def validate(answer, path, method):
    """Whether an answer is one that the description allows."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    assert str(answer.status) in responses, f"{method} {path} answered {answer.status}: {answer.body[:200]}"
    response = resolve(responses[str(answer.status)])
    for name in response.get("headers", {}):
        assert name in answer.headers, name
    if "content" not in response or not answer.body:
        return
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in response["content"], kind
    if kind.endswith("json"):
        schema = {**response["content"][kind]["schema"], "components": DOCUMENT["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_description_is_served_and_sound(server):
    assert server.get("/v1/openapi.json").json() == DOCUMENT
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [DOCUMENT["paths"][path][method]["operationId"] for path, method in METHODS]
    assert len(names) == len(set(names))


def test_every_route_is_described():
    source = (ROOT / "src" / "serve" / "routes.c").read_text()
    table = source[source.index("const struct route ab_routes[]"):]
    for line in table.splitlines():
        if line.startswith("\t{ \""):
            _, method, path = [part.strip(' "') for part in line.split("\"")[1::2][:3]]
            assert any(p.startswith(path) and method.lower() in item for p, item in DOCUMENT["paths"].items()), line


REQUESTS = [
    ("/v1/build", "post", 200, {}), ("/v1/build", "post", 200, {"outputs": ["o", "so", "skel.h"], "inline": False}),
    ("/v1/build", "post", 422, {"files": {"a.c": "broken"}, "source": "a.c"}), ("/v1/build", "post", 400, {"source": "b.c"}),
    ("/v1/build", "post", 404, {"kernel": "1.0"}), ("/v1/build", "post", 409, {"files": {"a.c": {"digest": "sha256:" + "0" * 64}}, "source": "a.c"}),
]


@pytest.mark.parametrize("path, method, status, members", REQUESTS)
def test_builds(server, path, method, status, members):
    request = {"source": "a.c", "files": {"a.c": HELLO % 1 + 'SEC("tracepoint/a/b") int w(void *c) { int unused; return 0; }'}, **members}
    if status != 400:
        schema = {**DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
        jsonschema.Draft202012Validator(schema).validate(request)
    a = server.post(path, request)
    assert a.status == status, a.body
    validate(a, path, method)


@pytest.mark.parametrize("path, method", [(p, m) for p, m in METHODS if "{" not in p and m == "get"])
def test_plain_routes(server, path, method):
    a = server.get(path)
    assert a.status == 200
    validate(a, path, method)
    validate(server.get(path, Accept="image/png"), path, method)
    other = server.request("DELETE", path)
    assert other.status == 405
    validate(other, path, method)


def test_artifact_statuses(server):
    path = "/v1/artifacts/{digest}"
    digest = server.build().json()["artifacts"][0]["digest"]
    for status, name, headers in ((200, digest, {}), (206, digest, {"Range": "bytes=0-3"}), (304, digest, {"If_None_Match": "*"}),
                                  (416, digest, {"Range": "bytes=99999999-"}), (404, "sha256:" + "1" * 64, {}), (400, "x", {})):
        a = server.get("/v1/artifacts/" + name, **headers)
        assert a.status == status
        validate(a, path, "get")


def test_refusals_are_described(new_server):
    s = new_server("--anonymous", "none", "--limits-rate", "2", open_to_all=False)
    validate(s.build(), "/v1/build", "post")
    validate(s.get("/v1/kernels"), "/v1/kernels", "get")
    t = new_server("--anonymous", "read", "--limits-rate", "1", open_to_all=False)
    for _ in range(3):
        validate(t.get("/v1/kernels"), "/v1/kernels", "get")


def test_problem_route(server):
    validate(server.get("/problems/compile"), "/problems/{kind}", "get")
    validate(server.get("/problems/x"), "/problems/{kind}", "get")
