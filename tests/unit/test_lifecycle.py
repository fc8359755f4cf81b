"""The rules of evidence, one by one, from the words of docs/lifecycle.md."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from payroc_async.errors import APIError, ResponseFormatError
from payroc_async.instructions.lifecycle import (
    Durable,
    Existence,
    Outcome,
    Phase,
    Seen,
    State,
    Wish,
    begin,
    clock,
    durable,
    step,
    take_over,
    weigh,
)
from payroc_async.wire.protocol import Answer, decipher_success
from tests.model.table import reachable

OWN = "own problem document"
REQUESTS = [Phase.SUBMIT, Phase.POLL, Phase.CANCEL, Phase.PROBE, Phase.READ]
TRANSIENT = (408, 425, 429)
FAILURES = [Seen.REFUSED, Seen.UNCLEAR, Seen.NOT_SENT, Seen.HOPELESS, Seen.HELD]
NEW = begin(journaled=False, detachable=False, key_is_callers=False)


def after(state: State, *seen: Seen) -> State:
    """The state after all that was seen."""
    for one in seen:
        state = step(state, one)
    return state


def submitting(
    *, journaled: bool = False, detachable: bool = False, own_key: bool = False
) -> State:
    """A sale whose POST is out for the first time."""
    state = begin(journaled=journaled, detachable=detachable, key_is_callers=own_key)
    return after(state, Seen.RECORDED)


def polling(*, journaled: bool = False, detachable: bool = False) -> State:
    """A sale whose id is known."""
    return after(submitting(journaled=journaled, detachable=detachable), Seen.IN_PROGRESS)


# What a failed request proves ----------


def own_problem(status: int) -> bytes:
    """A problem document as the gateway writes it."""
    return (
        b'{"type":"https://docs.payroc.com/api/errors#an-error","title":"An error","status":%d,'
        b'"detail":"The request was not done"}' % status
    )


BODIES: dict[str, Callable[[int], bytes]] = {
    OWN: own_problem,
    "HTML": lambda status: b"<html><h1>%d</h1></html>" % status,
    "empty body": lambda status: b"",
    "garbage": lambda status: b"\x1f\x8b\x00{",
    "another's problem": lambda status: b'{"type":"about:blank","status":%d}' % status,
    "problem of another status": lambda status: own_problem(status + 1),
}


def is_own(status: int, body: bytes) -> bool:
    """Whether the answer, read as in a sale, is the gateway's own."""
    try:
        decipher_success(Answer(status, {}, body))
    except APIError as error:
        return error.own
    except ResponseFormatError:
        pass
    return False


@pytest.mark.parametrize("phase", REQUESTS, ids=lambda phase: phase.name)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("held", [False, True])
def test_e2_what_an_answer_proves(phase: Phase, body: str, held: bool) -> None:
    """E2: only an own 4xx refuses, but for 408, 425 and 429; a held 408 or 504 changes nothing."""
    for status in range(100, 600):
        own = is_own(status, BODIES[body](status))
        seen = weigh(phase, sent=True, status=status, own=own, held=held)
        if held and phase is Phase.POLL and status in (408, 504):
            assert seen is Seen.HELD, status
        elif body == OWN and status // 100 == 4 and status not in TRANSIENT:
            assert seen is Seen.REFUSED, status
        else:
            assert seen is Seen.UNCLEAR, status


@pytest.mark.parametrize("phase", REQUESTS, ids=lambda phase: phase.name)
def test_e2_a_key_in_use_is_no_refusal(phase: Phase) -> None:
    """E2: the key may be in use by this very sale."""
    for status in (400, 409, 422):
        seen = weigh(phase, sent=True, status=status, own=True, key_in_use=True)
        assert seen is Seen.UNCLEAR


@pytest.mark.parametrize("phase", REQUESTS, ids=lambda phase: phase.name)
def test_e2_no_answer_is_unclear_and_what_did_not_leave_is_not_sent(phase: Phase) -> None:
    """E2, E7: without an answer the request may have arrived; if it did not leave, it has not."""
    assert weigh(phase, sent=True) is Seen.UNCLEAR
    assert weigh(phase, sent=True, held=True) is Seen.UNCLEAR
    for status, own, held in product((0, 400, 504), (False, True), (False, True)):
        assert weigh(phase, sent=False, status=status, own=own, held=held) is Seen.NOT_SENT


