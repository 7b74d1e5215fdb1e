# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done for a group, and when."""

from __future__ import annotations

import pytest
from cloudvip.keeping import Keeping, Task


class World:
    """A group on a node, and what it does in a time of which nothing passes by itself."""

    def __init__(self) -> None:
        self.keeping = Keeping()
        self.now = 100.0
        self.done: list[tuple[float, Task]] = []
        # So many claims fail; whether the cloud delivers elsewhere, for which an audit lets go; whether a claim stands.
        self.failures = 0
        self.elsewhere = False
        self.held = True

    def pass_time(self, seconds: float) -> list[tuple[float, Task]]:
        """Do what is due within so many seconds; when, from the start of them, and what."""
        start, end = self.now, self.now + seconds
        done: list[tuple[float, Task]] = []
        while (due := self.keeping.next()) is not None and due[0] <= end:
            self.now = max(self.now, due[0])
            self.keeping.begin(due[1])
            done.append((round(self.now - start, 3), due[1]))
            self._do(due[1])
        self.now = end
        return done

    def _do(self, task: Task) -> None:
        if task is Task.CLAIM:
            self.failures -= 1
            self.held = self.failures < 0
            self.keeping.claimed(self.now, self.held)
        elif task is Task.RELEASE:
            self.keeping.released(self.now, success=True)
        elif task is Task.CHECK:
            self.keeping.checked(self.now, self.elsewhere)
        elif task is Task.MONITOR:
            self.keeping.monitored(self.now, self.held)
        elif task is Task.AUDIT:
            self.held = self.held and not self.elsewhere
            self.keeping.audited(self.now, self.held)


def times(done: list[tuple[float, Task]], task: Task) -> list[float]:
    return [at for at, what in done if what is task]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def holder(world: World) -> World:
    """Master for a minute already."""
    world.keeping.promote(world.now)
    world.pass_time(60)
    return world


def test_a_backup_has_nothing_to_do(world: World) -> None:
    assert world.keeping.next() is None
    world.keeping.contest(world.now)
    assert world.pass_time(1000) == []


def test_a_new_master_claims_at_once_and_looks_again_while_the_old_one_may_still_have_a_request_under_way(
    world: World,
) -> None:
    world.keeping.promote(world.now)

    done = world.pass_time(20)

    assert done[0] == (0.0, Task.CLAIM)
    assert times(done, Task.CLAIM) == [0.0]
    assert times(done, Task.CHECK) == [1.0, 3.0, 9.0]


def test_a_holder_looks_at_its_interfaces_often_and_at_the_cloud_rarely(holder: World) -> None:
    done = holder.pass_time(60)

    assert len(times(done, Task.MONITOR)) == 12
    assert len(times(done, Task.AUDIT)) == 2
    assert len(done) == 14


def test_a_claim_that_fails_is_tried_for_as_long_as_it_is_master(world: World) -> None:
    world.failures = 6
    world.keeping.promote(world.now)

    assert times(world.pass_time(60), Task.CLAIM) == [0.0, 1.0, 3.0, 7.0, 12.0, 17.0, 22.0]


def test_what_was_due_is_void_when_it_is_not_master_any_more(world: World) -> None:
    world.failures = 100
    world.keeping.promote(world.now)
    world.pass_time(5)
    before = world.keeping.generation

    assert world.keeping.demote(world.now)

    assert world.keeping.generation > before
    assert world.pass_time(1000) == []


def test_a_master_that_was_one_already_when_the_program_started_looks_before_it_claims(world: World) -> None:
    world.keeping.promote(world.now, claimed=True)

    done = world.pass_time(20)

    assert done[0] == (0.0, Task.CHECK)
    assert times(done, Task.CLAIM) == []


def test_what_another_master_took_in_a_flap_is_taken_back_at_once(holder: World) -> None:
    holder.elsewhere = True
    holder.keeping.contest(holder.now)

    done = holder.pass_time(0.5)

    assert [task for _, task in done] == [Task.CHECK, Task.CLAIM]


