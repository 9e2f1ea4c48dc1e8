//! Every rule has its test: the table of tests by row, checked against the sources.
//!
//! The rows of Go (G1–G56, and those of G58–G73 that are kept) have theirs in this directory, named by the
//! row, but for what is named here;
//! those of channels and of select (G21–G51) run on one worker, on two and on four. The rows on
//! cancellation (K1–K16) are rules of single steps and of races between two threads: their tests poll
//! by hand or run under loom, and are named here. So are those of faults and abuse (F1–F25), and of
//! Go's connections (G82–G87).

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The rules of Go's that have a test.
const GO: RangeInclusive<u32> = 1..=56;

/// Its rules of contexts.
const CONTEXTS: RangeInclusive<u32> = 68..=73;

/// Those of its package sync, and of what is like them elsewhere.
const SYNC: &[u32] = &[58, 59, 60, 61, 62, 66, 67];

/// The rules of its channels and select, which hold for any number of workers.
const CHANNELS: RangeInclusive<u32> = 21..=51;

/// The rules on cancellation.
const CANCEL: RangeInclusive<u32> = 1..=16;

/// Faults and abuse.
const FAULTS: RangeInclusive<u32> = 1..=25;

/// Go's rules of connections.
const NET: RangeInclusive<u32> = 82..=87;

/// Row, file, test.
type Tests = &'static [(u32, &'static str, &'static str)];

/// Rules of Go's whose tests are elsewhere.
const GO_ELSEWHERE: Tests = &[
    (
        16,
        "tests/rescue.rs",
        "the_queue_of_a_hog_runs_while_it_computes",
    ),
    (16, "tests/rescue.rs", "a_goroutine_that_computes_is_named"),
    // It looks at the memory of its process, where no other test needs much.
    (
        56,
        "tests/timers.rs",
        "timers_that_nobody_holds_leave_nothing_behind",
    ),
];

const NET_TESTS: Tests = &[
    // Several goroutines write to one connection, message by message, and read from it.
    (
        82,
        "tests/net.rs",
        "whole_messages_of_several_goroutines_do_not_mix",
    ),
    (
        82,
        "tests/net.rs",
        "several_goroutines_may_accept_and_read_at_once",
    ),
    // Deadlines are absolute, last, and interrupt.
    (
        83,
        "tests/deadlines.rs",
        "a_deadline_in_the_past_ends_pending_calls_at_once",
    ),
    (
        83,
        "tests/deadlines.rs",
        "a_read_ends_at_its_deadline_and_the_bytes_are_kept",
    ),
    // Close interrupts.
    (
        84,
        "tests/net.rs",
        "close_ends_the_pending_calls_of_others_and_all_later_ones",
    ),
    (
        84,
        "tests/net.rs",
        "closing_a_listener_ends_a_pending_accept",
    ),
    // Half-close, and the end of the stream.
    (
        85,
        "tests/net.rs",
        "bytes_go_both_ways_and_half_close_ends_one_of_them",
    ),
    // Dialling races the addresses.
    (
        86,
        "src/net/tcp/dial.rs",
        "silence_begins_the_next_attempt_after_the_delay",
    ),
    (
        86,
        "tests/net.rs",
        "connecting_tries_one_address_after_the_other",
    ),
    // Names are looked up where that blocks no worker, and no closure can keep it from beginning.
    (87, "tests/net.rs", "names_are_resolved"),
    (
        87,
        "tests/unblock.rs",
        "closures_that_hold_all_threads_may_wait_for_gorins_own_calls",
    ),
];

