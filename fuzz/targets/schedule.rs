//! `GORIN_REPLAY`: a schedule that somebody has copied from a report, or mistyped.
//!
//! What can be read is the same schedule when it is written and read again.

#![no_main]

use gorin::fuzzing::rewrite_schedule;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(written) = rewrite_schedule(text) {
        assert_eq!(rewrite_schedule(&written), Ok(written));
    }
});
