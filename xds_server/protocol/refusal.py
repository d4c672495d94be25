"""Which resources an `error_detail` speaks of.

Envoy names the culprits in prose, such as
`Error adding/updating cluster(s) pool/a: message, pool/b: message`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


def named_in(message: str, names: Iterable[str]) -> frozenset[str]:
    """Return those of *names* that *message* mentions as a whole word.

    Where one name holds another (`pool/a` and `pool/a-2`), the longer one is meant.
    """
    longest_first = sorted({name for name in names if name}, key=len, reverse=True)
    mentioned = [name for name in longest_first if name in message]
    if not mentioned:
        return frozenset()
    words = "|".join(re.escape(name) for name in mentioned)
    return frozenset(re.findall(rf"(?<![\w/-])(?:{words})(?![\w/-])", message))
