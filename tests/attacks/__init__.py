"""Attacks on the whole product, each suite a table and a driver. A row that is missing makes a test fail: what is not
listed is not safe. `./test -m campaign tests/attacks` runs the full numbers."""
