"""An OpenAI-compatible model server without a model, for demos and tests."""
