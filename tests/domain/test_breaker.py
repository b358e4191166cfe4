"""How a lane rests, probes and comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.breaker import FULL_PACE, PROBE, most_at_once, next_pace, rest, widened
from postroom.domain.delivery import SECOND, Scope

dice = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), dice)
def test_a_lane_whose_relay_is_away_rests_between_seconds_and_minutes(failures: int, chance: float):
    assert 3 * SECOND < rest(Scope.RELAY, failures, chance) <= 750 * SECOND
    assert rest(Scope.RELAY, failures, chance) <= rest(Scope.RELAY, failures + 1, chance)


@given(st.integers(1, 10_000), dice)
def test_wrong_settings_are_tried_at_most_three_times_an_hour(failures: int, chance: float):
    assert 3600 * SECOND / 3 <= rest(Scope.PROFILE, failures, chance) <= 3600 * SECOND


def test_the_dice_spread_rests_by_a_quarter_either_way():
    assert [rest(Scope.RELAY, 3, chance) for chance in (0.0, 0.5, 1.0)] == [15 * SECOND, 20 * SECOND, 25 * SECOND]


def test_a_lane_that_fails_gives_out_one_probe_whatever_its_pace():
    assert [most_at_once(1, pace) for pace in (None, 1, 64)] == [PROBE] * 3
    assert [most_at_once(0, pace) for pace in (None, 2, 64)] == [None, 2, 64]


def test_a_slow_start_doubles_each_time_that_all_of_it_has_gone_through():
    window, pace, rounds = 2, 2, [2]
    while pace is not None:
        for _ in range(window):
            window = widened(window, starting_slowly=True)
        pace = next_pace(pace, window)
        rounds.append(window)
    assert rounds == [2, 4, 8, 16, 32, 64, 128, 256, FULL_PACE]


@pytest.mark.parametrize("window", [1, 20, 399, 400])
def test_where_nothing_failed_a_window_doubles_with_each_success(window: int):
    assert widened(window, starting_slowly=False) == min(2 * window, FULL_PACE)
    assert next_pace(None, window) is None
