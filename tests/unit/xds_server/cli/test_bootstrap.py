"""`modelyard bootstrap`: what it prints, and what it takes for wrong usage."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from xds_server.cli import main


def bootstrap(*arguments: str, **environment: str):
    return CliRunner().invoke(main, ["bootstrap", *arguments], env=environment)


def test_what_it_prints_is_yaml_and_nothing_else():
    printed = bootstrap("--node-id", "envoy-1")

    assert printed.exit_code == 0
    assert yaml.safe_load(printed.stdout)["node"] == {"id": "envoy-1", "cluster": "default"}
    assert not printed.stderr


def test_each_option_is_in_what_it_prints():
    printed = bootstrap(
        "--node-id", "envoy-1",
        "--node-cluster", "edge",
        "--xds-address", "xds.example.com:1",
        "--ext-proc-address", "[::1]:2",
        "--admin-address", "[::1]:3",
        "--variant", "sotw",
    )  # fmt: skip

    for part in ('"edge"', '"xds.example.com"', '"::1"', ": 1\n", ": 2\n", ": 3\n", ": GRPC\n"):
        assert part in printed.stdout


def test_each_option_may_come_from_the_environment():
    printed = bootstrap(
        MODELYARD_NODE_ID="envoy-7",
        MODELYARD_NODE_CLUSTER="edge",
        MODELYARD_XDS_ADDRESS="xds.example.com:1",
        MODELYARD_EXT_PROC_ADDRESS="unix:/x.sock",
        MODELYARD_ADMIN_ADDRESS="[::1]:3",
        MODELYARD_VARIANT="sotw",
    )

    assert printed.stdout == bootstrap(
        "--node-id", "envoy-7",
        "--node-cluster", "edge",
        "--xds-address", "xds.example.com:1",
        "--ext-proc-address", "unix:/x.sock",
        "--admin-address", "[::1]:3",
        "--variant", "sotw",
    ).stdout  # fmt: skip


def test_a_relative_socket_stays_relative():
    printed = bootstrap("--node-id", "envoy-1", "--ext-proc-address", "unix:ext-proc.sock")

    assert 'path: "ext-proc.sock"' in printed.stdout


def test_several_companions_may_be_named():
    printed = bootstrap(
        "--node-id", "envoy-1",
        "--ext-proc-address", "unix:/a.sock",
        "--ext-proc-address", "127.0.0.1:4321",
    )  # fmt: skip

    assert printed.stdout.index('path: "/a.sock"') < printed.stdout.index(": 4321\n")


@pytest.mark.parametrize(
    "value",
    [
        "unix:/a.sock 127.0.0.1:4321",
        "unix:/a.sock,127.0.0.1:4321",
        " unix:/a.sock,  127.0.0.1:4321,",
    ],
)
def test_in_the_environment_spaces_or_commas_stand_between_companions(value):
    printed = bootstrap("--node-id", "envoy-1", MODELYARD_EXT_PROC_ADDRESS=value)

    assert printed.stdout == bootstrap(
        "--node-id", "envoy-1",
        "--ext-proc-address", "unix:/a.sock",
        "--ext-proc-address", "127.0.0.1:4321",
    ).stdout  # fmt: skip


def test_several_control_planes_may_be_named():
    printed = bootstrap("--node-id", "envoy-1", "--xds-address", "a:1", "--xds-address", "b:2")

    assert printed.stdout.index('address: "a"') < printed.stdout.index('address: "b"')
    assert (
        printed.stdout == bootstrap("--node-id", "envoy-1", MODELYARD_XDS_ADDRESS="a:1,b:2").stdout
    )


@pytest.mark.parametrize(
    ("values", "reason"), [("a:1 b:2 a:1", "a:1 is given twice"), (",", "names no control plane")]
)
def test_control_planes_that_cannot_stand_together_are_wrong_usage(values, reason):
    printed = bootstrap("--node-id", "envoy-1", MODELYARD_XDS_ADDRESS=values)

    assert printed.exit_code == 2
    assert reason in printed.stderr


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("unix:/a.sock unix:/a.sock", "unix:/a.sock is given twice"),
        ("127.0.0.1:4321 127.0.0.1:4321", "127.0.0.1:4321 is given twice"),
        ("localhost:1 unix:/a.sock", "unix:/a.sock and localhost:1 cannot stand together"),
        (",", "names no companion"),
    ],
)
def test_companions_that_cannot_stand_together_are_wrong_usage(values, reason):
    printed = bootstrap("--node-id", "envoy-1", MODELYARD_EXT_PROC_ADDRESS=values)

    assert printed.exit_code == 2
    assert not printed.stdout
    assert reason in printed.stderr


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--node-id", "", "must not be empty"),
        ("--node-id", " ", "must not be empty"),
        ("--node-id", "a\nb", "holds characters that cannot be printed"),
        ("--node-id", "\udcff", "holds characters that cannot be printed"),
        ("--node-cluster", "", "must not be empty"),
        ("--xds-address", "18000", "is not HOST:PORT"),
        ("--xds-address", "::1:18000", "is not HOST:PORT"),
        ("--xds-address", "127.0.0.1:0", "nothing can be reached at port 0"),
        ("--ext-proc-address", "/run/x.sock", "nor is it unix:/path/to.sock"),
        ("--ext-proc-address", "unix:", "names no file"),
        ("--ext-proc-address", f"unix:/{'x' * 107}", "at most 107 bytes"),
        ("--ext-proc-address", "127.0.0.1:0", "nothing can be reached at port 0"),
        ("--admin-address", "localhost:9901", "Envoy listens on IP addresses only"),
        ("--variant", "rest", "is not one of"),
    ],
)
def test_a_value_that_cannot_work_is_wrong_usage(option, value, reason):
    printed = bootstrap("--node-id", "envoy-1", option, value)

    assert printed.exit_code == 2
    assert not printed.stdout
    assert f"Invalid value for '{option}'" in printed.stderr
    assert reason in printed.stderr


def test_an_envoy_without_a_name_is_wrong_usage():
    printed = bootstrap()

    assert printed.exit_code == 2
    assert "Missing option '--node-id'" in printed.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:9901", "127.8.8.8:1", "[::1]:9901", "unix:/a.sock"])
def test_the_admin_interface_may_be_where_only_this_machine_reaches_it(address):
    assert bootstrap("--node-id", "envoy-1", "--admin-address", address).exit_code == 0


@pytest.mark.parametrize("address", ["0.0.0.0:9901", "[::]:9901", "10.0.0.1:9901"])
def test_elsewhere_it_may_be_only_if_that_is_said(address):
    refused = bootstrap("--node-id", "envoy-1", "--admin-address", address)
    meant = bootstrap("--node-id", "envoy-1", "--admin-address", address, "--expose-admin")

    assert refused.exit_code == 2
    assert "can be reached from other machines" in refused.stderr
    assert "--expose-admin" in refused.stderr
    assert meant.exit_code == 0


def overload(*arguments: str) -> list[int]:
    """Return the bounds of memory and of connections."""
    printed = yaml.safe_load(bootstrap("--node-id", "envoy-1", *arguments).stdout)
    heap, connections = (
        m["typed_config"] for m in printed["overload_manager"]["resource_monitors"]
    )
    return [heap["max_heap_size_bytes"], connections["max_active_downstream_connections"]]


def test_memory_and_connections_have_bounds_that_can_be_changed():
    assert overload("--open-files", "1000000") == [2 * 2**30, 50_000]
    assert overload("--max-heap", "512MiB", "--max-connections", "10") == [512 * 2**20, 10]


@pytest.mark.parametrize(("files", "connections"), [(1_000_000, 50_000), (20_512, 10_000), (1, 16)])
def test_there_are_no_more_connections_than_open_files_allow(files, connections):
    assert overload("--open-files", str(files))[1] == connections


def test_more_connections_than_that_are_taken_with_a_warning():
    printed = bootstrap("--node-id", "envoy-1", "--open-files", "1024", "--max-connections", "1000")

    assert printed.exit_code == 0
    assert printed.stderr.startswith("warning: 1000 connections may need twice as many open files")


@pytest.mark.parametrize("size", ["1MiB", "lots", "0"])
def test_memory_that_envoy_cannot_start_with_is_wrong_usage(size):
    assert bootstrap("--node-id", "envoy-1", "--max-heap", size).exit_code == 2
