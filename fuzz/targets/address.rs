//! Addresses as text: what users write behind `connect` and `bind`.
//!
//! What is taken for an address is one, whatever way it is written; what is left to the resolver can
//! be a host; the rest is refused with an example.

#![no_main]

use std::io::ErrorKind;

use gorin::fuzzing::{Named, read_address};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match read_address(text) {
        Ok(Named::Address(address)) => {
            let again = read_address(&address.to_string());
            assert_eq!(again.expect("an address"), Named::Address(address));
        }
        Ok(Named::Host(host, port)) => {
            assert!(!host.is_empty() && !host.contains(':'));
            let written = format!("{host}:{port}");
            assert_eq!(
                read_address(&written).expect("it was one"),
                Named::Host(host, port)
            );
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.contains("host:port") || text.contains("at most 65535"));
        }
    }
});
