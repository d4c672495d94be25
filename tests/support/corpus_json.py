"""Bodies that are read as JSON, well-formed and not."""

from __future__ import annotations

import json
from collections.abc import Iterator

from snapshots.ir.refusals import RefusalCode
from tests.support.corpus_case import Case

NAMES = {
    "slash": "meta-llama/Llama-3.2-1B-Instruct",
    "colon and at": "registry:5000/a@sha256:0",
    "spaces inside": "a model with spaces",
    "digits": "123",
    "null in quotes": "null",
    "two dashes": "--",
    "quote and backslash": 'say "hi" \\ n',
    "percent": "100%25",
    "cyrillic": "модель/ü",
    "chinese": "模型",
    "emoji": "😀",
    "right to left": "نموذج",
    "combining": "e\u0301",
    "zero width space": "a\u200b",
    "line separator inside": "a\u2028b",
    "no-break space inside": "a\u00a0b",
    "byte order mark inside": "\ufeffllama",
    "last code point": "\U0010ffff",
    "256 bytes": "x" * 256,
    "256 bytes of 128": "ü" * 128,
}

BLANK = {
    "empty": "",
    "space": " ",
    "tabs and line breaks": "\t\r\n",
    "vertical tab and form feed": "\v\f",
    "separators": "\x1c\x1d\x1e\x1f",
    "next line": "\x85",
    "no-break space": "\u00a0",
    "ogham": "\u1680",
    "em quad to hair space": "".join(map(chr, range(0x2000, 0x200B))),
    "line and paragraph separator": "\u2028\u2029",
    "narrow, mathematical and ideographic": "\u202f\u205f\u3000",
    "20 KB of spaces": " " * 20_000,
}

UNROUTABLE = {
    "dash": "-",
    "space before": " a",
    "space after": "a ",
    "unicode space after": "a\u3000",
    "line break": "a\r\nx-evil: 1",
    "zero": "a\0b",
    "escape": "\x1b[31m",
    "delete": "a\x7fb",
    "next line inside": "a\x85b",
    "application program command": "a\x9fb",
    "257 bytes": "x" * 257,
    "258 bytes of 129": "ü" * 129,
    "20 KB": "x" * 20_000,
    "20 KB of two bytes": "ü" * 10_000,
    "lone high surrogate": "\ud83d",
    "lone low surrogate": "a\ude00b",
    "surrogates the wrong way round": "\ude00\ud83d",
}

FOUND = {
    "first": b'{"model": "llama", "messages": [{"role": "user", "content": "hi"}]}',
    "last": b'{"messages": [{"role": "user", "content": "hi"}], "model": "llama"}',
    "alone": b'{"model":"llama"}',
    "white space around": b' \r\n\t{ \n"model"\t:\r"llama"\t} \n',
    "decoy in a string": b'{"messages": [{"content": "{\\"model\\": \\"x\\"}"}], "model": "llama"}',
    "decoy behind a backslash": b'{"a": "\\\\", "model": "llama", "b": "\\\\\\"model\\": \\"x\\""}',
    "decoy nested before": b'{"metadata": {"model": "other"}, "model": "llama"}',
    "decoy nested after": b'{"model": "llama", "metadata": {"model": 1}}',
    "decoy in an array": b'{"tools": [{"model": "other"}, ["model", "x"]], "model": "llama"}',
    "decoy as a value": b'{"a": "model", "b": ["model"], "model": "llama", "c": "model"}',
    "decoys nested with duplicates": b'{"a": {"model": "x", "model": "y"}, "model": "llama"}',
    "keys that are like it": b'{"Model": "x", "MODEL": 1, " model": 2, "model ": 3, "models": 4,'
    b' "mode": 5, "": 6, "model\\u0000": 7, "model": "llama"}',
    "escaped key": b'{"\\u006dodel": "llama"}',
    "escaped key in capitals": b'{"mod\\u0065\\u006C": "llama"}',
    "escaped key behind a decoy": b'{"a": {"model": "x"}, "\\u006d\\u006fd\\u0065l": "llama"}',
    "escaped value": b'{"model": "\\u006clam\\u0061"}',
    "same value twice": b'{"model": "llama", "n": 1, "model": "llama"}',
    "same value twice, one key escaped": b'{"model": "llama", "\\u006dodel": "llama"}',
    "same value twice, one value escaped": b'{"model": "llama", "model": "\\u006clama"}',
    "same value many times": b"{" + b", ".join([b'"model": "llama"'] * 50) + b"}",
    "not a number": b'{"model": "llama", "temperature": NaN, "a": [Infinity, -Infinity]}',
    "words": b'{"model": "llama", "stream": true, "n": null, "stop": [false, {}, [], ""]}',
    "every escape": b'{"a": "\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000", "model": "llama"}',
    "lone surrogate elsewhere": b'{"a": "\\ud800", "\\udc00": 1, "model": "llama"}',
    "delete is no control character": b'{"a": "\x7f\xc2\x85", "model": "llama"}',
    "raw line separators": '{"a": "\u2028\u2029\ufeff\u00a0", "model": "llama"}'.encode(),
    "numbers": b'{"a": [0, -0, 1.50, -0.0, 1E+2, 1e-2, 0e0, -1.5E10, 1e999, 1e-999],'
    b' "model": "llama"}',
    "integer of 4,300 digits": b'{"n": -' + b"9" * 4300 + b', "model": "llama"}',
    "float of 5,000 digits": b'{"n": ' + b"9" * 5000 + b'.0, "model": "llama"}',
    "499 levels of arrays": b'{"a": ' + b"[" * 498 + b"]" * 498 + b', "model": "llama"}',
    "500 levels of arrays": b'{"a": ' + b"[" * 499 + b"]" * 499 + b', "model": "llama"}',
    "500 levels of objects": b'{"a":' * 499 + b'{"model":"x"}' + b"}" * 498 + b',"model":"llama"}',
}

