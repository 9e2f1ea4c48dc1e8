//! The must-die tables: which model must fail when which seeded bug is switched on.
//!
//! `tests/mutants.txt` of a member (or of the root package) has one row per line, three words, or
//! four:
//!
//! ```text
//! # bug              package         test path in its binary, as libtest names it
//! task.lost_wake     gorin-executor  task::models::wake_vs_run
//! chan.two_wins      gorin-channel   loom_select::two_selects_meet
//! chan.forgets_one   gorin-channel   oracle::random_programs_behave  plain
//! model.eager_multi  gorin           model::soundness::no_end_is_lost  plain
//! ```
//!
//! A bug may have several rows; it must die in each of them. Where two binaries of a package hold
//! a test of the same path, the path is preceded by the name of the binary, as in the second row.
//! `plain` says that no loom is needed: the test is one of the build of `cargo seeded`. Those of
//! `tests/` are always preceded by the name of their binary, so that no others need be built.

use std::collections::HashSet;

use crate::Failure;

/// What a row's test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// A model, explored by loom.
    Loom,
    /// A test that checks by itself.
    Plain,
}

impl Engine {
    /// The alias of cargo that builds for it.
    pub(crate) fn alias(self) -> &'static str {
        match self {
            Engine::Loom => "loom",
            Engine::Plain => "seeded",
        }
    }
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mutant {
    /// Name of the seeded bug, as `seeded::bug` and `GORIN_MUTANT` have it.
    pub(crate) bug: String,
    /// The package whose test binaries hold the model.
    pub(crate) package: String,
    /// Path of the test function.
    pub(crate) model: String,
    /// What that runs on.
    pub(crate) engine: Engine,
    /// Where the row stands: `file:line`.
    pub(crate) place: String,
}

/// The rows of one table. `file` is for messages.
///
/// # Errors
/// A text that lists every line that is not a row, and every row that stands there twice.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Mutant>, Failure> {
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    let mut errors = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let place = format!("{file}:{}", index + 1);
        match words[..] {
            [] => {}
            [bug, package, model] | [bug, package, model, "plain"] => {
                if !seen.insert((bug, package, model)) {
                    errors.push(format!("{place}: this row stands here twice"));
                }
                rows.push(Mutant {
                    bug: bug.to_owned(),
                    package: package.to_owned(),
                    model: model.to_owned(),
                    engine: match words.len() {
                        3 => Engine::Loom,
                        _ => Engine::Plain,
                    },
                    place,
                });
            }
            _ => errors.push(format!(
                "{place}: a row is `bug package test::path` or `bug package test::path plain`, not \
                 `{}`",
                words.join(" ")
            )),
        }
    }
    if errors.is_empty() {
        Ok(rows)
    } else {
        Err(errors.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_comments_and_blank_lines_skipped() {
        let text = "# head\n\n task.lost_wake   gorin-executor task::models::wake # why\n";
        let row = Mutant {
            bug: "task.lost_wake".to_owned(),
            package: "gorin-executor".to_owned(),
            model: "task::models::wake".to_owned(),
            engine: Engine::Loom,
            place: "t.txt:3".to_owned(),
        };
        assert_eq!(parse("t.txt", text), Ok(vec![row]));
        let plain = parse("t.txt", "bug p test plain").expect("a row");
        assert_eq!(plain[0].engine, Engine::Plain);
    }

    #[test]
    fn every_wrong_line_is_reported_with_its_place() {
        let text = "a b\nbug package model\nbug package model\na b c d\n";
        let errors = parse("t.txt", text).expect_err("three wrong lines");
        let lines: Vec<&str> = errors.lines().collect();
        assert_eq!(lines.len(), 3, "{errors}");
        assert!(lines[0].starts_with("t.txt:1: ") && lines[0].contains("not `a b`"));
        assert_eq!(lines[1], "t.txt:3: this row stands here twice");
        assert!(lines[2].starts_with("t.txt:4: ") && lines[2].contains("not `a b c d`"));
    }

    #[test]
    fn one_bug_may_die_in_several_models() {
        let rows = parse("t.txt", "bug p one\nbug p two\n").expect("two rows");
        assert_eq!(rows.len(), 2);
    }
}
