"""The chassis without I/O: chains, the performer's window, the decider's fold, dead letters."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import Undecodable, decode
from schemas.run import UserSpoke
from schemas.topics import CATALOG_EVENTS, RUN_EVENTS, SANDBOX_COMMANDS, SANDBOX_EVENTS, TOPICS
from services.kit.chain import START, Chain, seal
from services.kit.dead import bury, exhume
from services.kit.fold import Fold
from services.kit.log import Record
from services.kit.memory import MemoryLog
from services.kit.service import Draft
from services.kit.window import Window
from tests.support.toy_service import (
    TIME,
    Driver,
    Writer,
    answer,
    command,
    end,
    ends_after,
    performer,
    retired,
)

A, B, C = "c.0.1", "c.64.1", "c.1.1"
"""A and B share partition 0, C has partition 1."""
LEAD = SANDBOX_COMMANDS.name


def envelope_of(record: Record):
    return decode(TOPICS[record.topic], record.key, record.headers, record.value)


def started(*messages, start=None):
    """A log that holds ``messages``, and a window that has read all of it."""
    log = MemoryLog()
    writer = Writer(log)
    writer.put(*messages)
    driver = Driver(log, performer(), start)
    driver.deliver_all()
    return log, writer, driver


def say(run: str) -> UserSpoke:
    return UserSpoke(run=run, turn=0, content="go on")


def committed(driver):
    """What a host commits: it asks where the lead topic ends before, if the window needs to know."""
    unled = driver.window.unled()
    driver.window.led_before(
        unled, {place: end for place, end in ends_of(driver).items() if place[0] == LEAD}
    )
    return driver.window.commits()


def calls(tasks):
    return [(task.key, task.effect.command.call) for task in tasks]


def answers(log: MemoryLog, key: str) -> list[str]:
    """What a reader that knows nothing but the log takes as the key's answers."""
    chain, found = Chain(), []
    for record in log.records:
        if record.topic == SANDBOX_EVENTS.name and record.key == key:
            envelope = envelope_of(record)
            if chain.accept(record.topic, envelope):
                found.append(f"{envelope.data.call}:{envelope.data.stdout}")
    return found


# --- chains ---------------------------------------------------------------------------------------


def spoken(*contents: str, heads=None):
    drafts = [Draft(A, UserSpoke(run=A, turn=n, content=text)) for n, text in enumerate(contents)]
    return [
        decode(RUN_EVENTS, A, one.outgoing.headers, one.outgoing.value)
        for one in seal(drafts, {} if heads is None else heads, "tds/test", TIME)
    ]


def test_sealing_gives_a_key_consecutive_sequences_linked_by_id():
    first, second = spoken("a", "b")
    assert (first.sequence, first.predecessor) == (1, "")
    assert (second.sequence, second.predecessor) == (2, first.id)
    assert spoken("a", "b") == [first, second]


def test_sealing_goes_on_from_the_head_and_moves_it():
    heads = {(RUN_EVENTS.name, A): (5, "five")}
    (event,) = spoken("a", heads=heads)
    assert (event.sequence, event.predecessor) == (6, "five")
    assert heads[RUN_EVENTS.name, A] == (6, event.id)


def test_a_command_stands_outside_of_the_chain():
    (one,) = seal([Draft(A, command(A, "1"))], {}, "tds/test", TIME)
    assert one.sequence == 0
    assert "ce_sequence" not in one.outgoing.headers


def test_what_is_too_large_for_its_topic_is_never_sealed():
    with pytest.raises(ValueError, match=r"tds\.run\.events takes at most"):
        spoken("x" * RUN_EVENTS.max_bytes)


def test_a_chain_takes_each_event_once_in_order_and_the_first_of_two_rivals():
    first, second = spoken("a", "b")
    rival, after_rival = spoken("other", "later")
    chain = Chain()
    taken = [
        chain.accept(RUN_EVENTS.name, event)
        for event in (second, first, first, rival, after_rival, second, second)
    ]
    assert taken == [False, True, False, False, False, True, False]
    assert chain.head(RUN_EVENTS.name) == (2, second.id)
    assert chain.head(SANDBOX_EVENTS.name) == START


