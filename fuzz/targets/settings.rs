//! The other variables of the environment; the first byte says which one.
//!
//! What is refused is quoted, and the user is told what it must be; what is taken means the same with
//! blanks around it.

#![no_main]

use std::io::ErrorKind;

use gorin::fuzzing::{SETTINGS, read_setting, rewrite_mode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (which, text) = (usize::from(input.0) % (SETTINGS + 1), input.1);
    if which == SETTINGS {
        if let Some(written) = rewrite_mode(text) {
            assert_eq!(rewrite_mode(&written), Some(written));
        }
        return;
    }
    match read_setting(which, text) {
        Ok(()) => read_setting(which, &format!(" {text}\n")).expect("blanks do not matter"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let told = error.to_string();
            assert!(told.contains(text) && told.contains("it must be"));
        }
    }
});
