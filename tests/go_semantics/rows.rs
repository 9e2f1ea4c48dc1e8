//! Every rule has its test: the table of tests by row, checked against the sources.
//!
//! The rows of Go's channels and of select (G21–G51) have theirs in this directory, named by the
//! row, and each row runs on one worker, on two and on four. The rows on cancellation (K1–K11) are
//! rules of single steps and of races between two threads: their tests poll by hand or run under
//! loom, and are named here.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The rules of Go's channels and select.
const GO: RangeInclusive<u32> = 21..=51;

/// The rules on cancellation.
const CANCEL: RangeInclusive<u32> = 1..=11;

/// Row, file, test.
const CANCEL_TESTS: &[(u32, &str, &str)] = &[
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
    let missing: Vec<_> = GO.filter(|row| !covered.contains(row)).collect();
    assert!(missing.is_empty(), "no test of G{missing:?}");
}

#[test]
fn every_row_on_cancellation_has_a_test_that_exists() {
    let covered: BTreeSet<u32> = CANCEL_TESTS.iter().map(|&(row, ..)| row).collect();
    assert!(
        covered.into_iter().eq(CANCEL),
        "a row is missing, or one too many"
    );
    for &(row, file, test) in CANCEL_TESTS {
        let text = source(file);
        assert!(
            tests_in(&text).any(|(name, _)| name == test),
            "K{row}: {file} has no test `{test}`"
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
