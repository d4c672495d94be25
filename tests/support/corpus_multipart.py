"""Bodies that are read as forms (`multipart/form-data`), well-formed and not."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.corpus_case import Case

BOUNDARY = "------------------------d74496d66958873e"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PATH = "/v1/audio/transcriptions"
LINE = b"\r\n"

MODEL = b'Content-Disposition: form-data; name="model"'
FILE = b'Content-Disposition: form-data; name="file"; filename="speech.wav"'
AUDIO_TYPE = b"Content-Type: audio/wav"
# Every byte, and what looks like the edge of a part without being one.
NOISE = random.Random(7).randbytes(3000) + bytes(range(256))
NEAR = b"--" + BOUNDARY.encode()
AUDIO = (
    b"RIFF" + NOISE + b"\n" + NEAR + b"\r\n\r" + NEAR + b"--\r\n" + NEAR[:-1] + b"\r\n--" + NOISE
)


def part(content: bytes, *headers: bytes) -> bytes:
    """Return what stands between two delimiters."""
    return b"".join(header + LINE for header in headers) + LINE + content


def form(
    *parts: bytes, before: bytes = b"", end: bytes = b"--\r\n", boundary: str = BOUNDARY
) -> bytes:
    """Return *parts* between delimiters."""
    delimiter = b"--" + boundary.encode()
    body = b"".join(delimiter + LINE + each + LINE for each in parts)
    return before + body + delimiter + end


SOUND = part(AUDIO, FILE, AUDIO_TYPE)
LLAMA = part(b"llama", MODEL)
OTHER = part(b"other", MODEL)
FORMAT = part(b"json", b'Content-Disposition: form-data; name="response_format"')


def named(disposition: bytes) -> bytes:
    """Return a part with the value `llama` and this Content-Disposition."""
    return part(b"llama", b"Content-Disposition: " + disposition)


FOUND = {
    "model first": form(LLAMA, SOUND, FORMAT),
    "model last": form(SOUND, FORMAT, LLAMA),
    "model alone": form(LLAMA),
    "nothing behind the end": form(LLAMA, end=b"--"),
    "preamble": form(LLAMA, before=b"This is a message in several parts.\r\n"),
    "preamble that is a line break": form(LLAMA, before=b"\r\n"),
    "epilogue": form(LLAMA, end=b"--\r\nThat was it.\r\n" + NEAR + LINE + OTHER),
    "same model twice": form(LLAMA, SOUND, LLAMA),
    "name without quotes": form(named(b"form-data; name=model")),
    "name in other case": form(named(b'Form-Data; NAME="model"')),
    "header in other case": form(part(b"llama", b'content-disposition:form-data; name="model"')),
    "header in capitals": form(part(b"llama", b'CONTENT-DISPOSITION:\tform-data;name="model"  ')),
    "extra headers": form(
        part(b"llama", b"X-Model: other", b"Content-Type: text/plain; charset=utf-8", MODEL, b"A:")
    ),
    "extra parameter": form(named(b'form-data; a="\\"; name=\\"x"; name="model"; b=c')),
    "empty parameters": form(named(b'form-data;; name="model" ; ')),
    "escaped quote in a name before": form(part(b"x", MODEL[:-1] + b'\\""'), LLAMA),
    "harmless transfer encoding": form(part(b"llama", MODEL, b"Content-Transfer-Encoding: 8bit")),
    "file called model": form(part(b"other", MODEL + b'; filename="a"'), LLAMA),
    "file called model, extended": form(part(b"o", MODEL + b"; filename*=UTF-8''a"), LLAMA),
    "file called model, in pieces": form(part(b"o", MODEL + b"; filename*0=a"), LLAMA),
    "odd header name": form(part(b"llama", b'(a)/"b": c', MODEL)),
    "control characters in a header": form(part(b"llama", b"X: \x01\v\x7f\xff", MODEL)),
    "white space of other kinds in quotes": form(named(b'form-data; a="\v\f"; name=model')),
    "parts that are like it": form(
        *(part(b"other", MODEL[:-6] + name) for name in (b'Model"', b'model "', b'models"', b'"')),
        LLAMA,
    ),
    "form in the audio": form(part(form(OTHER, boundary="inner"), FILE), LLAMA),
    "JSON in a part": form(part(b'{"model": "other"}', FILE), LLAMA),
    "empty file": form(part(b"", FILE), LLAMA),
}

INVALID = {
    "cut in the audio": form(LLAMA, SOUND)[:2000],
    "cut before the end": form(LLAMA, SOUND)[:-4],
    "no end": form(LLAMA, end=b"\r\n"),
    "no delimiter": b"llama",
    "JSON": b'{"model": "llama"}',
    "only line breaks": b"\r\n\r\n",
    "other boundary": form(LLAMA, boundary="other"),
    "boundary in other case": form(LLAMA, boundary=BOUNDARY.upper()),
    "line feeds only": form(LLAMA).replace(b"\r\n", b"\n"),
    "line feeds only in the headers": form(MODEL + b"\n\nllama"),
    "carriage returns only": form(LLAMA).replace(b"\r\n", b"\r"),
    "line feeds only before the delimiter": form(LLAMA).replace(b"llama\r\n", b"llama\n"),
    "delimiter with more behind it": form(SOUND, part(b"a\r\n" + NEAR + b"X\r\nb", FILE), LLAMA),
    "delimiter with a space behind it": form(LLAMA).replace(NEAR + b"\r", NEAR + b" \r"),
    "more behind the end": form(LLAMA, end=b"--x"),
    "space behind the end": form(LLAMA, end=b"-- \r\n"),
    "one dash behind the end": form(LLAMA, end=b"-"),
    "part without headers": form(LINE + b"llama", LLAMA),
    "part without an empty line": form(MODEL, LLAMA),
    "empty part": form(b"", LLAMA),
    "content that begins with a delimiter": form(part(NEAR, MODEL)),
    "no disposition": form(part(b"a", b"Content-Type: text/plain"), LLAMA),
    "disposition twice": form(part(b"llama", MODEL, MODEL)),
    "transfer encoding twice": form(
        part(b"a", FILE, *[b"Content-Transfer-Encoding: binary"] * 2), LLAMA
    ),
    "delimiters that share a line break": NEAR + LINE + form(LLAMA),
    "form feed in a parameter": form(named(b"form-data; a=b\fc; name=model")),
    "vertical tab in a parameter's name": form(named(b"form-data; \va=b; name=model")),
    "header name that is not ASCII": form(part(b"llama", b"\xc3\xbc: a", MODEL)),
    "header without a colon": form(part(b"llama", MODEL, b"nonsense")),
    "header with a space before the colon": form(part(b"llama", b"X : y", MODEL)),
    "header without a name": form(part(b"llama", b": y", MODEL)),
    "folded header": form(part(b"llama", b"Content-Disposition: form-data;", b' name="model"')),
    "zero in a header": form(part(b"llama", MODEL, b"X: \0")),
    "line feed in a header": form(part(b"llama", MODEL, b"X: a\nY: b")),
    "attachment": form(named(b'attachment; name="model"')),
    "no name": form(named(b"form-data"), LLAMA),
    "name twice": form(named(b'form-data; name="model"; name="other"')),
    "filename twice": form(part(b"a", FILE + b"; filename=b"), LLAMA),
    "extended name": form(named(b"form-data; name*=UTF-8''model"), LLAMA),
    "name in pieces": form(named(b"form-data; name*0=mod; name*1=el"), LLAMA),
    "name without its quote": form(named(b'form-data; name="model'), LLAMA),
    "name with more behind it": form(named(b'form-data; name="model"x'), LLAMA),
    "name with two words": form(named(b"form-data; name=a model"), LLAMA),
    "space before the equals sign": form(named(b'form-data; name ="model"'), LLAMA),
    "space behind the equals sign": form(named(b'form-data; name= "model"'), LLAMA),
    "nothing behind the equals sign": form(named(b"form-data; name="), LLAMA),
    "parameter without a value": form(named(b"form-data; name"), LLAMA),
    "parameter without a semicolon": form(named(b'form-data name="model"'), LLAMA),
    "value in base64": form(part(b"bGxhbWE=", MODEL, b"Content-Transfer-Encoding: base64")),
    "value quoted-printable": form(
        part(b"ll=61ma", MODEL, b"content-transfer-encoding:QUOTED-PRINTABLE")
    ),
    "name that is not UTF-8": form(part(b"ll\xff", MODEL)),
    "name with a surrogate": form(part(b"\xed\xa0\x80", MODEL)),
    "1,001 parts": form(LLAMA, *[FORMAT] * 1000),
    "headers of more than 8 KiB": form(part(b"llama", MODEL, b"X: " + b"x" * 8192)),
}

MISSING = {
    "no parts": form(),
    "no model": form(SOUND, FORMAT),
    "empty": form(part(b"", MODEL), SOUND),
    "blank": form(part(b" \r\n\t", MODEL), SOUND),
    "blank in Unicode": form(part("\u3000\u00a0".encode(), MODEL)),
    "only a file": form(part(b"llama", MODEL + b'; filename="model.txt"')),
    "only a file without a filename": form(part(b"llama", MODEL + b'; filename=""')),
    "blank twice": form(part(b" ", MODEL), part(b" ", MODEL)),
    "escape that is none": form(named(b'form-data; name="mod\\el"')),
}

AMBIGUOUS = {
    "two models": form(LLAMA, SOUND, OTHER),
    "the third differs": form(LLAMA, LLAMA, OTHER),
    "name and blank": form(LLAMA, part(b"", MODEL)),
}

NAMES = {
    "slash": "openai/whisper-1",
    "unicode": "模型 😀",
    "byte order mark": "\ufeffllama",
    "256 bytes": "x" * 256,
    "quotes": '"llama"',
    "JSON": '{"model": "other"}',
    "delimiter without a line break": "a" + NEAR.decode(),
}

UNROUTABLE = {
    "dash": "-",
    "line break behind": "llama\r\n",
    "line feed inside": "a\nb",
    "zero": "a\0b",
    "space before": " llama",
    "space behind": "llama ",
    "257 bytes": "x" * 257,
    "20 KB": "x" * 20_000,
}

# The body has the boundary `b`.
TYPES = {
    "unquoted": "multipart/form-data; boundary=b",
    "quoted": 'multipart/form-data; boundary="b"',
    "no spaces": "multipart/form-data;boundary=b",
    "other case": "Multipart/FORM-DATA; Boundary=b",
    "spaces": " multipart/form-data \t;\tboundary=b ; ",
    "charset before": "multipart/form-data; charset=utf-8; boundary=b",
    "charset behind": "multipart/form-data; boundary=b; charset=UTF-8",
    "empty parameter": "multipart/form-data; boundary=b;",
}

BAD_TYPES = {
    "no boundary": "multipart/form-data",
    "no boundary but a semicolon": "multipart/form-data;",
    "empty boundary": "multipart/form-data; boundary=",
    "empty quoted boundary": 'multipart/form-data; boundary=""',
    "two boundaries": "multipart/form-data; boundary=b; boundary=b",
    "extended boundary": "multipart/form-data; boundary=b; boundary*=UTF-8''c",
    "boundary without its quote": 'multipart/form-data; boundary="b',
    "boundary with a character that none has": "multipart/form-data; boundary=b@",
    "boundary that ends with a space": 'multipart/form-data; boundary="b "',
    "boundary of 71 characters": "multipart/form-data; boundary=" + "b" * 71,
    "space before the equals sign": "multipart/form-data; boundary =b",
    "more behind the boundary": "multipart/form-data; boundary=b c",
    "two types": "multipart/form-data; boundary=b, multipart/form-data; boundary=b",
}

OTHER_TYPES = ("multipart/mixed; boundary=b", "multipart/form-datax; boundary=b", "multipart/")


def multipart_cases() -> Iterator[Case]:
    """Yield every small case of a form."""
    for name, body in FOUND.items():
        yield Case(f"form: {name}", body, FORM, model="llama", path=PATH)
    for bodies, code in (
        (INVALID, "invalid_multipart"),
        (MISSING, "missing_model"),
        (AMBIGUOUS, "ambiguous_model"),
    ):
        for name, body in bodies.items():
            yield Case(f"form, {code}: {name}", body, FORM, code=code, path=PATH)
    for title, name in NAMES.items():
        body = form(SOUND, part(name.encode(), MODEL))
        yield Case(f"form, name: {title}", body, FORM, model=name, path=PATH)
    for title, name in UNROUTABLE.items():
        body = form(SOUND, part(name.encode(), MODEL))
        yield Case(f"form, name: {title}", body, FORM, code="model_not_found", path=PATH)
    yield from _types()


def _types() -> Iterator[Case]:
    body = form(LLAMA, boundary="b")
    for name, kind in TYPES.items():
        yield Case(f"form, type: {name}", body, kind, model="llama", path=PATH)
    for name, kind in BAD_TYPES.items():
        yield Case(f"form, type: {name}", body, kind, code="invalid_multipart", path=PATH)
    for kind in OTHER_TYPES:
        yield Case(f"form, type: {kind}", body, kind, code="invalid_json", path=PATH)
    odd = "0aZ'()+_,-./:=?"
    for kind in (
        f'multipart/form-data; boundary="{odd} {odd}"',
        f"multipart/form-data; boundary={odd}",
    ):
        marked = kind.partition("boundary=")[2].strip('"')
        yield Case(
            f"form, type: {kind}", form(LLAMA, boundary=marked), kind, model="llama", path=PATH
        )
    long = "b" * 70
    yield Case(
        "form, type: boundary of 70 characters",
        form(LLAMA, boundary=long),
        f"multipart/form-data; boundary={long}",
        model="llama",
        path=PATH,
    )
