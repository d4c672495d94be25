"""What outlives the control plane: good registries, and what Envoys were told and refused."""
