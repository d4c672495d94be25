"""A registry of two models that an echo server answers, and what came of their requests.

The pool of `m` expects another name in the body, that of `same` none; each has a path, too.
"""

from __future__ import annotations

import hashlib

from tests.support.deployment import Answer

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<echo>"], model: org/target}
  same: {endpoints: ["<echo>"]}
models:
  m: {pool: renamed, paths: [/v1/renamed]}
  same: {pool: same, paths: [/v1/same]}
extraction: {mode: <mode>, max_body: <max_body>}
"""
PATHS = ("/v1/completions", "/v1/renamed/completions")
"""Two ways to `m`: by the body's name, and by a path."""


def two_pools(max_body: str = "16MiB") -> str:
    """Return the template of the registry, for `each_mode` and its like."""
    return REGISTRY.replace("<max_body>", max_body)


def arrived(answer: Answer, body: bytes) -> bool:
    """Tell whether the server answered, and saw *body*."""
    assert answer.status == 200, answer.body
    return answer.seen["body_sha256"] == hashlib.sha256(body).hexdigest()


def refusal(answer: Answer) -> tuple[int, str]:
    """Return status and code of an answer that the gateway gave itself."""
    assert answer.server is None
    assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.error["code"]
