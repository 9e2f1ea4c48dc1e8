//! Rules about code: what production code may name, and where `unsafe` stands.
//!
//! Text is enough for this; comments, literals and test modules are blanked first, so that every
//! line keeps its number.

use std::ops::Range;

/// What only `base/src/primitive.rs` and `base/src/clock.rs` may name: loom would not see it, it
/// outlives a model's execution, or it is not the same when the execution is replayed.
///
/// `std::sync::Arc` is not here: wakers need it. `std::sync::atomic::Ordering` is only a name.
const FORBIDDEN: &[&str] = &[
    "std::sync::atomic",
    "std::sync::Barrier",
    "std::sync::Condvar",
    "std::sync::LazyLock",
    "std::sync::mpsc",
    "std::sync::Mutex",
    "std::sync::Once",
    "std::sync::OnceLock",
    "std::sync::RwLock",
    "std::thread::Builder",
    "std::thread::park",
    "std::thread::scope",
    "std::thread::sleep",
    "std::thread::spawn",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "core::sync::atomic",
    "Instant::now",
    "SystemTime::now",
    "loom",
];

/// Names below forbidden ones that are harmless.
const ALLOWED: &[&str] = &["std::sync::atomic::Ordering"];

/// Modules that must not be imported whole, because then a forbidden name follows unseen.
const WHOLE: &[&str] = &["std::sync", "std::thread", "core::sync"];

/// Line number and path of each forbidden name in production code.
pub(crate) fn forbidden_paths(text: &str) -> Vec<(usize, String)> {
    let code = blank_tests(&blank_comments_and_literals(text));
    let mut found = Vec::new();
    for (line, path) in paths(&code) {
        let is_one_of = |list: &[&str]| list.iter().any(|prefix| is_below(&path, prefix));
        if WHOLE.contains(&path.as_str()) || (is_one_of(FORBIDDEN) && !is_one_of(ALLOWED)) {
            found.push((line, path));
        }
    }
    found
}

/// Lines of production code that write to stderr by a macro, which panics where stderr is broken.
pub(crate) fn panicking_prints(text: &str) -> Vec<usize> {
    let code = blank_tests(&blank_comments_and_literals(text));
    let prints = |line: &str| line.contains("eprintln!") || line.contains("eprint!");
    let lines = code.lines().zip(1..);
    lines
        .filter_map(|(line, number)| prints(line).then_some(number))
        .collect()
}

/// Lines with the keyword `unsafe`, test modules included.
pub(crate) fn unsafe_lines(text: &str) -> Vec<usize> {
    let code = blank_comments_and_literals(text);
    let words = |line: &str| {
        line.split(|c: char| !is_word(c))
            .any(|word| word == "unsafe")
    };
    let numbered = code.lines().enumerate();
    numbered
        .filter(|(_, line)| words(line))
        .map(|(index, _)| index + 1)
        .collect()
}

/// True if `path` is `prefix` or below it.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path in `code` that begins as a forbidden one does, groups in braces written out.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["std", "core", "loom", "Instant", "SystemTime"] {
        for (start, _) in code.match_indices(root) {
            let before = code[..start].chars().next_back();
            if before.is_some_and(|c| is_word(c) || c == '.') || goes_on_from(&code[..start]) {
                continue;
            }
            if !code[start + root.len()..].trim_start().starts_with("::") {
                continue;
            }
            let line = code[..start].matches('\n').count() + 1;
            let mut expanded = Vec::new();
            expand(
                &mut code[start..].chars().peekable(),
                String::new(),
                &mut expanded,
            );
            found.extend(expanded.into_iter().map(|path| (line, path)));
        }
    }
    found.sort();
    found
}

/// True if `before` ends in `name::`, so that what follows is no beginning of a path. `::` alone
/// begins one.
fn goes_on_from(before: &str) -> bool {
    let name = before.strip_suffix("::");
    name.is_some_and(|name| name.ends_with(is_word))
}

