"""What someone may ask for: each action is one permission check, one transaction and one audit line."""
