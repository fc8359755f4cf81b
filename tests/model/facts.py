"""What one state of the world says: a small number for each fact."""

from __future__ import annotations

(
    MACHINE,  # the number of the lifecycle's state
    ACTIVITY,
    REQUEST_TIMER,  # each timer: 0 is off, 1 is due, otherwise one more than what remains
    UNREACHABLE_TIMER,
    GRACE_TIMER,  # of the caller's cancellation
    CLOSE_TIMER,  # of aclose(), or of the loop's end
    CALLER,
    JOINER,
    REPORT,  # what the first caller was given
    JOINER_REPORT,
    RECOVERY_REPORT,
    CLOSING,  # 0 open, 1 closing, 2 closed
    KEPT,  # C7: the session has the unknown outcome for aclose()
    ID_GIVEN,  # a caller was given the instruction's id
    INSTRUCTION,  # at the gateway
    COUNT,  # instructions that this key has made
    MAKER,  # whose submissions have made them
    ON_ITS_WAY,  # whose lost POST may still arrive
    FORGOTTEN,  # the gateway has forgotten the key
    ENTRY,  # the journal's entry, as Durable has it
    ENTRY_ID,  # whether the entry has the instruction's id
    INHERITED,  # whether an earlier call has begun the entry
    JOURNAL_FAILED,
    PROCESS,
    OLD,  # one more than the number of the state of the process that was stopped
    OLD_WAITS,  # whether its caller waits
    OLD_WRITTEN,  # what it has written
    OLD_HAS_ID,
    FAULTS,  # that may still happen
    HISTORY,
) = range(30)
SIZE = HISTORY + 1

ACT, HELD, SILENT, PAUSED, DONE = range(5)  # ACTIVITY
NONE, RUNNING, COMPLETED, FAILED, CANCELED = range(5)  # INSTRUCTION
WAITS, CANCELED_WAITS, RELEASED = range(3)  # CALLER
ABSENT, JOINED, GONE = range(3)  # JOINER
FIRST, DEAD, SECOND = range(3)  # PROCESS
BY_THIS_CALL, BY_RECOVERY, BY_EARLIER_CALL = 1, 2, 4  # MAKER, ON_ITS_WAY
NOTHING, PAID, NEGATIVE, UNKNOWN, CANCELLED_ERROR, LEFT, NOT_MINE = range(7)  # a report
REPORTS = ("-", "payment", "nothing made", "unknown", "CancelledError", "left running", "not sent")
ENTRY_UNKNOWN = 7  # beyond Durable: recovery has given up
OPEN_ENTRIES = (1, 2, 3)

# HISTORY
(
    CALLER_CANCELED,
    TIMED_OUT,
    KILLED,  # or stopped
    EXCUSED,  # an unknown outcome is to be expected
    WISHED,  # somebody wants the instruction canceled
    RELENTED,  # no fault was left when the session was closed
    UNREACHABLE,
    BEGUN,  # the intent is durable, or there is no journal
) = (1 << bit for bit in range(8))

# Time in ticks. Their order is that of the real ones: 1 s, 10 s, 30 s, 60 s, 120 s.
SHORT, GRACE, REQUEST, HOLD, UNREACHABLE_AFTER = 1, 3, 4, 5, 7
TIMERS = (REQUEST_TIMER, UNREACHABLE_TIMER, GRACE_TIMER, CLOSE_TIMER)

Facts = list[int]
Steps = list[tuple[str, bytes]]