/// Reads one path, or one tree of a `use`, and adds each path that it names to `found`.
fn expand(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    prefix: String,
    found: &mut Vec<String>,
) {
    let mut path = prefix;
    while let Some(&c) = chars.peek() {
        if is_word(c) || c == ':' {
            path.push(c);
            chars.next();
        } else if c.is_whitespace() {
            chars.next();
            // White space ends a path, but not inside `a :: b`.
            let goes_on = chars
                .peek()
                .is_some_and(|&next| next == ':' || next.is_whitespace());
            if !goes_on && !path.ends_with("::") {
                break;
            }
        } else if c == '{' && path.ends_with("::") {
            chars.next();
            expand_group(chars, &path, found);
            return;
        } else {
            break;
        }
    }
    let path = path
        .strip_suffix("::self")
        .unwrap_or(&path)
        .trim_end_matches("::");
    found.push(path.to_owned());
}

/// Reads the rest of a group in braces.
fn expand_group(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    prefix: &str,
    found: &mut Vec<String>,
) {
    while let Some(&c) = chars.peek() {
        if c == '}' {
            chars.next();
            return;
        }
        if is_word(c) {
            expand(chars, prefix.to_owned(), found);
            // ` as name` and the like.
            while chars.peek().is_some_and(|&c| c != ',' && c != '}') {
                chars.next();
            }
        } else {
            chars.next();
        }
    }
}

