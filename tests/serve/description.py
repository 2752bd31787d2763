# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""docs/openapi.json as what every answer is held against."""
import json
import pathlib
import re

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"]


def operation(path, method):
    return DOCUMENT["paths"][path][method]


def resolve(value):
    while "$ref" in value:
        at = DOCUMENT
        for part in value["$ref"][2:].split("/"):
            at = at[part]
        value = at
    return value


def schema_of(content):
    return {**content.get("schema", {}), "components": DOCUMENT["components"]}


def validate(answer, path, method):
    """Whether an answer is one that the description allows; its whole body by the schema."""
    responses = operation(path, method)["responses"]
    assert str(answer.status) in responses, f"{method} {path} answered {answer.status}: {answer.body[:200]}"
    response = resolve(responses[str(answer.status)])
    for name in response.get("headers", {}):
        assert name in answer.headers, name
    if "content" not in response:
        assert not answer.body
        return
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in response["content"], kind
    if kind.endswith("json"):
        jsonschema.Draft202012Validator(schema_of(response["content"][kind])).validate(answer.json())


def find_operations(method, target):
    """What a request line means: of a method that the path does not have, all that it has."""
    plain = target.split("?")[0]
    for path, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", ".+", path), plain):
            method = "get" if method == "HEAD" else method.lower()
            return [(path, m) for m in ([method] if method in item else item) if m != "parameters"]
    return []


def check_status(answer, method, target):
    """Whether the status is listed; for every answer that any test gets."""
    found = find_operations(method, target)
    assert method == "OPTIONS" or not found or any(str(answer.status) in operation(*o)["responses"] for o in found), \
        f"{method} {target} answered {answer.status}, which docs/openapi.json does not list: {answer.body[:200]}"
