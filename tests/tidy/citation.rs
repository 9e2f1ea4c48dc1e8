//! What prose cites exists: files, names in them, headings.
//!
//! rustdoc checks the links of its own kind. This checks the rest, in comments and in pages:
//!
//! | written | must hold |
//! |---|---|
//! | `` `task/state.rs` ``, `` `docs/` `` | a file whose path ends so, a directory of the repository |
//! | `` `park.rs::unpark` `` | that file, and a definition of that name in it |
//! | `` `README.md#requirements` ``, `[…](README.md#requirements)` | that page, and that heading in it |
//! | `` `Ring::push` `` or `` `push()` `` in a page for contributors | code somewhere in which the last name occurs |
//!
//! Must not judge what stands in fenced blocks: those are samples.

use crate::tidy::code;
use crate::tidy::tree::{File, Tree};

/// Endings of the files that prose may not cite unless they exist.
const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".txt", ".json", ".sh"];

/// Pages whose names of functions and types must occur in code; rustdoc does not read them.
const PAGES: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Findings in the comments of a Rust file, or in a page.
pub(crate) fn check(tree: &Tree, file: &File) -> Vec<String> {
    let is_page = file.path.ends_with(".md");
    let mut findings = Vec::new();
    for (number, line) in prose_lines(&file.text, is_page) {
        let mut report = |problem: Option<String>| {
            findings.extend(problem.map(|text| format!("{}:{number}: {text}", file.path)));
        };
        for span in code_spans(line) {
            report(check_span(tree, span));
            if PAGES.contains(&file.path.as_str()) {
                report(check_name(tree, span));
            }
        }
        for target in link_targets(line) {
            let relative = target.split('#').next().unwrap_or_default();
            if is_page || ENDINGS.iter().any(|ending| relative.ends_with(ending)) {
                report(check_link(tree, &file.path, target));
            }
        }
    }
    findings
}

/// Lines of prose with their numbers: all of a page, the comments of a Rust file, no fenced block.
fn prose_lines(text: &str, is_page: bool) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let prose = if is_page {
            Some(line)
        } else {
            line.strip_prefix("//")
                .map(|rest| rest.trim_start_matches(['/', '!']).trim_start())
        };
        match prose {
            Some(prose) if prose.starts_with("```") => fenced = !fenced,
            Some(prose) if !fenced => lines.push((index + 1, prose)),
            Some(_) => {}
            // A block that is not closed ends with its comment.
            None => fenced = false,
        }
    }
    lines
}

/// What stands between single backticks in `line`.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    // A run of two backticks holds one; what is in there is a sample.
    let single = if line.contains("``") { "" } else { line };
    single.split('`').skip(1).step_by(2)
}

/// The targets of Markdown links in `line` that are no web addresses.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.contains('`') && !target.contains('…'))
}

/// The problem with a code span that cites a file, a name in one, or a heading.
fn check_span(tree: &Tree, span: &str) -> Option<String> {
    let (rest, heading) = span.split_once('#').unwrap_or((span, ""));
    let (path, name) = match rest.split_once(".rs::") {
        Some((stem, name)) => (format!("{stem}.rs"), name),
        None => (rest.to_owned(), ""),
    };
    let is_plain = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    // Absolute, built, or an ending by itself.
    if path.starts_with('/')
        || path.starts_with("target/")
        || path.starts_with('.') && !path.contains('/')
        || !path.chars().all(is_plain)
    {
        return None;
    }
    let top = path.split_once('/').map(|(top, _)| top);
    let is_file = ENDINGS
        .iter()
        .any(|ending| path.ends_with(ending) && path.len() > ending.len());
    let in_repository = top.is_some_and(|top| !top.starts_with("..") && tree.exists(top));
    if !is_file && !in_repository {
        return None;
    }
    if in_repository && tree.exists(&path) && !is_file {
        return None;
    }
    let files: Vec<&File> = tree
        .files
        .iter()
        .filter(|file| ends_with_path(&file.path, &path))
        .collect();
    if files.is_empty() {
        return Some(format!("`{path}` is cited and does not exist"));
    }
    if !name.is_empty() && !files.iter().any(|file| defines(&file.text, name)) {
        return Some(format!(
            "`{path}` is cited for `{name}` and defines no such thing"
        ));
    }
    if !heading.is_empty() && !files.iter().any(|file| has_heading(&file.text, heading)) {
        return Some(format!(
            "`{path}` is cited for the heading #{heading} and has none"
        ));
    }
    None
}