INVALID = {
    "blank": b" \r\n\t ",
    "text": b"model=llama",
    "cut in a string": b'{"model": "llama", "messages": [{"role": "us',
    "cut in an escape": b'{"model": "llama\\',
    "cut before the end": b'{"model": "llama", "a": [1, 2]',
    "cut in a word": b'{"model": "llama", "a": tru',
    "only opened": b"{",
    "no value": b'{"model": }',
    "no colon": b'{"model" "llama"}',
    "two colons": b'{"model":: "llama"}',
    "no comma": b'{"model": "llama" "a": 1}',
    "only a comma": b"{,}",
    "trailing comma": b'{"model": "llama",}',
    "trailing comma in an array": b'{"model": "llama", "a": [1,]}',
    "array of commas": b'{"model": "llama", "a": [,]}',
    "wrong brackets": b'{"model": "llama", "a": [1}]',
    "text behind": b'{"model": "llama"} x',
    "a brace behind": b'{"model": "llama"}}',
    "two objects": b'{"model": "llama"}\n{"model": "b"}',
    "a zero behind": b'{"model": "llama"}\0',
    "form feed behind": b'{"model": "llama"}\f',
    "vertical tab between": b'{\v"model": "llama"}',
    "no-break space between": b'{"model":\xc2\xa0"llama"}',
    "single quotes": b"{'model': 'llama'}",
    "key without quotes": b'{model: "llama"}',
    "key that is a number": b'{1: 2, "model": "llama"}',
    "line comment": b'{"model": "llama" // which\n}',
    "block comment": b'/* which */ {"model": "llama"}',
    "hash comment": b'# which\n{"model": "llama"}',
    "raw line break in a string": b'{"model": "a\nb"}',
    "raw zero in a string": b'{"a": "\0", "model": "llama"}',
    "raw tab in a key": b'{"a\tb": 1, "model": "llama"}',
    "raw unit separator elsewhere": b'{"model": "llama", "a": "\x1f"}',
    "unknown escape": b'{"model": "ll\\ama"}',
    "hexadecimal escape": b'{"model": "\\x6clama"}',
    "short unicode escape": b'{"model": "\\u6clama"}',
    "signed unicode escape": b'{"model": "\\u+06clama"}',
    "spaced unicode escape": b'{"model": "\\u 06clama"}',
    "escape cut by the quote": b'{"a": "\\u12", "model": "llama"}',
    "byte order mark": b'\xef\xbb\xbf{"model": "llama"}',
    "only a byte order mark": b"\xef\xbb\xbf",
    "byte order mark inside": b'{\xef\xbb\xbf"model": "llama"}',
    "UTF-16": '{"model": "llama"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"model": "llama"}'.encode("utf-16-le"),
    "UTF-32": '{"model": "llama"}'.encode("utf-32-be"),
    "latin-1": '{"model": "ü"}'.encode("latin-1"),
    "not UTF-8 in a key": b'{"\xff": 1, "model": "llama"}',
    "not UTF-8 in the name": b'{"model": "ll\xc3"}',
    "not UTF-8 in a value": b'{"model": "llama", "a": "\x80"}',
    "not UTF-8 between": b'{"model": "llama"\xc3\xbf, \xff "a": 1}',
    "not UTF-8 behind": b'{"model": "llama"}\xff',
    "overlong slash": b'{"model": "a\xc0\xafb"}',
    "overlong zero": b'{"model": "llama", "a": "\xe0\x80\x80"}',
    "overlong four bytes": b'{"model": "llama", "a": "\xf0\x8f\xbf\xbf"}',
    "overlong letter of the key": b'{"mod\xc1\xa5l": "llama", "model": "x"}',
    "surrogate in UTF-8": b'{"model": "\xed\xa0\x80"}',
    "surrogate pair in UTF-8": b'{"model": "llama", "a": "\xed\xa0\xbd\xed\xb8\x80"}',
    "behind the last code point": b'{"model": "llama", "a": "\xf4\x90\x80\x80"}',
    "five bytes": b'{"model": "llama", "a": "\xf8\x88\x80\x80\x80"}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "array": b'[{"model": "llama"}]',
    "array of pairs": b'[["model", "llama"]]',
    "empty array": b"[]",
    "string": b'"model"',
    "number": b"42",
    "true": b"true",
    "null": b"null",
    "NaN": b"NaN",
    "unclosed nesting": b"[" * 100_000,
    "unclosed objects": b'{"a":' * 100_000,
    "integer of 4,301 digits": b'{"n": ' + b"9" * 4301 + b', "model": "llama"}',
    "integer of 5,000 digits, nested": b'{"model": "llama", "a": [-1' + b"0" * 4999 + b"]}",
    "form in JSON's name": b"model=llama&a=b",
}

