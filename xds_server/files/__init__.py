"""Files at one moment, and notifications that they may have changed."""
