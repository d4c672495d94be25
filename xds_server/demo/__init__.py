"""Everything on one machine: servers, companion, control plane and a real Envoy."""