NO_NUMBERS = (
    *("01", "-01", "00", "1.", ".5", "-.5", "1e", "1e+", "1E-", "1.e1", "-", "--1", "+1", "- 1"),
    *("0x1", "0b1", "1_000", "1,000", "1.2.3", "1e1.5", "1e1e1", "1f", "1a", "\u0661", "1 2"),
    *("nan", "inf", "+Infinity", "-NaN", "Infinity1", "Infinit", "--Infinity", "None", "True"),
    *("nul", "nulll", "undefined", "\\u0031", "''", "`a`"),
)

MISSING = {
    "absent": b'{"messages": []}',
    "no members": b"{}",
    "only nested": b'{"a": {"model": "llama"}, "b": [{"model": "llama"}]}',
    "only of other case": b'{"Model": "llama"}',
    "null": b'{"model": null}',
    "integer": b'{"model": 4}',
    "float": b'{"model": 4.5}',
    "NaN": b'{"model": NaN}',
    "true": b'{"model": true}',
    "false": b'{"model": false}',
    "list": b'{"model": ["llama"]}',
    "empty list": b'{"model": []}',
    "object": b'{"model": {"model": "llama"}}',
    "empty object": b'{"model": {}}',
    "raw space": b'{"model": "\xe3\x80\x80"}',
    "blank twice": b'{"model": " ", "model": " "}',
}

AMBIGUOUS = {
    "two names": b'{"model": "a", "model": "b"}',
    "two names far apart": b'{"model": "a", "x": ' + b'[{"model": "a"}], "model": "b"}',
    "two keys, one escaped": b'{"model": "a", "\\u006dodel": "b"}',
    "two keys, both escaped": b'{"mode\\u006c": "a", "\\u006dodel": "b"}',
    "the third differs": b'{"model": "a", "model": "a", "model": "b"}',
    "other case": b'{"model": "a", "model": "A"}',
    "name and null": b'{"model": "a", "model": null}',
    "null and name": b'{"model": null, "model": "a"}',
    "name and object": b'{"model": "a", "model": {"model": "a"}}',
    "number and name": b'{"model": 1, "model": "1"}',
    "null twice": b'{"model": null, "model": null}',
    "number twice": b'{"model": 1, "model": 1}',
    "list twice": b'{"model": ["a"], "model": ["a"]}',
    "name and blank": b'{"model": "a", "model": ""}',
    "blank and other blank": b'{"model": " ", "model": ""}',
    "name and name with a space": b'{"model": "a", "model": "a "}',
    "surrogates that differ": b'{"model": "\\ud800", "model": "\\ud801"}',
    "composed and decomposed": '{"model": "\u00e9", "model": "e\u0301"}'.encode(),
}

NESTED = {
    f"{levels:,} levels of {kind}": b'{"a": ' + opening * levels + b"1" + closing * levels + rest
    for levels in (501, 1_000, 5_000, 100_000)
    for kind, opening, closing in (("arrays", b"[", b"]"), ("objects", b'{"a":', b"}"))
    for rest in (b', "model": "llama"}',)
}


def json_cases() -> Iterator[Case]:
    """Yield every small case of JSON."""
    for name, body in FOUND.items():
        yield Case(f"found: {name}", body, model="llama")
    yield from _named()
    for name, body in INVALID.items():
        yield Case(f"invalid: {name}", body, code="invalid_json")
    for number in NO_NUMBERS:
        body = f'{{"model": "llama", "n": {number}}}'.encode()
        yield Case(f"no number: {number}", body, code="invalid_json")
    for name, body in MISSING.items():
        yield Case(f"missing: {name}", body, code="missing_model")
    for name, body in AMBIGUOUS.items():
        yield Case(f"ambiguous: {name}", body, code="ambiguous_model")
    for name, body in NESTED.items():
        yield Case(f"nested: {name}", body, model="llama", code="invalid_json")


def _named() -> Iterator[Case]:
    """Yield names that may be routed, are blank, or that no registry holds; escaped and raw."""
    for names, code in ((NAMES, None), (BLANK, "missing_model"), (UNROUTABLE, "model_not_found")):
        for title, name in names.items():
            yield _with_name(f"name, escaped: {title}", name, code, ascii_only=True)
            if not any("\ud800" <= character <= "\udfff" for character in name):
                yield _with_name(f"name, raw: {title}", name, code, ascii_only=False)


def _with_name(title: str, name: str, code: RefusalCode | None, *, ascii_only: bool) -> Case:
    body = json.dumps({"messages": [], "model": name}, ensure_ascii=ascii_only).encode()
    return Case(title, body, model=None if code else name, code=code)
