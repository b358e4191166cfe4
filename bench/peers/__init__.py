"""Everybody that is measured, one file each; `inside/` holds what runs in an environment of the contestant's own."""