const FAULT_TESTS: Tests = &[
    (
        1,
        "reactor/tests/kernel_ops.rs",
        "the_kernel_does_not_write_to_the_buffer_of_a_dropped_read",
    ),
    (
        1,
        "reactor/tests/kernel_dropped.rs",
        "what_comes_after_a_drop_goes_to_the_next_read",
    ),
    (
        2,
        "tests/dropped.rs",
        "accepting_with_short_limits_serves_every_client",
    ),
    (
        3,
        "reactor/tests/kernel_files.rs",
        "opens_with_a_time_limit_leave_no_descriptor",
    ),
    (
        3,
        "tests/cancel.rs",
        "connects_that_are_dropped_leave_no_descriptor_and_disturb_nobody",
    ),
    (
        3,
        "tests/dropped.rs",
        "opening_and_connecting_with_short_limits_leaves_nothing",
    ),
    (
        4,
        "reactor/tests/kernel_files.rs",
        "a_reactor_ends_with_32_mib_of_reads_in_flight",
    ),
    (
        5,
        "tests/faults.rs",
        "the_peer_learns_at_once_of_the_end_while_a_read_waits",
    ),
    (
        6,
        "reactor/tests/kernel_files.rs",
        "fifty_thousand_completions_overflow_the_smallest_queue_and_none_is_lost",
    ),
    (
        7,
        "reactor/tests/kernel_ops.rs",
        "more_operations_than_the_ring_holds_all_complete",
    ),
    (
        8,
        "tests/slow.rs",
        "a_slow_reader_gets_every_byte_through_a_small_buffer",
    ),
    (
        9,
        "tests/interrupts.rs",
        "signals_at_a_kilohertz_disturb_nothing",
    ),
    (
        10,
        "tests/process.rs",
        "a_child_inherits_its_three_streams_and_nothing_of_the_runtime",
    ),
    (
        11,
        "reactor/tests/kernel_refused.rs",
        "a_refusing_kernel_gives_epoll_and_one_line",
    ),
    (11, "reactor/tests/kernel_refused.rs", "no_memory_to_lock"),
    (
        12,
        "tests/rescue.rs",
        "connections_are_served_while_a_hog_wanders",
    ),
    (
        12,
        "tests/rescue.rs",
        "timers_of_a_hog_fire_while_it_computes",
    ),
    (13, "tests/rescue.rs", "a_goroutine_that_computes_is_named"),
    (
        14,
        "tests/fairness.rs",
        "a_pair_that_plays_ping_pong_gives_a_third_its_turn_within_some_rounds",
    ),
    (
        15,
        "tests/fairness.rs",
        "goroutines_that_wake_themselves_for_ever_starve_neither_timers_nor_sockets",
    ),
    (
        16,
        "tests/fairness.rs",
        "a_socket_that_always_has_bytes_starves_nobody",
    ),
    (
        17,
        "executor/tests/panics.rs",
        "one_in_a_hundred_of_many_goroutines_panics_and_the_others_finish",
    ),
    (
        17,
        "executor/tests/panics.rs",
        "a_payload_whose_drop_panics_is_isolated",
    ),
    (
        17,
        "tests/unblock.rs",
        "destructors_that_panic_end_neither_the_threads_nor_the_workers",
    ),
    (
        18,
        "tests/misuse.rs",
        "block_on_inside_block_on_says_to_await_and_the_outer_one_goes_on",
    ),
    (
        18,
        "tests/misuse.rs",
        "go_outside_a_runtime_says_where_to_call_it",
    ),
    (
        19,
        "executor/tests/wakers.rs",
        "wakers_used_after_completion_do_nothing",
    ),
    (
        19,
        "tests/shutdown.rs",
        "wakers_that_outlive_their_runtime_do_nothing",
    ),
    (
        20,
        "tests/shutdown.rs",
        "a_thousand_runtimes_leave_no_descriptor_no_thread_and_no_memory",
    ),
    (
        21,
        "tests/shutdown.rs",
        "a_million_idle_goroutines_are_dropped_in_two_seconds",
    ),
    (
        22,
        "tests/abuse.rs",
        "random_cancels_lose_and_double_no_value",
    ),
    (
        23,
        "tests/abuse.rs",
        "a_close_that_races_with_everything_loses_nothing_and_lets_all_end",
    ),
    (
        24,
        "tests/go_semantics/time.rs",
        "f24_a_crowd_of_timers_half_of_them_cancelled",
    ),
    (
        25,
        "tests/faults.rs",
        "a_server_at_its_limit_of_descriptors_waits_and_recovers",
    ),
    (
        25,
        "tests/faults.rs",
        "a_server_refuses_politely_and_drains_by_its_deadline",
    ),
    (25, "tests/faults.rs", "a_reset_ends_a_write_that_waits"),
    (
        25,
        "tests/slow.rs",
        "clients_that_never_finish_are_cut_off_in_time",
    ),
    (
        25,
        "tests/net.rs",
        "a_write_to_a_peer_that_is_gone_is_an_error_and_no_signal",
    ),
    (
        25,
        "tests/echo.rs",
        "ctrl_c_lets_open_connections_finish_and_refuses_new_ones",
    ),
];

