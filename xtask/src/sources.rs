//! The seeded bugs that stand in the sources, and whether the tables know them all.
//!
//! A bug that no table names is never switched on, and a row whose bug is gone proves nothing:
//! both are errors. Names are found as text, hence the rule that a bug is asked for as
//! `seeded::bug("name")`, qualified and with the name written out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Failure;
use crate::table::Mutant;

/// Bugs by name.
pub(crate) type Bugs = BTreeMap<String, Bug>;

/// Where a bug stands.
#[derive(Debug, PartialEq)]
pub(crate) struct Bug {
    /// The package of the source.
    package: String,
    /// One place there: `file:line`.
    place: String,
}

const CALL: &str = "seeded::bug";

/// Adds the bugs in every Rust file under `directory`, sources of `package`, to `bugs`.
///
/// # Errors
/// If a file cannot be read, or names the function in a way that hides which bug is meant.
pub(crate) fn collect(package: &str, directory: &Path, bugs: &mut Bugs) -> Result<(), Failure> {
    let unreadable = |error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            collect(package, &path, bugs)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            scan(package, &path.display().to_string(), &text, bugs)?;
        }
    }
    Ok(())
}

/// Adds the bugs in `text`, one Rust file of `package`, to `bugs`. Comments do not count.
fn scan(package: &str, file: &str, text: &str, bugs: &mut Bugs) -> Result<(), Failure> {
    let code: String = text
        .lines()
        .map(|line| {
            if is_comment(line) {
                "\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    for (offset, _) in code.match_indices(CALL) {
        let place = format!("{file}:{}", code[..offset].matches('\n').count() + 1);
        let name = literal_argument(&code[offset + CALL.len()..]).ok_or_else(|| {
            format!("{place}: write `{CALL}(\"name\")`, so that the name is found")
        })?;
        bugs.entry(name.to_owned()).or_insert_with(|| Bug {
            package: package.to_owned(),
            place,
        });
    }
    Ok(())
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// `name` if `code` goes on with `("name"`, white space aside.
fn literal_argument(code: &str) -> Option<&str> {
    let code = code.trim_start().strip_prefix('(')?;
    let code = code.trim_start().strip_prefix('"')?;
    code.split_once('"').map(|(name, _)| name)
}

/// Checks that sources and tables name the same bugs, as far as packages go that `includes` names.
///
/// # Errors
/// A text with one line for each bug that only one side knows.
pub(crate) fn compare(
    bugs: &Bugs,
    rows: &[Mutant],
    includes: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    let unlisted = bugs
        .iter()
        .filter(|(name, bug)| includes(&bug.package) && !rows.iter().any(|row| row.bug == **name))
        .map(|(name, bug)| {
            let place = &bug.place;
            format!("{place}: the bug `{name}` is in no tests/mutants.txt: nothing must die of it")
        });
    let vanished = rows
        .iter()
        .filter(|row| includes(&row.package) && !bugs.contains_key(&row.bug))
        .map(|row| format!("{}: no source has the bug `{}`", row.place, row.bug));
    let errors: Vec<String> = unlisted.chain(vanished).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    fn bugs(text: &str) -> Result<Bugs, Failure> {
        let mut bugs = Bugs::new();
        scan("p", "f.rs", text, &mut bugs).map(|()| bugs)
    }

    #[test]
    fn names_are_found_across_line_breaks_and_not_in_comments() {
        let text = "//! seeded::bug(\"doc\")\n\
                    if seeded::bug(\"a.one\") {\n\
                    gorin_base::seeded::bug(\n    \"a.two\",\n)\n\
                    // seeded::bug(\"old\")\n\
                    || seeded::bug(\"a.one\")";
        let found = bugs(text).expect("literals only");
        let expected = [("a.one", "f.rs:2"), ("a.two", "f.rs:3")];
        assert!(
            found
                .iter()
                .map(|(name, bug)| (name.as_str(), bug.place.as_str()))
                .eq(expected),
            "{found:?}"
        );
    }

    #[test]
    fn a_hidden_name_is_refused() {
        for text in ["seeded::bug(NAME)", "use gorin_base::seeded::bug;"] {
            let error = bugs(&format!("fn f() {{\n{text}")).expect_err(text);
            assert!(error.starts_with("f.rs:2: write "), "{error}");
        }
    }

    #[test]
    fn what_only_one_side_knows_is_reported() {
        let found = bugs("seeded::bug(\"a\") seeded::bug(\"b\")").expect("literals only");
        let rows = |text| table::parse("t.txt", text).expect("rows");
        let all = |_: &str| true;
        assert_eq!(compare(&found, &rows("a p m\nb p m"), all), Ok(()));
        let different = rows("a p m\nc p m");
        let error = compare(&found, &different, all).expect_err("b and c");
        assert_eq!(
            error,
            "f.rs:1: the bug `b` is in no tests/mutants.txt: nothing must die of it\n\
             t.txt:2: no source has the bug `c`"
        );
        assert_eq!(
            compare(&found, &different, |package| package == "q"),
            Ok(())
        );
    }
}