# Evidence ----------


def test_e1_no_later_refusal_counts() -> None:
    """E1: once an attempt may have arrived, only the instruction itself ends the submission."""
    lost = after(submitting(), Seen.UNCLEAR)
    assert lost.existence is Existence.POSSIBLE
    for seen in FAILURES:
        assert after(lost, seen) == lost
    assert after(lost, Seen.REFUSED, Seen.IN_PROGRESS).phase is Phase.POLL
    assert after(submitting(), Seen.REFUSED).outcome is Outcome.REFUSED  # of the only attempt


def test_e3_every_unclear_answer_is_repeated() -> None:
    """E3: whatever the status of an answer that proves nothing, the POST is repeated."""
    for status in range(100, 600):
        seen = weigh(Phase.SUBMIT, sent=True, status=status)
        again = after(submitting(), seen)
        assert (again.phase, again.outcome) == (Phase.SUBMIT, Outcome.NONE)


@pytest.mark.parametrize("seen", FAILURES, ids=lambda seen: seen.name)
def test_e4_no_error_ends_a_sale_whose_id_is_known(seen: Seen) -> None:
    """E4: neither a refusal nor a token that is refused ends the polling, the reading or the id."""
    for state in (polling(), after(polling(), Seen.COMPLETED)):
        assert after(state, seen) == state
    canceling = after(polling(), Seen.CANCEL)
    for _ in range(4):
        canceling = after(canceling, seen)
        assert canceling.phase in (Phase.CANCEL, Phase.PROBE)
        assert canceling.existence is Existence.KNOWN


def test_e4_an_id_is_kept_from_whatever_answer() -> None:
    """E4: a lost answer and a failure before it do not keep an id from being known."""
    known = after(submitting(), Seen.UNCLEAR, Seen.REFUSED, Seen.COMPLETED)
    assert (known.phase, known.existence) == (Phase.READ, Existence.KNOWN)


def test_e5_no_answer_to_a_delete_proves_anything() -> None:
    """E5: after a DELETE, whatever its answer, the status is asked for."""
    canceling = after(polling(), Seen.CANCEL)
    for seen in (Seen.DELETED, *FAILURES):
        assert after(canceling, seen).phase is Phase.PROBE


def test_e6_absence_is_not_a_state() -> None:
    """E6: a 404 or 410 after an accepted DELETE leads to another DELETE."""
    probing = after(polling(), Seen.CANCEL, Seen.DELETED)
    for status in (404, 410):
        seen = weigh(Phase.PROBE, sent=True, status=status, own=True)
        assert after(probing, seen).phase is Phase.CANCEL
    assert after(probing, Seen.CANCELED).outcome is Outcome.CANCELED


def test_e7_not_sent_concerns_one_attempt() -> None:
    """E7: an attempt that did not leave is as if it had not been; it does not undo one before."""
    assert after(submitting(), Seen.NOT_SENT) == NEW
    assert after(submitting(), Seen.HOPELESS).outcome is Outcome.UNSENT
    for wish in (Seen.CANCEL, Seen.DETACH):
        assert after(submitting(), wish, Seen.NOT_SENT).outcome is Outcome.UNSENT
    lost = after(submitting(), Seen.UNCLEAR)
    assert after(lost, Seen.NOT_SENT) == after(lost, Seen.HOPELESS) == lost


@pytest.mark.parametrize("seen", [Seen.REFUSED, Seen.HOPELESS])
def test_e8_under_a_callers_key_only_this_call_made_nothing(seen: Seen) -> None:
    """E8: the state of a refused call says that an earlier one may have made the instruction."""
    assert after(submitting(own_key=True), seen).existence is Existence.EARLIER
    assert after(submitting(), seen).existence is Existence.NONE


def test_e9_a_recovered_sale_begins_as_if_an_attempt_were_lost() -> None:
    """E9: no refusal of what recovery submits says that nothing was made."""
    for cancel in (False, True):
        found = take_over(known=False, cancel=cancel, stale=False, expired=False)
        assert found is not None
        assert found.existence is Existence.POSSIBLE
        assert after(found, Seen.REFUSED) == after(found, Seen.HOPELESS) == found


# Cancellation ----------