const CANCEL_TESTS: Tests = &[
    // A value is in exactly one place, and delivered or dropped exactly once.
    (
        1,
        "channel/tests/oracle.rs",
        "random_programs_behave_like_the_oracle",
    ),
    (
        1,
        "tests/cancel.rs",
        "sends_and_receives_that_are_dropped_lose_and_double_no_value",
    ),
    // A receive dropped before it was given a value.
    (
        2,
        "channel/tests/contract.rs",
        "a_receive_dropped_before_it_was_given_a_value_leaves_nothing_behind",
    ),
    // A receive dropped after it was given one: put-back.
    (
        3,
        "channel/tests/contract.rs",
        "the_value_of_a_cancelled_receive_goes_to_the_next_waiting_receiver",
    ),
    (3, "channel/tests/loom_cancel.rs", "dropped_receive_0"),
    (
        3,
        "channel/tests/loom_cancel.rs",
        "dropped_receive_beside_another_0",
    ),
    // The order after a put-back.
    (
        4,
        "channel/tests/contract.rs",
        "values_of_cancelled_receives_go_back_in_the_order_of_their_hand_over",
    ),
    (
        4,
        "channel/tests/loom_cancel.rs",
        "values_put_back_keep_their_order",
    ),
    // A send dropped before a partner came, and its value taken back.
    (
        5,
        "channel/tests/contract.rs",
        "a_send_dropped_before_a_partner_came_is_undone_and_its_value_dropped_once",
    ),
    (
        5,
        "channel/tests/contract.rs",
        "take_gets_an_unsent_value_back_and_nothing_once_it_is_sent",
    ),
    (5, "channel/tests/loom_cancel.rs", "send_given_up_0"),
    // A send dropped after its value was taken.
    (
        6,
        "channel/tests/contract.rs",
        "a_send_dropped_after_its_value_was_taken_has_happened",
    ),
    // A refused send returns the value, also one that waits.
    (
        7,
        "channel/tests/contract.rs",
        "close_gives_waiting_senders_their_values_and_lets_receivers_drain",
    ),
    (
        7,
        "channel/tests/contract.rs",
        "the_last_receiver_dropped_drops_the_buffer_and_fails_waiting_senders",
    ),
    (7, "channel/tests/loom_close.rs", "close_against_send_0"),
    // A dropped permit gives its place to the next.
    (
        8,
        "channel/tests/loom_cancel.rs",
        "a_dropped_reservation_passes_its_place_on",
    ),
    (
        8,
        "channel/tests/loom_send_recv.rs",
        "a_dropped_permit_lets_a_sender_in",
    ),
    // A select is one operation.
    (
        9,
        "channel/tests/select.rs",
        "a_waiting_select_is_served_once_and_leaves_nothing_behind",
    ),
    (
        9,
        "channel/tests/loom_select.rs",
        "two_senders_find_a_waiting_select",
    ),
    (9, "channel/tests/loom_select.rs", "dropped_select"),
    (
        9,
        "channel/tests/loom_select.rs",
        "a_send_case_that_lost_sends_nothing",
    ),
    (
        9,
        "channel/tests/loom_select.rs",
        "a_foreign_future_ends_while_a_sender_comes",
    ),
    // A foreign future by reference survives.
    (
        10,
        "channel/tests/select.rs",
        "a_future_by_reference_survives_a_select_that_chose_another_case",
    ),
    // A time limit loses nothing.
    (11, "tests/cancel.rs", "recv_timeout_loses_no_value"),
    (
        11,
        "tests/cancel.rs",
        "send_timeout_sends_a_value_or_gives_it_back",
    ),
    // A grant that is dropped is passed on.
    (
        12,
        "channel/tests/loom_sync.rs",
        "a_notification_is_not_lost_with_a_dropped_wait",
    ),
    (
        12,
        "channel/tests/loom_sync.rs",
        "a_permit_is_not_lost_with_a_dropped_wait",
    ),
    (
        12,
        "channel/tests/loom_once.rs",
        "a_dropped_maker_lets_the_next_make_it",
    ),
    (
        12,
        "channel/tests/loom_flight.rs",
        "the_next_one_leads_when_the_leader_is_dropped",
    ),
    (
        12,
        "channel/tests/loom_cancel.rs",
        "a_dropped_reservation_passes_its_place_on",
    ),
    (
        12,
        "channel/tests/loom_locks.rs",
        "a_lock_handed_over_is_not_lost_with_a_dropped_wait",
    ),
    (
        12,
        "channel/tests/loom_locks.rs",
        "a_notification_is_not_lost_with_a_wait_that_wants_the_mutex",
    ),
    (
        12,
        "src/io/turns.rs",
        "a_turn_is_not_lost_with_who_waited_for_it",
    ),
    (
        12,
        "channel/tests/loom_rwlock.rs",
        "a_dropped_write_passes_on_what_it_was_given",
    ),
    (
        12,
        "channel/tests/loom_rwlock.rs",
        "a_dropped_read_passes_on_what_it_was_given",
    ),
    // An abort drops the future once, at its await point.
    (13, "executor/src/task/models.rs", "abort_vs_run"),
    (13, "executor/src/task/models.rs", "abort_vs_wake"),
    (
        13,
        "tests/cancel.rs",
        "aborting_goroutines_that_receive_loses_no_value",
    ),
    // A dropped read or accept loses nothing.
    (
        14,
        "tests/cancel.rs",
        "reads_that_are_dropped_leave_the_bytes_in_the_socket",
    ),
    (
        14,
        "tests/cancel.rs",
        "accepts_that_are_dropped_lose_no_connection",
    ),
    (
        14,
        "tests/cancel.rs",
        "a_write_that_is_dropped_before_it_is_ready_has_written_nothing",
    ),
    (
        14,
        "tests/owned.rs",
        "calls_of_every_kind_get_the_bytes_of_a_dropped_receive",
    ),
    (14, "tests/async_fd.rs", "a_dropped_call_takes_nothing"),
    // A dropped handle detaches.
    (
        15,
        "tests/go_semantics/goroutines.rs",
        "g10_dropping_the_handle_lets_the_goroutine_run_on",
    ),
    // No user code under a lock.
    (
        16,
        "channel/tests/rwlock.rs",
        "wakers_may_come_back_to_the_lock",
    ),
    (
        16,
        "channel/tests/reentrant.rs",
        "partners_wake_without_the_lock",
    ),
    (
        16,
        "channel/tests/reentrant.rs",
        "permits_wake_without_the_lock",
    ),
    (
        16,
        "channel/tests/reentrant.rs",
        "a_cell_wakes_without_the_lock",
    ),
    (
        16,
        "channel/tests/single_flight.rs",
        "no_code_of_keys_and_values_runs_under_the_lock",
    ),
    (
        16,
        "channel/tests/reentrant.rs",
        "values_are_dropped_without_the_lock",
    ),
    (
        16,
        "channel/tests/reentrant.rs",
        "locks_wake_and_forget_without_their_own_lock",
    ),
    (
        16,
        "reactor/src/readiness/models.rs",
        "a_waker_may_come_back",
    ),
    (16, "reactor/src/timer/models.rs", "wakers_may_come_back"),
];

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Name and body of each test in a file.
fn tests_in(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("#[test]\n").skip(1).filter_map(|test| {
        let (_, rest) = test.split_once("fn ")?;
        rest.split_once("()")
    })
}

