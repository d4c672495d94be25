"""What outlives the control plane: the last good registries, and what Envoys were told last."""
