"""A flood of refused requests is no flood of log lines."""

from __future__ import annotations

from xds_server.line_budget import LINES_PER_S, LineBudget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(budget: LineBudget, count: int, kind: str = "a") -> list[int]:
    """Ask for *count* lines; return what was told with each that was allowed."""
    told = [budget.take(kind) for _ in range(count)]
    return [left_out for left_out in told if left_out is not None]


def test_a_few_lines_are_all_written():
    assert taken(LineBudget(Clock()), LINES_PER_S) == [0] * LINES_PER_S


def test_a_flood_is_cut_and_the_next_line_tells_how_many_were_left_out():
    clock = Clock()
    budget = LineBudget(clock)

    assert len(taken(budget, 1000)) == LINES_PER_S
    clock.now += 0.9
    assert taken(budget, 10) == []
    clock.now += 0.1
    assert taken(budget, 2) == [1010 - LINES_PER_S, 0]


def test_each_kind_has_lines_of_its_own():
    budget = LineBudget(Clock())
    taken(budget, 1000)

    assert taken(budget, 1, "b") == [0]


def test_a_long_silence_saves_no_lines_up():
    clock = Clock()
    budget = LineBudget(clock)
    taken(budget, 1)
    clock.now += 3600

    assert len(taken(budget, 1000)) == LINES_PER_S
