//! What the compiler says to wrong programs; `TRYBUILD=overwrite` renews the expectations.
#![cfg(not(any(loom, miri)))]

#[test]
fn wrong_programs_get_readable_errors() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