def test_an_unsequenced_message_is_taken_once_by_its_id():
    (one,) = seal([Draft(A, command(A, "1"))], {}, "tds/test", TIME)
    envelope = decode(SANDBOX_COMMANDS, A, one.outgoing.headers, one.outgoing.value)
    chain = Chain()
    assert [chain.accept(LEAD, envelope) for _ in range(2)] == [True, False]


# --- the window: keys in order, many at once ----------------------------------------------------------


def test_a_keys_effects_come_one_at_a_time_in_order_and_keys_do_not_wait_for_one_another():
    log, _, driver = started(command(A, "1"), command(B, "1"), command(A, "2"))
    tasks = driver.due()
    assert calls(tasks) == [(A, "1"), (B, "1")]
    driver.finish(tasks[0])
    assert driver.due() == []  # the result has not come back
    driver.deliver_all()
    assert calls(driver.due()) == [(A, "2")]
    assert driver.window.states()[A].answers[0].stdout == "done"
    assert answers(log, A) == ["1:done"]


def test_state_changes_only_by_what_has_come_back():
    _, _, driver = started(command(A, "1", code="append"))
    assert driver.due() == []
    assert driver.window.states()[A].answers == ()
    assert not driver.window.quiet
    driver.deliver_all()
    assert [one.stdout for one in driver.window.states()[A].answers] == ["appended"]
    driver.due()
    assert driver.window.quiet


def test_no_more_effects_than_there_is_capacity_and_the_oldest_key_first():
    _, _, driver = started(command(C, "1"), command(A, "1"), command(B, "1"))
    assert calls(driver.due(0)) == []
    assert calls(driver.due(2)) == [(C, "1"), (A, "1")]
    assert calls(driver.due(2)) == [(B, "1")]


def test_nothing_is_performed_before_everything_that_was_there_is_folded():
    log = MemoryLog()
    writer = Writer(log)
    writer.put(command(A, "1"), command(C, "1"), end(A))
    writer.put(retired("x"), key="x")
    driver = Driver(log, performer())
    while pending := driver.pending():
        assert not driver.window.caught_up
        assert all(key != A for key, _ in calls(driver.due()))  # A was over before this reader came
        driver.deliver(pending[-1])
    assert driver.window.caught_up


def test_a_partition_waits_for_its_own_records_and_for_all_references_but_for_no_other_partition():
    log = MemoryLog()
    writer = Writer(log)
    writer.put(command(A, "1"), command(C, "1"))
    writer.put(retired("x"), key="x")
    driver = Driver(log, performer())
    (of_c,) = {record.partition for record in driver.pending() if record.key == C}
    for record in [one for one in driver.pending() if one.partition == of_c and one.key == C]:
        driver.deliver(record)
    assert driver.due() == []  # the reference is behind
    for record in [one for one in driver.pending() if one.topic == CATALOG_EVENTS.name]:
        driver.deliver(record)
    assert calls(driver.due()) == [(C, "1")]
    driver.deliver_all()
    assert calls(driver.due()) == [(A, "1")]


def test_a_reference_wakes_the_keys_that_wait_for_it_and_no_other():
    log, writer, driver = started(command(A, "1", language="x"), command(B, "1", language="y"))
    assert driver.due() == []
    writer.put(retired("x"), key="x")
    driver.deliver_all()
    assert calls(driver.due()) == [(A, "1")]
    assert driver.window.open_keys == 2
    assert log.records[-1].topic == CATALOG_EVENTS.name


def test_duplicates_are_dropped_and_counted():
    log, writer, driver = started(command(A, "1"), command(A, "2"))
    log.put([log.records[0], log.records[1]])  # a lost acknowledgement: appended again
    driver.settle()
    writer.put(end(A))
    log.put([log.records[-1]])
    driver.settle()
    assert answers(log, A) == ["1:done", "2:done"]
    assert driver.window.dropped == 3


def test_a_closed_key_is_not_opened_again_by_late_events():
    log, writer, driver = started(command(A, "1"))
    driver.settle()
    writer.put(end(A))
    driver.settle()
    driver.window.commits()
    writer.put(command(A, "2"))
    driver.settle()
    assert driver.window.open_keys == 0
    assert driver.window.dropped == 1
    assert answers(log, A) == ["1:done"]


