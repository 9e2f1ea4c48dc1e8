//! Rules about comments and pages: what opens a file, and what may not stand there.

/// What says nothing to a stranger, with what to do instead.
const WORDS: &[(&str, &str)] = &[
    ("TODO", "finish it, or leave it out and say so in the docs"),
    ("FIXME", "mend it"),
    ("XXX", "say what is wrong in words"),
];

/// How the work was organised, which is no reason for anything. In lower case.
const PHRASES: &[&str] = &[
    "this session",
    "previous session",
    "earlier session",
    "last session",
    "next session",
    "another session",
    "will be done later",
    "for the time being",
];

/// Paths that exist on one machine only.
const PLACES: &[&str] = &[
    "/work/",
    "/root/",
    "/home/",
    "/tmp/target",
    "/tmp/bash",
    "shared/design",
];

/// Hosts that a page of ours may point at: public, and there to stay.
const HOSTS: &[&str] = &[
    "crates.io",
    "docs.docker.com",
    "docs.kernel.org",
    "docs.rs",
    "doc.rust-lang.org",
    "github.com",
    "go.dev",
    "keepachangelog.com",
    "man7.org",
    "raw.githubusercontent.com",
    "www.apache.org",
];

/// Every Rust file begins with `//!`.
pub(crate) fn check_opening(path: &str, text: &str) -> Vec<String> {
    let first = text.lines().next().unwrap_or_default();
    let words = first.strip_prefix("//!").map(str::trim);
    match words {
        Some(words) if !words.is_empty() => Vec::new(),
        _ => vec![format!(
            "{path}:1: a file opens with `//!`: what it is for, what it must not do"
        )],
    }
}

/// Words, places and hosts that may not stand anywhere in the repository.
pub(crate) fn check_words(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut report = |what: &str, cure: &str| {
            findings.push(format!("{path}:{}: `{what}`: {cure}", index + 1));
        };
        for (word, cure) in WORDS {
            if line
                .split(|c: char| !c.is_alphanumeric())
                .any(|part| part == *word)
            {
                report(word, cure);
            }
        }
        let lower = line.to_lowercase();
        for phrase in PHRASES.iter().filter(|phrase| lower.contains(**phrase)) {
            report(phrase, "say what the code does, not how the work went");
        }
        if let Some(number) = issue_number(line) {
            report(
                number,
                "a number says nothing here: give the reason in words",
            );
        }
        for place in PLACES.iter().filter(|place| line.contains(**place)) {
            report(place, "a path of one machine");
        }
        for host in hosts(line).filter(|host| !HOSTS.contains(host)) {
            report(host, "not among the hosts that may be cited");
        }
    }
    findings
}

/// `issue 12` or `issue #12`, where no link says whose issue that is.
fn issue_number(line: &str) -> Option<&str> {
    let lower = line.to_ascii_lowercase();
    let start = lower.find("issue ")?;
    let rest = lower[start + "issue ".len()..].trim_start_matches('#');
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let end = lower.len() - rest.len() + digits;
    (digits > 0).then(|| &line[start..end])
}

/// The hosts of the web addresses in `line`.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").filter_map(|(index, separator)| {
        let scheme = line[..index].ends_with("http") || line[..index].ends_with("https");
        let rest = &line[index + separator.len()..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'))
            .unwrap_or(rest.len());
        let host = rest[..end].trim_end_matches('.');
        // Loopback and placeholders are no hosts.
        let public = host.contains(|c: char| c.is_alphabetic()) && host.contains('.');
        (scheme && public).then_some(host)
    })
}

/// Comment lines that look like code. A heuristic: prose seldom ends in `;` after a call or opens
/// a block.
pub(crate) fn check_dead_code(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let comment = line.trim_start().strip_prefix("// ").map(str::trim);
        if comment.is_some_and(looks_like_code) {
            findings.push(format!("{path}:{}: commented-out code?", index + 1));
        }
    }
    findings
}

fn looks_like_code(comment: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "let ", "use ", "fn ", "pub ", "impl ", "struct ", "return ", "#[",
    ];
    const ENDS: &[&str] = &[");", "};", "})", ")?;", " {", "];"];
    let starts = KEYWORDS.iter().any(|word| comment.starts_with(word));
    comment == "}"
        || ENDS.iter().any(|end| comment.ends_with(end))
        || (starts && comment.ends_with([';', '{', ']', ',']))
}

/// Every example is named in the README, in backticks or after `--example`.
pub(crate) fn check_examples(readme: &str, names: &[&str]) -> Vec<String> {
    let listed = |name: &str| {
        readme.contains(&format!("`{name}`"))
            || readme.contains(&format!("examples/{name}.rs"))
            || readme.split("--example ").skip(1).any(|rest| {
                rest.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .next()
                    == Some(name)
            })
    };
    let missing = names.iter().filter(|name| !listed(name));
    missing
        .map(|name| format!("README.md does not name the example `{name}`"))
        .collect()
}

mod tests {
    use super::*;

    #[test]
    fn an_opening_must_say_something() {
        assert!(check_opening("f.rs", "//! What it is for.\n").is_empty());
        for text in [
            "",
            "use std::fmt;\n//! Late.",
            "//!\n//! Late.",
            "// No doc.",
        ] {
            assert_eq!(check_opening("f.rs", text).len(), 1, "{text}");
        }
    }

    #[track_caller]
    fn assert_words(line: &str, expected: &[&str]) {
        let found = check_words("f.md", line);
        assert_eq!(found.len(), expected.len(), "{line}: {found:?}");
        for (finding, word) in found.iter().zip(expected) {
            assert!(
                finding.starts_with(&format!("f.md:1: `{word}`")),
                "{finding}"
            );
        }
    }

    #[test]
    fn forbidden_words_are_found_whole() {
        assert_words("// TODO: later", &["TODO"]);
        assert_words("as the Last session left it", &["last session"]);
        assert_words("a session, TODOS, todo, XXXL", &[]);
    }

    #[test]
    fn numbers_of_issues_are_found() {
        assert_words("as Issue #12 says", &["Issue #12"]);
        assert_words("see issue 7.", &["issue 7"]);
        assert_words("an issue of taste; issue tracker 5", &[]);
    }

    #[test]
    fn places_and_hosts_of_one_machine_are_found() {
        assert_words("cd /work/main", &["/work/"]);
        assert_words("https://mirror.example.net/x", &["mirror.example.net"]);
        assert_words(
            "http://127.0.0.1:80 https://docs.rs/loom, http://localhost",
            &[],
        );
    }

    #[test]
    fn code_in_comments_is_found_and_prose_is_not() {
        let findings = |text| check_dead_code("f.rs", text).len();
        for text in [
            "    // let x = 1;",
            "// foo(bar);",
            "// if x {",
            "// }",
            "// use a::b;",
        ] {
            assert_eq!(findings(text), 1, "{text}");
        }
        for text in [
            "// The lock is free here;",
            "/// let x = 1;",
            "//! foo(bar);",
            "// use it while it lasts.",
            "let x = 1; // and why",
        ] {
            assert_eq!(findings(text), 0, "{text}");
        }
    }

    #[test]
    fn an_example_that_the_readme_leaves_out_is_found() {
        let readme = "| `chat` | talk |\n`cargo run --example echo -- 1`\n`echo_2`";
        assert_eq!(
            check_examples(readme, &["chat", "echo", "echo_2"]),
            Vec::<String>::new()
        );
        assert_eq!(check_examples(readme, &["echo_client", "ch"]).len(), 2);
    }
}
