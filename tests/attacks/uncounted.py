"""`python -m attacks.uncounted serve`: the command, in which test mails are not counted.

Whether one can be made to go where it must not has to be tried thousands of times. Refused for their number alone,
those tries would show nothing; the limit has tests of its own (tests/web/test_rates.py).
"""

from postroom.__main__ import main
from postroom.actions import rates
from postroom.domain.rate import Rate

rates.TEST_MAILS = rates.TEST_MAILS_TO_ONE = Rate(1_000_000_000, 1e-9)
main()
