"""What is sent to a stream, and when? The xDS protocol without I/O: facts in, responses out.

A *session* (`sotw.py`, `delta.py`) is told what happened (`receive` a request, `offer` a snapshot)
and asked for what to write (`next_response`), one response at a time and only while the writer is
free, so that a slow stream skips versions and nothing queues. A *ledger* is its record of one type:
what the client holds, what is on its way, what is still to be sent. A *subscription* is what the
client asked for. *Ordering* says which type may go now. The *quarantine* is shared by all streams
and knows what was refused.

Implements the page "xDS REST and gRPC protocol" of Envoy's docs, read at Envoy 1.40.
"""