/// True if `path` is `end`, or ends with it after a slash.
fn ends_with_path(path: &str, end: &str) -> bool {
    path.strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// True if `text` defines `name` (the last part of it, where it is `Type::method`).
fn defines(text: &str, name: &str) -> bool {
    let name = last_name(name);
    let code = code::blank_comments_and_literals(text);
    let words: Vec<&str> = code
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|w| !w.is_empty())
        .collect();
    const KEYWORDS: &[&str] = &[
        "fn",
        "struct",
        "enum",
        "trait",
        "mod",
        "const",
        "static",
        "type",
        "macro_rules",
    ];
    words
        .windows(2)
        .any(|pair| KEYWORDS.contains(&pair[0]) && pair[1] == name)
}

/// `name` of `path::to::name()` or `name!`.
fn last_name(path: &str) -> &str {
    let path = path.trim_end_matches(['(', ')', '!']);
    path.rsplit("::").next().unwrap_or(path)
}

/// The problem with a code span of a page that names a function or type which no code mentions.
fn check_name(tree: &Tree, span: &str) -> Option<String> {
    let is_path = span.contains("::") || span.ends_with("()");
    let is_plain = |c: char| c.is_alphanumeric() || "_:()!".contains(c);
    if !is_path || !span.chars().all(is_plain) {
        return None;
    }
    let name = last_name(span);
    let mentions = |file: &File| {
        let code = code::blank_comments_and_literals(&file.text);
        code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .any(|word| word == name)
    };
    let found = tree
        .files
        .iter()
        .filter(|file| file.is_rust())
        .any(mentions);
    (!found).then(|| format!("`{span}` is cited and no code mentions `{name}`"))
}

/// The problem with a Markdown link to a file or heading of the repository.
fn check_link(tree: &Tree, from: &str, target: &str) -> Option<String> {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let path = if path.is_empty() {
        from.to_owned()
    } else {
        join(directory, path)
    };
    if !tree.exists(&path) {
        return Some(format!("the link to {target} leads nowhere"));
    }
    let has_heading = || {
        tree.text(&path)
            .is_some_and(|text| has_heading(text, heading))
    };
    if !heading.is_empty() && !has_heading() {
        return Some(format!(
            "the link to {target} leads to a page without that heading"
        ));
    }
    None
}

/// `path` as seen from `directory`.
fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// True if the page has a heading whose anchor, as GitHub makes it, is `anchor`.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = prose_lines(text, true)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'));
    let anchors = headings.map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c })
            .collect::<String>()
    });
    anchors.into_iter().any(|found| found == anchor)
}

mod tests {
    use super::*;

    fn tree() -> Tree {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        Tree {
            files: vec![
                file(
                    "README.md",
                    "# Gorin\n## What it needs: kernels, `memlock`\n",
                ),
                file("reactor/src/park.rs", "// fn vanished\nfn unpark() {}\n"),
            ],
        }
    }

    #[track_caller]
    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&tree(), &file)
    }

    #[test]
    fn vanished_files_names_and_headings_are_found() {
        for line in [
            "`idle.rs` decides",
            "`src/park.rs`, and `src/gone.rs`",
            "`tests/no_such_test`",
            "`park.rs::vanished`",
            "`README.md#limits`",
        ] {
            assert_eq!(
                findings("src/lib.rs", &format!("//! {line}\n")).len(),
                1,
                "{line}"
            );
            assert_eq!(findings("docs/x.md", line).len(), 1, "{line}");
        }
        for line in [
            "[a](README.md#limits)",
            "[a](gone.md)",
            "[a](#nothing)",
            "[a](docs/../none.md)",
        ] {
            assert_eq!(findings("README.md", line).len(), 1, "{line}");
        }
    }

    #[test]
    fn what_exists_or_is_no_citation_is_left_alone() {
        for line in [
            "`park.rs`, `reactor/src/park.rs`, `park.rs::unpark`, `tests/`",
            "`README.md#what-it-needs-kernels-memlock`",
            "`/etc/x.toml`, `<member>/tests/x.txt`, `target/x.json`, `.rs`, `a::b`, `1/2`",
            "`` `gone.rs` ``",
            "```text\n//! `gone.rs` in a fenced block\n//! ```",
        ] {
            assert_eq!(
                findings("src/lib.rs", &format!("//! {line}\n")),
                Vec::<String>::new()
            );
        }
        let lines = "[a](README.md#gorin) [b](https://docs.rs/gone.md)\n```\n[c](gone.md)\n```\n";
        assert_eq!(findings("README.md", lines), Vec::<String>::new());
        assert_eq!(
            findings("src/lib.rs", "let x = \"`gone.rs`\";\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn names_in_pages_for_contributors_must_occur_in_code() {
        let text = "`Park::unpark` and `unpark()`, `vanished()` and `Ring::vanished`, `word`";
        let found = findings("ARCHITECTURE.md", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found
                .iter()
                .all(|finding| finding.contains("no code mentions `vanished`"))
        );
        assert_eq!(findings("README.md", text), Vec::<String>::new());
    }
}
