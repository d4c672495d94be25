"""From a saved registry file to a published snapshot, keeping the last good one."""