def test_c1_delete_and_probe_alternate_until_an_end() -> None:
    """C1: neither progress nor failure ends the alternation."""
    state = after(polling(), Seen.CANCEL)
    for _ in range(5):
        state = after(state, Seen.REFUSED)
        assert state.phase is Phase.PROBE
        state = after(state, Seen.IN_PROGRESS)
        assert state.phase is Phase.CANCEL


def test_c3_unreachable_releases_the_caller_and_not_the_run() -> None:
    """C3: the run goes on to cancel, unless it can be resumed by id, or from the journal."""
    for state in (polling(), after(submitting(), Seen.UNCLEAR), polling(journaled=True)):
        released = after(state, Seen.UNREACHABLE)
        assert (released.outcome, released.wish) == (Outcome.NONE, Wish.CANCEL)
        assert not released.awaited
    assert after(polling(detachable=True), Seen.UNREACHABLE).outcome is Outcome.UNKNOWN
    lost = after(submitting(detachable=True), Seen.UNCLEAR)
    assert after(lost, Seen.UNREACHABLE).outcome is Outcome.NONE  # no id, no journal: no heir
    lost = after(submitting(detachable=True, journaled=True), Seen.UNCLEAR)
    assert after(lost, Seen.UNREACHABLE).outcome is Outcome.UNKNOWN


def test_c3_replays_without_an_id_are_bounded() -> None:
    """C3: a submission that must not be repeated any more is unknown; a poll goes on."""
    assert after(submitting(), Seen.UNCLEAR, Seen.REPLAYS_OVER).outcome is Outcome.UNKNOWN
    assert after(polling(), Seen.REPLAYS_OVER) == polling()


def test_c4_the_grace_ends_no_run() -> None:
    """C4: that no caller waits any more changes nothing else."""
    for state in reachable():
        assert after(state, Seen.ALONE) in (state, state._replace(awaited=False))


def test_c5_a_detach_takes_no_cancellation_back() -> None:
    """C5: who detaches after the timeout does not leave the sale running."""
    canceled = after(submitting(detachable=True), Seen.CANCEL, Seen.DETACH)
    assert canceled.wish is Wish.CANCEL
    assert after(canceled, Seen.IN_PROGRESS).phase is Phase.CANCEL


def test_c6_only_a_sale_whose_id_somebody_has_is_left() -> None:
    """C6: detached while no caller waits and without a journal, the sale is canceled."""
    detached = after(submitting(detachable=True), Seen.DETACH)
    assert after(detached, Seen.IN_PROGRESS).outcome is Outcome.LEFT
    assert after(detached, Seen.ALONE, Seen.IN_PROGRESS).phase is Phase.CANCEL
    detached = after(submitting(detachable=True, journaled=True), Seen.DETACH, Seen.ALONE)
    left = after(detached, Seen.IN_PROGRESS)
    assert left.outcome is Outcome.LEFT
    assert after(left, Seen.NOT_DURABLE).phase is Phase.CANCEL  # the journal has no id after all


def test_c8_only_a_wish_or_unreachable_cancels() -> None:
    """C8: nothing else that is seen while a sale is polled leads to a cancellation."""
    for seen in set(Seen) - {Seen.DETACH, Seen.CANCEL, Seen.UNREACHABLE}:
        assert after(polling(), seen).wish is Wish.KEEP


def test_c9_a_wish_ends_no_sale_whose_post_may_be_out() -> None:
    """C9: once the POST may be out, a wish changes only the wish; before, it ends the sale."""
    for wish, seen in ((Wish.CANCEL, Seen.CANCEL), (Wish.DETACH, Seen.DETACH)):
        for state in (submitting(), after(submitting(), Seen.UNCLEAR)):
            assert after(state, seen) == state._replace(wish=wish)
        assert after(NEW, seen).outcome is Outcome.UNSENT


# The journal ----------


def test_j1_j2_j3_what_is_durable_before_a_request() -> None:
    """J1 to J3: the intent before the POST, the wish before the DELETE and also without an id."""
    assert durable(submitting()) is Durable.INTENT
    assert durable(after(submitting(), Seen.CANCEL)) is Durable.CANCELING
    assert durable(polling()) is Durable.SUBMITTED
    assert durable(after(polling(), Seen.CANCEL)) is Durable.CANCELING