/// The row that a test of this directory is named by.
fn row(name: &str) -> Option<u32> {
    let (row, _) = name.strip_prefix('g')?.split_once('_')?;
    row.parse().ok()
}

#[test]
fn every_row_of_go_has_a_test_that_runs_on_one_two_and_four_workers() {
    let files = ["channels.rs", "closing.rs", "select.rs"];
    let mut covered = BTreeSet::new();
    for file in files {
        let text = source(&format!("tests/go_semantics/{file}"));
        let everywhere = tests_in(&text).filter(|(_, body)| body.contains("everywhere(|| async"));
        covered.extend(everywhere.filter_map(|(name, _)| row(name)));
    }
    let missing: Vec<_> = CHANNELS.filter(|row| !covered.contains(row)).collect();
    assert!(missing.is_empty(), "no test of G{missing:?}");
}

#[test]
fn every_row_of_go_has_a_test() {
    let mut covered: BTreeSet<u32> = GO_ELSEWHERE.iter().map(|&(row, ..)| row).collect();
    let files = [
        "goroutines.rs",
        "channels.rs",
        "closing.rs",
        "locks.rs",
        "select.rs",
        "time.rs",
        "context.rs",
        "rwlock.rs",
        "sync.rs",
    ];
    for file in files {
        let text = source(&format!("tests/go_semantics/{file}"));
        covered.extend(tests_in(&text).filter_map(|(name, _)| row(name)));
    }
    let rows = GO.chain(CONTEXTS).chain(SYNC.iter().copied());
    let missing: Vec<_> = rows.filter(|row| !covered.contains(row)).collect();
    assert!(missing.is_empty(), "no test of G{missing:?}");
    check_that_they_exist(GO_ELSEWHERE);
}

#[test]
fn every_row_on_cancellation_faults_and_connections_has_a_test_that_exists() {
    let tables = [
        (CANCEL_TESTS, CANCEL),
        (FAULT_TESTS, FAULTS),
        (NET_TESTS, NET),
    ];
    for (tests, rows) in tables {
        let covered: BTreeSet<u32> = tests.iter().map(|&(row, ..)| row).collect();
        assert!(
            covered.into_iter().eq(rows),
            "a row is missing, or one too many"
        );
        check_that_they_exist(tests);
    }
}

fn check_that_they_exist(tests: Tests) {
    for &(row, file, test) in tests {
        let text = source(file);
        assert!(
            tests_in(&text).any(|(name, _)| name == test),
            "row {row}: {file} has no test `{test}`"
        );
    }
}

#[test]
fn tests_are_found_with_their_bodies() {
    let text =
        "//! top\n#[test]\n#[ignore]\nfn g43_one() {\n    a()\n}\n/// doc\n#[test]\nfn two() {}\n";
    let found: Vec<_> = tests_in(text).map(|(name, _)| name).collect();
    assert_eq!(found, ["g43_one", "two"]);
    assert_eq!((row(found[0]), row(found[1])), (Some(43), None));
}
