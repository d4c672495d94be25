"""The operator's file: its schema, and the loader that names every wrong place."""