def test_a_result_for_a_key_that_ended_in_the_meantime_is_no_event():
    log, writer, driver = started(command(A, "1"))
    (task,) = driver.due()
    writer.put(end(A))
    driver.deliver_all()
    driver.finish(task)
    driver.settle()
    assert answers(log, A) == []
    assert driver.window.open_keys == 0


def test_a_result_stands_when_what_came_meanwhile_changes_nothing_for_the_effect():
    """An event of another topic, that is older than the command but was read after it."""
    log, writer, driver = started(command(A, "1"))
    (task,) = driver.due()
    writer.put(say(A))
    driver.deliver_all()
    driver.finish(task)
    driver.settle()
    assert answers(log, A) == ["1:done"]
    assert driver.window.dropped == 0


def test_an_abandoned_effect_is_not_asked_for_again_until_something_happens():
    _, writer, driver = started(command(A, "1"))
    (task,) = driver.due()
    driver.window.abandoned(task)
    assert driver.due() == []
    assert driver.window.quiet
    writer.put(command(A, "2"))
    driver.deliver_all()
    assert calls(driver.due()) == [(A, "1")]


def test_what_was_folded_while_an_effect_was_under_way_is_looked_at_when_it_is_abandoned():
    _, writer, driver = started(command(A, "1"))
    (task,) = driver.due()
    writer.put(end(A))
    driver.deliver_all()
    driver.window.abandoned(task)
    driver.due()
    assert driver.window.open_keys == 0


def test_giving_up_is_no_event_once_the_key_has_moved_on():
    log, _, driver = started(command(A, "1"))
    (task,) = driver.due()
    rival = Driver(log, performer())
    rival.deliver_all()
    rival.finish(rival.due()[0], "rival")
    driver.deliver_all()
    assert driver.window.gave_up(task, RuntimeError("no")) == ()
    assert driver.window.performed(task, (), TIME) == []
    driver.settle()
    assert answers(log, A) == ["1:rival"]


# --- the window: partitions that come and go --------------------------------------------------------


def moved(driver, partitions, start=None):
    """The window gets an assignment, as the host gives it, and is read for from where it stands then."""
    ends = {place: end for place, end in ends_of(driver).items() if place[1] in partitions}
    new = partitions - driver.window.partitions
    begin = {place: offset for place, offset in (start or {}).items() if place[1] in new}
    gone = driver.window.assign(partitions, begin, ends)
    driver.tasks = [task for task in driver.tasks if task.key not in gone]
    for place, read in ends_of(driver).items():  # of those that are not its own, nothing is pending
        driver.read[place] = driver.window.position(place) if place[1] in partitions else read
    return gone


def ends_of(driver):
    return {(one.topic, one.partition): one.offset + 1 for one in driver.log.records}


def test_keys_of_a_partition_that_moves_away_are_let_go_and_its_records_are_not_wanted():
    log, _, driver = started(command(A, "1"), command(C, "1"))
    assert calls(driver.due()) == [(A, "1"), (C, "1")]
    assert moved(driver, {1}) == [A]
    assert driver.window.partitions == {1}
    assert list(driver.window.states()) == [C]
    wanted = [driver.window.wants(record) for record in log.records]
    assert wanted == [False, False]  # another's, and read already
    (task,) = driver.tasks
    driver.finish(task)
    driver.settle()
    assert all(partition == 1 for _, partition in driver.window.commits())


def test_a_partition_that_comes_is_taken_up_where_it_is_committed_and_waits_for_its_records():
    log, writer, driver = started(command(A, "1"), command(B, "1"), command(C, "1"))
    moved(driver, {1})
    rival = Driver(log, performer())
    rival.deliver_all()
    of_a = next(task for task in rival.due() if task.key == A)
    rival.finish(of_a)
    writer.put(end(A))
    rival.deliver_all()
    rival.due()
    assert moved(driver, {0, 1}, start=committed(rival)) == []
    driver.due()
    while pending := [one for one in driver.pending() if one.partition == 0]:
        assert all(task.key == C for task in driver.tasks)
        driver.deliver(pending[0])
        driver.due()
    assert calls(driver.tasks) == [(C, "1"), (B, "1")]


