"""The two images of the compose tests: a base to build on, and ours as the Dockerfile makes it.

The base is the one that the Dockerfile names, where it can be pulled; elsewhere a minimal system
of the host's own distribution, from the mirror that apt already uses. Either way the host's
certificate authorities and pip settings are added: what installs here, installs in a build.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import platform
import subprocess
import tarfile
import tempfile
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, ImageNotFound

ROOT = Path(__file__).resolve().parents[2]
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LABEL = "modelyard.tests"
MODELYARD = "modelyard:local"  # as compose.yaml calls it
PULLED = "python:3.12-slim"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "default-timeout", "retries")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")  # known to Docker in either case
NOT_NEEDED = (
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "usr/share/doc/*",
    "usr/share/locale/*",
    "usr/share/man/*",
)


class ImageError(Exception):
    """An image could not be made."""


def base_image(client: docker.DockerClient) -> str:
    """Return the name of the base image; it is made only if this daemon does not have it yet."""
    additions = _additions()
    digest = hashlib.sha256(repr(sorted(additions.items())).encode()).hexdigest()[:12]
    name = f"modelyard-base:{digest}"
    if not _has(client, name):
        distribution = _distribution_image(client)
        lines = [f"FROM {distribution}", *(f"COPY {path} /{path}" for path in sorted(additions))]
        context = _tar({"Dockerfile": "\n".join(lines).encode(), **additions})
        _build(client, name, fileobj=context, custom_context=True)
    return name


def modelyard_image(client: docker.DockerClient) -> str:
    """Build our image from the working tree; unchanged layers come from the cache."""
    proxies = {name: value for name, value in os.environ.items() if name.lower() in PROXY_VARIABLES}
    arguments = {"BASE_IMAGE": base_image(client), **proxies}
    _build(client, MODELYARD, path=str(ROOT), buildargs=arguments)
    return MODELYARD


def envoy_image(client: docker.DockerClient, name: str) -> str:
    """Build an image *name* with Envoy and without Modelyard: a stand-in for Envoy's own."""
    binary = "/opt/modelyard/lib/python3*/site-packages/envoy/_bin/envoy"
    lines = (
        f"FROM {MODELYARD} AS modelyard",
        f"FROM {base_image(client)}",
        f"COPY --from=modelyard {binary} /usr/bin/",
    )
    context = _tar({"Dockerfile": "\n".join(lines).encode()})
    _build(client, name, fileobj=context, custom_context=True)
    return name


def _has(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _distribution_image(client: docker.DockerClient) -> str:
    """Return an image with Python in it: here already, pulled, or made from packages."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    made = f"modelyard-debootstrap:{codename}"
    for name in (PULLED, made):
        if _has(client, name):
            return name
    try:
        client.images.pull(PULLED)
    except APIError as error:
        print(f"{PULLED} cannot be pulled ({error.explanation}); making a base from packages")
    else:
        return PULLED
    _debootstrap(client, made, codename)
    return made


def _debootstrap(client: docker.DockerClient, name: str, codename: str) -> None:
    """Import a minimal system with Python as image *name*."""
    repository, tag = name.split(":")
    # Not under /tmp, which may be mounted so that device files do not work.
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="modelyard-base-") as directory:
        include = "--include=python3,python3-venv,ca-certificates"
        command = [
            "debootstrap",
            "--variant=minbase",
            include,
            codename,
            directory,
            _mirror(codename),
        ]
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode != 0:
            raise ImageError(f"debootstrap failed:\n{made.stdout[-2000:]}{made.stderr}")
        excluded = [f"--exclude=./{pattern}" for pattern in NOT_NEEDED]
        with subprocess.Popen(
            ["tar", "-C", directory, *excluded, "-c", "."], stdout=subprocess.PIPE
        ) as tar:
            client.api.import_image_from_stream(tar.stdout, repository=repository, tag=tag)
        if tar.returncode != 0:
            raise ImageError("the base image could not be packed")


def _mirror(codename: str) -> str:
    """Return the mirror from which apt takes the main packages of this distribution."""
    fields = "$(SITE)|$(RELEASE)|$(CODENAME)|$(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    targets = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for line in targets.stdout.splitlines():
        site, *suites, component = line.split("|")
        if codename in suites and component == "main":
            return site
    raise ImageError(f"apt has no source for {codename} main: cannot make a base image")


def _additions() -> dict[str, bytes]:
    """Return the files of the host, by path, without which downloads in a build may fail."""
    files = {"etc/pip.conf": _pip_settings()}
    if CA_BUNDLE.exists():
        files[str(CA_BUNDLE.relative_to("/"))] = CA_BUNDLE.read_bytes()
    return files


def _pip_settings() -> bytes:
    """Return a pip.conf that says what the host's files and environment say about downloads."""
    lines = ["[global]"]
    if CA_BUNDLE.exists():
        lines.append(f"cert = {CA_BUNDLE}")
    listed = subprocess.run(
        [ROOT / ".venv/bin/pip", "config", "list"], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        setting = key.rpartition(".")[2]
        if setting in PIP_SETTINGS:
            lines.append(f"{setting} = " + "\n  ".join(ast.literal_eval(value).split()))
    return "\n".join(lines).encode() + b"\n"


def _tar(files: dict[str, bytes]) -> io.BytesIO:
    """Return a build context that holds *files*."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed


def _build(client: docker.DockerClient, name: str, **context: object) -> None:
    """Build an image, or raise ImageError with the end of what the build said."""
    settings = {"network_mode": "host", "labels": {LABEL: name}, "rm": True, "forcerm": True}
    try:
        client.images.build(tag=name, **settings, **context)
    except BuildError as error:
        said = "".join(part.get("stream", "") for part in error.build_log)
        raise ImageError(f"{error.msg}\n{said[-4000:]}") from error
    # What had this name before; layers that the new one shares with it stay.
    client.images.prune(filters={"dangling": True, "label": f"{LABEL}={name}"})