def test_a_request_of_the_other_master_that_lands_late_is_noticed(holder: World) -> None:
    holder.keeping.contest(holder.now)
    assert times(holder.pass_time(2), Task.CLAIM) == []

    holder.elsewhere = True
    done = holder.pass_time(1.5)

    assert times(done, Task.CLAIM) == [1.0]


def test_adverts_of_another_master_that_come_all_the_time_do_not_become_as_many_calls(holder: World) -> None:
    checks = 0
    for _ in range(600):
        holder.keeping.contest(holder.now)
        checks += len(times(holder.pass_time(0.1), Task.CHECK))

    # Each second for a quarter of a minute, then each five.
    assert 20 <= checks <= 26


@pytest.mark.parametrize("words", [300, 310, 320, 330, 340])
def test_what_was_taken_in_the_last_of_many_flaps_is_taken_back_as_soon(holder: World, words: int) -> None:
    for _ in range(words):
        holder.keeping.contest(holder.now)
        holder.pass_time(0.1)
    holder.elsewhere = True

    assert times(holder.pass_time(5), Task.CLAIM)[0] <= 1.0


def test_two_masters_that_do_not_see_each_other_do_not_fight(holder: World) -> None:
    """The other half takes back whatever this one takes."""
    claims = 0
    holder.elsewhere = True
    for _ in range(570):
        claims += len(times(holder.pass_time(1), Task.CLAIM))

    assert claims == 1


def test_a_fight_that_was_given_up_is_settled_when_they_see_each_other(holder: World) -> None:
    holder.elsewhere = True
    holder.pass_time(125)
    holder.keeping.contest(holder.now)

    assert times(holder.pass_time(5), Task.CLAIM)[:1] == [0.0]


def test_a_group_that_was_let_go_is_tried_again_when_the_other_half_may_be_gone(holder: World) -> None:
    holder.elsewhere = True
    holder.pass_time(120)
    holder.elsewhere = False

    assert len(times(holder.pass_time(600), Task.CLAIM)) == 1


def test_what_is_lost_each_time_is_claimed_every_ten_minutes(holder: World) -> None:
    """The other half takes it back 40 seconds after each claim."""
    claims: list[float] = []
    for second in range(2000):
        holder.elsewhere = not claims or second >= claims[-1] + 40
        claims += [second + at for at in times(holder.pass_time(1), Task.CLAIM)]

    assert [later - claims[0] for later in claims] == [0, 600, 1200, 1800]


def test_a_group_that_is_lost_again_much_later_is_taken_back_at_once(holder: World) -> None:
    for _ in range(2):
        holder.elsewhere = True
        holder.pass_time(30)
        holder.elsewhere = False
        holder.pass_time(3600)
    holder.elsewhere = True

    assert len(times(holder.pass_time(31), Task.CLAIM)) == 1


def test_a_release_that_failed_is_tried_again(holder: World) -> None:
    holder.keeping.demote(holder.now)
    holder.keeping.released(holder.now, success=False)

    assert holder.pass_time(60) == [(1.0, Task.RELEASE)]


def test_what_a_person_released_is_claimed_again(holder: World) -> None:
    holder.held = False

    assert len(times(holder.pass_time(6), Task.CLAIM)) == 1


def test_while_the_engines_are_switched_a_release_waits_for_the_other_one(holder: World) -> None:
    assert not holder.keeping.demote(holder.now, spare=30)

    assert holder.pass_time(60) == [(30.0, Task.RELEASE)]


def test_a_release_that_waits_is_void_when_it_is_master_again(holder: World) -> None:
    holder.keeping.demote(holder.now, spare=30)
    holder.pass_time(2)
    holder.keeping.promote(holder.now)

    assert Task.RELEASE not in [task for _, task in holder.pass_time(60)]
