"""What Postroom means by its words. Standard library only (and `idna`): no I/O, no clock, no framework."""
