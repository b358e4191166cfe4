"""Talking to one relay: the SMTP client, its sessions and their pool, and the check of settings."""