@pytest.mark.parametrize("seen", [Seen.NOT_DURABLE, Seen.LEASE_LOST])
def test_j4_nothing_made_is_reported_only_after_it_is_durable(seen: Seen) -> None:
    """J4: where the journal did not take it, or another process has the entry, it is unknown."""
    for nothing_made in (after(submitting(), Seen.REFUSED), after(NEW, Seen.HOPELESS)):
        assert after(nothing_made, seen).outcome is Outcome.UNKNOWN
    shown = after(submitting(), Seen.FAILED)
    assert after(shown, seen) == shown  # the gateway's word needs no journal


def test_j5_never_replayed_past_the_window() -> None:
    """J5: without an id, a stale sale is submitted only to be canceled, an expired one never."""
    for cancel in (False, True):
        assert take_over(known=False, cancel=cancel, stale=True, expired=True) is None
    assert take_over(known=False, cancel=False, stale=True, expired=False) is None
    canceled = take_over(known=False, cancel=True, stale=True, expired=False)
    assert canceled is not None
    assert (canceled.phase, canceled.wish) == (Phase.SUBMIT, Wish.CANCEL)
    known = take_over(known=True, cancel=False, stale=True, expired=True)
    assert known is not None
    assert known.phase is Phase.POLL


def test_j6_the_journals_end_comes_from_the_gateways_word() -> None:
    """J6: no state but an end that the gateway has shown, or that made nothing, closes an entry."""
    closing = (Durable.COMPLETED, Durable.FAILED, Durable.CANCELED)
    for state in reachable():
        shown = state.outcome in (Outcome.COMPLETED, Outcome.FAILED, Outcome.CANCELED)
        nothing_made = state.outcome in (Outcome.REFUSED, Outcome.UNSENT) and not state.inherited
        assert (durable(state) in closing) == (shown or nothing_made), state


@pytest.mark.parametrize("seen", [Seen.INHERITED, Seen.IN_PROGRESS])
def test_j6_an_earlier_calls_entry_stays_open(seen: Seen) -> None:
    """J6: also where a wish has ended the sale before the entry was read."""
    state = begin(journaled=True, detachable=False, key_is_callers=True)
    refused = after(state, Seen.INHERITED, Seen.REFUSED)
    assert durable(refused) is Durable.NOTHING
    assert durable(after(refused, Seen.CANCEL)) is Durable.CANCELING
    unsent = after(state, Seen.CANCEL, seen)
    assert unsent.outcome is Outcome.UNSENT
    assert durable(unsent) is Durable.CANCELING


# The clock of `unreachable` ----------


def test_unreachable_counts_from_the_last_good_answer() -> None:
    """It begins once the POST may have arrived, and anew with each good answer or new wish."""
    post = submitting()
    lost = after(post, Seen.UNCLEAR)
    assert clock(NEW, post, Seen.RECORDED, timed=False) is False
    assert clock(post, lost, Seen.UNCLEAR, timed=False) is None
    assert clock(lost, polling(), Seen.IN_PROGRESS, timed=False) is True
    for seen in (Seen.IN_PROGRESS, Seen.HELD):
        assert clock(polling(), polling(), seen, timed=False) is True
    for seen in (Seen.REFUSED, Seen.UNCLEAR, Seen.NOT_SENT):
        assert clock(polling(), polling(), seen, timed=False) is None
    canceling = after(polling(), Seen.CANCEL)
    assert clock(polling(), canceling, Seen.CANCEL, timed=False) is True
    probing = after(canceling, Seen.DELETED)
    assert clock(canceling, probing, Seen.DELETED, timed=False) is None
    reading = after(probing, Seen.COMPLETED)  # the payment has as long to be read as any
    assert clock(probing, reading, Seen.COMPLETED, timed=False) is True


def test_unreachable_stops_where_it_could_release_no_caller() -> None:
    """It stops at the end, without a caller, and where the caller's timeout bounds the poll."""
    assert clock(polling(), polling(), Seen.IN_PROGRESS, timed=True) is False
    canceling = after(polling(), Seen.CANCEL)
    assert clock(canceling, after(canceling, Seen.ALONE), Seen.ALONE, timed=False) is False
    ended = after(polling(), Seen.FAILED)
    assert clock(polling(), ended, Seen.FAILED, timed=False) is False
    joined = after(canceling, Seen.ALONE, Seen.JOINED)
    assert clock(after(canceling, Seen.ALONE), joined, Seen.JOINED, timed=False) is None