/// `text` with comments and the contents of literals replaced by spaces.
pub(crate) fn blank_comments_and_literals(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let word_before = code.chars().next_back().is_some_and(is_word);
        let (length, keep) = token(rest, first, word_before);
        let (taken, after) = rest.split_at(length);
        if keep {
            code.push_str(taken);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// Length of the comment, literal or character that `rest` begins with, and whether to keep it.
fn token(rest: &str, first: char, word_before: bool) -> (usize, bool) {
    match first {
        '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
        '/' if rest.starts_with("/*") => (block_comment(rest), false),
        '"' => (quoted(rest, '"'), false),
        'r' if !word_before && raw_string(rest).is_some() => (raw_string(rest).unwrap_or(1), false),
        '\'' if is_char_literal(rest) => (quoted(rest, '\''), false),
        _ => (first.len_utf8(), true),
    }
}

/// Length of a comment `/* … */`, which may hold others.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut index = 0;
    while index < rest.len() {
        if rest[index..].starts_with("/*") {
            depth += 1;
            index += 2;
        } else if rest[index..].starts_with("*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                return index;
            }
        } else {
            index += rest[index..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of a literal between two `quote`s, with escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of `r"…"` or `r#"…"#`, if `rest` begins with one.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(1 + hashes + 1 + body.find(&end)? + end.len())
}

/// Tells `'a'` and `'\n'` from a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// `code` with every item under `#[cfg(test)]` or `#[cfg(all(test, …))]` replaced by spaces.
fn blank_tests(code: &str) -> String {
    let mut blanked = code.to_owned();
    for range in test_items(code) {
        let blank = |c: char| {
            if c == '\n' {
                "\n".to_owned()
            } else {
                " ".repeat(c.len_utf8())
            }
        };
        let spaces: String = code[range.clone()].chars().map(blank).collect();
        blanked.replace_range(range, &spaces);
    }
    blanked
}

/// Names of the modules that `text` declares for its tests and that are files of their own.
pub(crate) fn test_modules(text: &str) -> Vec<String> {
    let code = blank_comments_and_literals(text);
    let name = |range: Range<usize>| {
        let (_, item) = code[range].split_once(']')?;
        let name = item.trim().strip_suffix(';')?.trim().strip_prefix("mod ")?;
        Some(name.to_owned())
    };
    test_items(&code).into_iter().filter_map(name).collect()
}

/// Where the items for tests stand in `code`, their attribute included.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(").map(|index| from + index) {
        let attribute = code[start..]
            .find(']')
            .map_or(code.len(), |end| start + end + 1);
        let condition = &code[start + "#[cfg(".len()..attribute];
        from = attribute;
        if condition.starts_with("test") || condition.starts_with("all(test") {
            from += item(&code[attribute..]);
            items.push(start..from);
        }
    }
    items
}

/// Length of the item that `code` begins with: up to a `;`, or to the end of its block.
fn item(code: &str) -> usize {
    let mut depth = 0;
    for (index, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return index + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    code.len()
}

mod tests {
    use super::*;

    #[track_caller]
    fn assert_found(text: &str, expected: &[(usize, &str)]) {
        let found = forbidden_paths(text);
        assert!(
            found
                .iter()
                .map(|(line, path)| (*line, path.as_str()))
                .eq(expected.iter().copied()),
            "{found:?}"
        );
    }

    #[test]
    fn forbidden_names_are_found_however_they_are_imported() {
        assert_found("use std::sync::Mutex;", &[(1, "std::sync::Mutex")]);
        assert_found(
            "use std::sync::{Arc, Condvar as C};",
            &[(1, "std::sync::Condvar")],
        );
        assert_found(
            "\nuse std::{\n    fmt,\n    sync::atomic::{self, AtomicBool},\n    thread::spawn,\n};",
            &[
                (2, "std::sync::atomic"),
                (2, "std::sync::atomic::AtomicBool"),
                (2, "std::thread::spawn"),
            ],
        );
        assert_found(
            "use std::thread;\nfn f() {\n thread::spawn(g) }",
            &[(1, "std::thread")],
        );
        assert_found("use std::sync::{self};", &[(1, "std::sync")]);
        assert_found(
            "fn f() {\n::std::thread::spawn(g) }",
            &[(2, "std::thread::spawn")],
        );
        assert_found(
            "static X: core::sync::atomic::AtomicU8;",
            &[(1, "core::sync::atomic::AtomicU8")],
        );
        assert_found("loom::model(f)", &[(1, "loom::model")]);
        assert_found("let t = Instant::now();", &[(1, "Instant::now")]);
        assert_found(
            "let t = std::time::Instant::now();",
            &[(1, "std::time::Instant::now")],
        );
    }

    #[test]
    fn what_is_allowed_is_left_alone() {
        for text in [
            "use std::sync::{Arc, atomic::Ordering};",
            "use std::time::Instant; clock::now() + Instant::default()",
            "use std::thread::panicking; std::thread::ThreadId",
            "use gorin_base::primitive::{Mutex, thread};",
            "// std::sync::Mutex\n/* std::sync::Mutex /* x */ std::sync::Mutex */",
            "let s = \"std::sync::Mutex \\\" std::sync::Mutex\";",
            "let s = r#\"\" std::sync::Mutex \"#; let c = '\"';",
            "#[cfg(loom)] fn f<'a>(x: &'a str) {}",
            "#[cfg(test)]\nmod tests { use std::sync::Mutex; fn f() { g() } }",
            "#[cfg(all(test, not(loom)))]\nuse std::sync::Mutex;",
        ] {
            assert_found(text, &[]);
        }
    }

    #[test]
    fn code_after_a_test_module_and_beside_literals_counts() {
        assert_found(
            "#[cfg(test)]\nmod tests { fn f() { '{' ; \"{\" } }\nuse std::sync::Mutex;",
            &[(3, "std::sync::Mutex")],
        );
        assert_found(
            "let c = '\"'; std::sync::Mutex::new(1)",
            &[(1, "std::sync::Mutex::new")],
        );
    }

    #[test]
    fn modules_of_tests_are_named() {
        let text = "#[cfg(test)]\nmod models;\n#[cfg(all(test, not(loom)))]\nmod oracle;\n\
                    #[cfg(test)]\nmod tests { }\n#[cfg(loom)]\nmod mock;\nmod queue;";
        assert_eq!(test_modules(text), ["models", "oracle"]);
    }

    #[test]
    fn prints_that_panic_are_found_in_production_code() {
        let text = "// eprintln!()\nfn f() { eprintln!(\"x\"); }\n#[cfg(test)]\nmod tests {\n    eprintln!();\n}\n";
        assert_eq!(panicking_prints(text), [2]);
    }

    #[test]
    fn unsafe_is_found_as_a_word_of_code() {
        assert_eq!(
            unsafe_lines("fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for T {}"),
            [2, 4]
        );
        assert!(unsafe_lines("#![forbid(unsafe_code)]\n// unsafe\n\"unsafe\"").is_empty());
    }
}
