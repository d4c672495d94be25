"""What a registry names but does not hold: contents of files and variables, and their changes."""
