"""Talking to one relay: the SMTP client, its sessions, and the messages it carries."""