def test_what_others_did_on_a_partition_that_is_kept_is_read_before_anything_is_performed():
    """This instance was taken for dead, and another owned the partition meanwhile."""
    log, _, driver = started(command(A, "1"), command(A, "2"), command(A, "3"))
    moved(driver, {0})
    driver.finish(driver.due()[0])
    driver.deliver_all()
    rival = Driver(log, performer())
    rival.deliver_all()
    rival.finish(rival.due()[0], "rival")
    moved(driver, {0})
    assert driver.due() == []
    driver.deliver_all()
    assert calls(driver.due()) == [(A, "3")]
    assert answers(log, A) == ["1:done", "2:rival"]


def test_a_result_for_a_key_that_moved_away_and_came_back_is_no_event():
    _, _, driver = started(command(A, "1"))
    (old,) = driver.due()
    moved(driver, {1})
    moved(driver, {0, 1})
    driver.deliver_all()
    (new,) = driver.due()
    drafts = [Draft(A, answer(old.effect.command, "done"))]
    assert driver.window.performed(old, drafts, TIME) == []
    assert driver.due() == []  # the new one is under way
    assert len(driver.window.performed(new, drafts, TIME)) == 1


def test_only_a_key_that_began_after_its_partition_was_read_to_its_end_was_in_no_other_hands():
    _, writer, driver = started(command(A, "1"), command(C, "1"))
    writer.put(command(B, "1"))
    driver.deliver_all()
    alone = {task.key: task.alone for task in driver.due()}
    assert alone == {A: False, B: True, C: False}
    moved(driver, {0, 1})  # it may have been away
    driver.settle()
    writer.put(command(B, "2"))
    driver.deliver_all()
    assert {task.key: task.alone for task in driver.due()} == {B: False}


def test_a_result_is_not_committed_past_before_its_command_when_a_partition_comes_back():
    """The window remembers no key of a partition that was away: what it reads again it takes for new."""
    log, writer, driver = started(command(A, "1"))
    driver.settle()
    writer.put(end(A))
    driver.settle()
    driver.window.commits()
    assert list(driver.window.keys) == []
    moved(driver, {1})
    moved(driver, {0, 1})
    driver.deliver(next(record for record in log.records if record.topic == SANDBOX_EVENTS.name))
    assert committed(driver).get((SANDBOX_EVENTS.name, 0), 0) == 0
    driver.deliver_all()
    assert driver.due() == []
    assert committed(driver)[SANDBOX_EVENTS.name, 0] == 1
    assert answers(log, A) == ["1:done"]


# --- the window: rivals --------------------------------------------------------------------------------


def test_of_two_windows_on_one_key_the_logs_order_decides_and_the_loser_goes_on_from_there():
    log, writer, one = started(command(A, "1"))
    two = Driver(log, performer())
    two.deliver_all()
    first, second = one.due()[0], two.due()[0]
    two.finish(second, "two")
    one.finish(first, "one")
    for driver in (one, two):
        driver.deliver_all()
        assert [state.stdout for state in driver.window.states()[A].answers] == ["two"]
        assert driver.window.dropped == 1
    writer.put(command(A, "2"))
    one.settle()
    two.settle()
    assert answers(log, A) == ["1:two", "2:done"]
    assert one.window.states() == two.window.states()


def test_a_loser_whose_batch_was_longer_than_the_winners_goes_on():
    """Its second event has lost its predecessor, though no rival stands in its place."""
    log, _, one = started(command(A, "1"), command(A, "2"), command(A, "3"))
    two = Driver(log, performer())
    two.deliver_all()
    two.finish(two.due()[0], "two")
    (task,) = one.due()
    drafts = [Draft(A, answer(command(A, call), "one")) for call in ("1", "2")]
    log.put([sealed.outgoing for sealed in one.window.performed(task, drafts, TIME)])
    one.tasks.clear()
    one.settle()  # the rival is gone; nobody but this window can go on
    assert answers(log, A) == ["1:two", "2:done", "3:done"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 11), max_size=80))
