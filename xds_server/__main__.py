"""`python -m xds_server` is `modelyard`."""

from xds_server.cli import main

main()
