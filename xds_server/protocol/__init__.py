"""What is sent to a stream, and when? The xDS protocol without I/O: facts in, responses out.

A *session* (`sotw.py`, `delta.py`) is told what happened (`receive` a request, `offer` a snapshot)
and asked for what to write (`next_response`), one response at a time and only while the writer is
free, so that a slow stream skips versions and nothing queues. Its parts:

- a *subscription*: what the client asked for, of one type;
- *holdings*: what the client has by its own words, may have, or refuses, of one type; *suspects*
  are what it refused without saying which;
- a *ledger*: what is on its way and what is still to be sent, of one type;
- *ordering* and *warming*: which type may go now, and which clusters can be used.

Shared by all streams: the *quarantine*, which decides what is served in place of what was refused,
the *archive* of what versions stand for, and the *changes* between snapshots.

Implements the page "xDS REST and gRPC protocol" of Envoy's docs, read at Envoy 1.40.
"""