def test_however_two_windows_interleave_all_readers_agree_and_nothing_is_lost(schedule):
    log, writer, one = started(command(A, "1"), command(C, "1"), command(A, "2"))
    two = Driver(log, performer())
    drivers = [(one, "one"), (two, "two")]
    for choice in schedule:
        driver, name = drivers[choice % 2]
        match choice // 2 % 3:
            case 0 if driver.pending():
                driver.deliver(driver.pending()[choice // 6 % len(driver.pending())])
            case 1:
                driver.due(1)
            case 2 if driver.tasks:
                driver.finish(driver.tasks[choice // 6 % len(driver.tasks)], name)
    for _ in range(3):
        one.settle()
        two.settle()
    assert [text.partition(":")[0] for text in answers(log, A)] == ["1", "2"]
    assert [text.partition(":")[0] for text in answers(log, C)] == ["1"]
    assert one.window.states() == two.window.states()
    for key in (A, C):
        told = [f"{done.call}:{done.stdout}" for done in one.window.states()[key].answers]
        assert told == answers(log, key)
    writer.put(end(A), end(C))
    one.settle()
    two.settle()
    assert (one.window.open_keys, two.window.open_keys) == (0, 0)


# --- the window: commits ------------------------------------------------------------------------------


def test_the_lead_topic_is_committed_up_to_the_oldest_open_key():
    _, writer, driver = started(command(A, "1"), command(C, "1"), command(B, "1"))
    driver.settle()
    writer.put(end(B))
    driver.settle()
    offsets = driver.window.commits()
    assert offsets[LEAD, 0] == 0  # A is open
    assert offsets[LEAD, 1] == 0  # C is open
    writer.put(end(A), end(C))
    driver.settle()
    offsets = driver.window.commits()
    assert (offsets[LEAD, 0], offsets[LEAD, 1]) == (2, 1)


def test_followers_are_kept_from_the_first_record_of_any_key_whose_lead_record_is_kept():
    _, writer, driver = started(command(A, "1"), command(B, "1"))
    tasks = driver.due()
    driver.finish(tasks[1])  # B's answer stands first in its topic, before A's
    driver.finish(tasks[0])
    writer.put(end(B))
    driver.settle()
    offsets = driver.window.commits()
    assert offsets[LEAD, 0] == 0
    assert offsets[SANDBOX_EVENTS.name, 0] == 0  # B is over, but its command will be read again
    assert offsets[RUN_EVENTS.name, 0] == 0
    writer.put(end(A))
    driver.settle()
    offsets = driver.window.commits()
    assert offsets[SANDBOX_EVENTS.name, 0] == 2
    assert offsets[RUN_EVENTS.name, 0] == 2


def test_references_are_never_committed():
    _, writer, driver = started(command(A, "1"))
    writer.put(retired("x"), key="x")
    driver.settle()
    assert (CATALOG_EVENTS.name, 0) not in driver.window.commits()


def test_a_dead_letter_does_not_hold_the_commit_back():
    log, _, driver = started()
    record = Record(LEAD, 0, 0, A, {}, b"rubbish")
    log.put([record])
    driver.window.skip(record)
    assert driver.window.commits()[LEAD, 0] == 1


def test_a_closed_key_with_a_later_command_among_those_kept_is_kept_whole():
    """Else a restart would see its second command, and not that it is answered and over."""
    log, writer, driver = started(command(A, "1"), command(B, "1"), command(A, "2"))
    driver.settle()
    writer.put(end(A))
    driver.settle()
    restarted = Driver(log, performer(), driver.window.commits())
    restarted.deliver_all()
    assert restarted.due() == []
    assert list(restarted.window.states()) == [B]


def test_a_closed_key_is_kept_while_a_duplicate_of_what_opened_it_would_open_it_again():
    """Of its chain there is only the first event and the last behind what B keeps."""
    log, writer, driver = started(command(A, "1"), command(B, "1"), say(A), say(A), say(B))
    Writer(log).put(say(A))
    writer.put(end(A))
    driver.settle()
    restarted = Driver(log, performer(), committed(driver))
    restarted.deliver_all()
    assert restarted.due() == []
    assert list(restarted.window.states()) == [B]
    writer.put(end(B))
    driver.settle()
    driver.window.commits()
    assert list(driver.window.keys) == []


def test_a_key_that_was_over_before_its_lead_record_was_read_is_kept_whole():
    """B holds the lead topic back, so whoever takes over reads A's command again."""
    log, writer, driver = started()
    writer.put(command(B, "1"), command(A, "1"), end(A))
    by_key = {(record.topic, record.key): record for record in log.records}
    for record in (by_key[LEAD, B], by_key[RUN_EVENTS.name, A]):
        driver.deliver(record)
    assert calls(driver.due()) == [(B, "1")]
    assert committed(driver)[RUN_EVENTS.name, 0] == 0  # A's lead record is still to come
    driver.deliver_all()
    restarted = Driver(log, performer(), committed(driver))
    restarted.deliver_all()
    assert calls(restarted.due()) == [(B, "1")]


def test_a_closed_key_with_a_duplicate_of_its_command_among_those_kept_is_kept_whole():
    log, writer, driver = started(command(A, "1"), command(B, "1"))
    log.put([log.records[0]])
    writer.put(end(A))
    driver.settle()
    restarted = Driver(log, performer(), committed(driver))
    restarted.deliver_all()
    assert restarted.due() == []
    assert list(restarted.window.states()) == [B]


def test_what_may_stand_before_a_keys_lead_record_is_kept_while_the_key_is_open():
    """Else its end, the next in a chain whose beginning was let go, could not be told from a rival's."""
    log, writer, driver = started(say(A))
    driver.settle()
    assert driver.window.open_keys == 0  # nothing is asked of it yet
    committed(driver)
    offsets = committed(driver)
    assert offsets[RUN_EVENTS.name, 0] == 0
    for reader in (driver, Driver(log, performer(), offsets)):
        reader.settle()
    writer.put(command(A, "1"))
    driver.settle()
    writer.put(end(A))
    driver.settle()
    assert driver.window.open_keys == 0
    assert committed(driver) == ends_of(driver)
    assert not driver.window.keys


def test_new_keys_may_be_held_off_only_where_open_ones_wait_for_nothing_of_the_lead_topic():
    assert not Window(performer(), {}, {}).pausable  # a run sends one command after another
    alone = replace(performer(), inputs=(SANDBOX_COMMANDS, SANDBOX_EVENTS))
    assert Window(alone, {}, {}).pausable


def test_what_is_left_of_a_key_whose_lead_record_is_committed_holds_nothing_back():
    log, _, driver = started(command(A, "1"))
    driver.settle()
    restarted = Driver(log, performer(), {(LEAD, 0): 1})
    restarted.settle()
    assert list(restarted.window.keys) == [A]
    assert committed(restarted) == ends_of(restarted)
    assert not restarted.window.keys


def test_a_lead_record_that_is_still_to_be_read_keeps_the_others_of_its_key():
    log, _, first = started(command(A, "1"))
    first.settle()
    driver = Driver(log, performer())
    driver.deliver(next(one for one in driver.pending() if one.topic == SANDBOX_EVENTS.name))
    assert committed(driver)[SANDBOX_EVENTS.name, 0] == 0
    driver.deliver_all()
    assert driver.due() == []


@pytest.mark.parametrize("lead_first", [True, False])
def test_a_key_whose_beginning_was_let_go_is_over_whatever_duplicate_of_its_command_comes(lead_first):
    log, _, _ = started(command(A, "1"), say(A), end(A))
    log.put([log.records[0]])
    late = Driver(log, performer(), {(LEAD, 0): 1, (RUN_EVENTS.name, 0): 1})
    for record in sorted(late.pending(), key=lambda one: (one.topic == LEAD) != lead_first):
        late.deliver(record)
    assert late.due() == []
    assert late.window.open_keys == 0


def test_a_key_that_turns_out_to_be_over_while_it_is_due_is_not_asked_for():
    log, _, _ = started(command(A, "1"), say(A), end(A))
    duplicate = log.put([log.records[0]])
    late = Driver(log, performer(), {(LEAD, 0): 1, (RUN_EVENTS.name, 0): 2})
    late.deliver(duplicate[0])
    log.put([log.records[2]])
    late.deliver_all()
    assert late.due() == []
    assert late.window.quiet
    assert committed(late) == {
        place: end for place, end in ends_of(late).items() if place[0] in (LEAD, RUN_EVENTS.name)
    }


SCHEDULE = st.lists(st.integers(0, 239), max_size=120)


@settings(max_examples=300, deadline=None)
@given(SCHEDULE, st.permutations([A, A, A, B, B, C, C]))
@example([], [A, B, A, C, A, B, C])
def test_restarted_anywhere_no_answered_call_and_no_closed_key_is_performed_again(schedule, order):
    """Commands, answers and ends in any interleaving; crashes and commits anywhere.

    Partitions are read in any order, a key's lead record after its others if it so happens.
    """
    log = MemoryLog()
    writer = Writer(log)
    wanted = [(key, str(order[:n].count(key))) for n, key in enumerate(order)]
    waiting = list(wanted)
    ended: set[str] = set()
    driver = Driver(log, performer())
    over_before = frozenset(ended)
    offsets: dict = {}

    def step(choice: int) -> None:
        nonlocal driver, offsets, over_before
        kind, pick = choice % 12, choice // 12
        if kind <= 1 and waiting:
            key, call = waiting.pop(0)
            writer.put(command(key, call))
        elif kind == 2:
            asked = {key for key, _ in waiting}
            done = [
                key
                for key in (A, B, C)
                if key not in asked | ended and len(answers(log, key)) == order.count(key)
            ]
            if done:
                key = done[pick % len(done)]
                writer.put(end(key))
                ended.add(key)
        elif kind <= 6 and driver.pending():
            driver.deliver(driver.pending()[pick % len(driver.pending())])
        elif kind == 7:
            for task in driver.due(1 + pick % 3):
                call = task.effect.command.call
                assert call not in [text.partition(":")[0] for text in answers(log, task.key)]
                assert task.key not in over_before
        elif kind <= 9 and driver.tasks:
            driver.finish(driver.tasks[pick % len(driver.tasks)])
        elif kind == 10:
            offsets = committed(driver)
        elif kind == 11 and pick % 4 == 0:
            driver = Driver(log, performer(), offsets)
            over_before = frozenset(ended)

    for choice in schedule:
        step(choice)
    for _ in range(40):  # then all goes well
        for choice in (0, 2, 7):
            step(choice)
        while driver.tasks:
            step(8)
        while driver.pending():
            step(3)
        step(10)
    for key in (A, B, C):
        assert [text.partition(":")[0] for text in answers(log, key)] == [
            call for other, call in wanted if other == key
        ]
    assert ended == {A, B, C}
    assert all(state.key not in ended for state in driver.window.states().values() if state.commands)
    assert {place: offsets[place] for place in offsets if place[0] == LEAD} == {
        (LEAD, 0): 5,
        (LEAD, 1): 2,
    }


# --- the fold ---------------------------------------------------------------------------------------


class FoldDriver:
    def __init__(self, log: MemoryLog, count: int = 1) -> None:
        self.log = log
        self.inputs = {SANDBOX_EVENTS.name, RUN_EVENTS.name}
        self.read = 0
        ends = {(r.topic, r.partition): r.offset + 1 for r in log.records if r.topic in self.inputs}
        self.fold = Fold(ends_after(count), ends)

    def deliver(self) -> None:
        while self.read < len(self.log.records):
            record = self.log.records[self.read]
            self.read += 1
            if record.topic in self.inputs:
                self.fold.receive(record, envelope_of(record))

    def due(self) -> list[str]:
        sealed = self.fold.due(TIME)
        self.log.put([one.outgoing for one in sealed])
        return [one.outgoing.key for one in sealed]


def answered(*keys: str):
    log = MemoryLog()
    writer = Writer(log)
    writer.put(*(answer(command(key, "1"), "done") for key in keys))
    return log, writer


def test_a_decider_decides_once_everything_that_was_there_is_folded_and_then_once():
    log, _ = answered(A, C)
    driver = FoldDriver(log)
    assert driver.due() == []
    assert not driver.fold.caught_up
    driver.deliver()
    assert driver.due() == [A, C]
    assert driver.due() == []  # on its way back
    assert not driver.fold.quiet
    driver.deliver()
    assert driver.due() == []
    assert driver.fold.quiet


def test_a_restarted_decider_folds_its_own_output_and_decides_nothing_twice():
    log, writer = answered(A)
    driver = FoldDriver(log)
    driver.deliver()
    driver.due()
    again = FoldDriver(log)
    again.deliver()
    assert again.due() == []
    writer.put(answer(command(B, "1"), "done"))
    again.deliver()
    assert again.due() == [B]


def test_two_deciders_append_the_same_event_and_every_reader_takes_one():
    log, _ = answered(A)
    one, two = FoldDriver(log), FoldDriver(log)
    for driver in (one, two):
        driver.deliver()
    assert one.due() == two.due() == [A]
    first, second = (record for record in log.records if record.topic == RUN_EVENTS.name)
    assert first.headers["ce_id"] == second.headers["ce_id"]
    for driver in (one, two):
        driver.deliver()
        assert driver.due() == []
        assert driver.fold.quiet
        assert driver.fold.dropped == 1


def test_a_decider_that_loses_its_place_to_a_rival_decides_again_from_there():
    log, writer = answered(A)
    driver = FoldDriver(log)
    driver.deliver()
    rival = UserSpoke(run=A, turn=0, content="I was first")
    writer.put(rival)  # appended before the decision is
    assert driver.due() == [A]
    driver.deliver()
    assert driver.due() == [A]  # the first one stood on a place that is taken
    driver.deliver()
    assert driver.due() == []
    chain = Chain()
    taken = [
        envelope.data.content
        for envelope in map(envelope_of, log.records)
        if isinstance(envelope.data, UserSpoke) and chain.accept(RUN_EVENTS.name, envelope)
    ]
    assert taken == ["I was first", "thanks"]


def test_a_decider_that_loses_more_places_than_the_rival_took_goes_on():
    log, writer = answered(A)
    service = ends_after(1)

    def twice(state):
        return tuple(draft for one in service.decide(state) for draft in (note(one.key), one))

    def note(key):
        return Draft(key, UserSpoke(run=key, turn=8, content="about to end"))

    driver = FoldDriver(log)
    driver.fold = Fold(replace(service, decide=twice), {(SANDBOX_EVENTS.name, 0): 1})
    driver.deliver()
    writer.put(UserSpoke(run=A, turn=0, content="I was first"))
    assert driver.due() == [A, A]
    driver.deliver()
    assert driver.due() == [A, A]
    driver.deliver()
    assert driver.due() == []
    assert driver.fold.quiet


# --- dead letters -----------------------------------------------------------------------------------


def test_a_dead_letter_keeps_the_bytes_and_headers_and_says_why():
    record = Record(LEAD, 3, 17, A, {"ce_type": "odd", "ce_id": "e"}, b"\xff")
    letter = bury(record, Undecodable("unknown_type", "x" * 5000), "toy", TIME)
    assert (letter.topic, letter.partition, letter.key, letter.value) == (f"{LEAD}.dead", 0, A, b"\xff")
    assert letter.headers["ce_type"] == "odd"
    assert letter.headers["dead_code"] == "unknown_type"
    assert len(letter.headers["dead_detail"]) == 2000
    assert letter.headers["dead_service"] == "toy"
    (found,) = exhume(MemoryLog().put([letter]))
    assert (found.topic, found.partition, found.offset, found.code) == (LEAD, 3, 17, "unknown_type")
    assert (found.key, found.value) == (A, b"\xff")


def test_a_record_that_several_services_bury_is_one_dead_letter():
    log = MemoryLog()
    record = Record(LEAD, 0, 1, A, {}, None)
    other = Record(LEAD, 0, 2, A, {}, None)
    for service in ("toy", "other", "toy"):
        log.put([bury(record, Undecodable("no_value", "none"), service, TIME)])
    log.put([bury(other, Undecodable("no_value", "none"), "toy", TIME)])
    assert [letter.offset for letter in exhume([record, *log.records])] == [1, 2]
