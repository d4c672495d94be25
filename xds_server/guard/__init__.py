"""Who may talk to the control plane: certificates, tokens, and the node ids that they allow."""
