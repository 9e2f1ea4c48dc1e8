//! The rules of this repository that a machine can check, checked.
//!
//! | file | rules |
//! |---|---|
//! | `tests/tidy/manifest.rs` | which package may depend on which |
//! | `tests/tidy/code.rs` | which file may name std's locks, atomics and threads, which may hold `unsafe` |
//! | `tests/tidy/prose.rs` | comments and pages: what opens a file, what may not stand there |
//! | `tests/tidy/citation.rs` | files, functions and headings that prose cites exist |
//! | `tests/tidy/tree.rs` | no rule: the files of the repository |
//!
//! Each rule is a function from text to findings, with a test that it finds what it is for; the
//! tests here apply it to the whole tree. Exceptions stand here, each with its reason, and one that
//! is no longer needed is a finding too.
//!
//! Must not need anything but std: it is the first test to run in a fresh clone.

#![cfg(not(loom))]

mod tidy {
    pub(crate) mod citation;
    pub(crate) mod code;
    pub(crate) mod manifest;
    pub(crate) mod prose;
    pub(crate) mod tree;
}

use tidy::tree::{File, Tree};
use tidy::{citation, code, manifest, prose};

/// A place where a rule does not hold: a file, or a directory with `/`; what it may name; why.
type Exception = (&'static str, &'static str, &'static str);

/// Who may name what only `base/src/primitive.rs` may: a path of Rust and all below it.
const STD_EXCEPTIONS: &[Exception] = &[
    (
        "base/src/check.rs",
        "std::sync::atomic",
        "counts the executions of a model, so loom must not see it",
    ),
    ("base/src/check.rs", "loom", "starts loom"),
    (
        "base/src/check.rs",
        "std::time::Instant::now",
        "how long a model took",
    ),
    ("base/src/clock.rs", "Instant::now", "this is the clock"),
    (
        "base/src/clock.rs",
        "std::sync::OnceLock",
        "loom's frozen time: one value in all executions",
    ),
    (
        "base/src/id.rs",
        "std::sync::atomic",
        "numbers are unique, which is no protocol; loom must not explore it",
    ),
    (
        "base/src/rng.rs",
        "std::sync::atomic",
        "numbers the seeded streams; absent under loom",
    ),
    (
        "base/src/rng.rs",
        "std::sync::OnceLock",
        "reads the environment once; absent under loom",
    ),
    (
        "base/src/seeded.rs",
        "std::sync::OnceLock",
        "reads the environment once: one value in all executions",
    ),
    (
        "executor/src/task/mod.rs",
        "std::sync::atomic::AtomicU64",
        "numbers are unique, which is no protocol; loom must not explore it",
    ),
    (
        "reactor/src/readiness/table.rs",
        "std::sync::OnceLock",
        "grows the table of sockets; the word in a slot is the protocol",
    ),
    (
        "reactor/src/bell.rs",
        "std::sync::OnceLock",
        "what wakes the worker, set once before it first sleeps; absent under loom",
    ),
    (
        "reactor/src/reactor.rs",
        "std::sync::OnceLock",
        "a worker's alarm, set once before it first sleeps; absent under loom",
    ),
    (
        "reactor/src/socket.rs",
        "std::sync::OnceLock",
        "deadlines are allocated when the first is set; they have their own protocol",
    ),
    (
        "src/io/stdio.rs",
        "std::thread",
        "reads the standard input, which blocks and belongs to no runtime; absent under loom",
    ),
    (
        "src/io/stdio.rs",
        "std::sync::OnceLock",
        "starts that thread once; absent under loom",
    ),
    (
        "src/io/turns.rs",
        "std::sync::OnceLock",
        "makes a channel; that it is there before it is looked for is the state word's protocol",
    ),
    (
        "src/runtime/",
        "std::sync",
        "starts and joins threads; absent under loom",
    ),
    (
        "src/runtime/",
        "std::thread",
        "starts and joins threads; absent under loom",
    ),
];

/// The only files that may hold `unsafe`; directories with `/`.
const UNSAFE_FILES: &[&str] = &[
    "bench/contenders/raw/multishot.rs",
    "bench/contenders/raw/uring.rs",
    "base/src/prefetch.rs",
    "channel/src/lock.rs",
    "channel/src/spin.rs",
    "channel/src/sync/mutex/guard.rs",
    "channel/src/sync/rwlock/cell.rs",
    "channel/tests/",
    "executor/src/local.rs",
    "executor/src/run_queue.rs",
    "executor/src/task/join.rs",
    "executor/src/task/label.rs",
    "executor/src/task/raw.rs",
    "executor/src/task/reference.rs",
    "fuzz/targets/unix_address.rs",
    "reactor/src/alarm.rs",
    "reactor/src/bell.rs",
    "reactor/src/calls.rs",
    "reactor/src/driver.rs",
    "reactor/src/epoll.rs",
    "reactor/src/error.rs",
    "reactor/src/hybrid.rs",
    "reactor/src/offload.rs",
    "reactor/src/op.rs",
    "reactor/src/op/models.rs",
    "reactor/src/buffer.rs",
    "reactor/src/ops/cached.rs",
    "reactor/src/ops/file.rs",
    "reactor/src/ops/path.rs",
    "reactor/src/park/models.rs",
    "reactor/src/perform.rs",
    "reactor/src/poller.rs",
    "reactor/src/ring.rs",
    "reactor/src/ring/enter.rs",
    "reactor/src/ring/setup.rs",
    "reactor/src/simulated.rs",
    "reactor/src/socket.rs",
    "reactor/src/socket/end.rs",
    "reactor/src/socket/waiter.rs",
    "reactor/src/worker.rs",
    "reactor/tests/",
    "tests/allocations.rs",
    "tests/interrupts.rs",
    "tests/shutdown.rs",
    "tests/unix_names.rs",
];

/// True if `file` is `entry` of a list, or in the directory that `entry` names.
fn is_covered(file: &str, entry: &str) -> bool {
    file == entry || (entry.ends_with('/') && file.starts_with(entry))
}

/// Every problem that `rule` finds in the files that `select` picks.
fn apply(select: impl Fn(&File) -> bool, rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    let tree = Tree::read();
    let files: Vec<&File> = tree.files.iter().filter(|file| select(file)).collect();
    assert!(!files.is_empty(), "the rule looks at no file at all");
    files.into_iter().flat_map(rule).collect()
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn members_depend_on_what_they_may() {
    let is_manifest = |file: &File| file.path.ends_with("Cargo.toml");
    assert_none(&apply(is_manifest, |file| {
        manifest::check(&file.path, &file.text)
    }));
}

#[test]
fn only_the_primitives_name_what_loom_must_see() {
    let mut used = Vec::new();
    let tree = Tree::read();
    let mut findings = Vec::new();
    for file in tree.production_sources() {
        for (line, path) in code::forbidden_paths(&file.text) {
            let exception = STD_EXCEPTIONS.iter().find(|(name, prefix, _)| {
                is_covered(&file.path, name) && code::is_below(&path, prefix)
            });
            match exception {
                Some(exception) => used.push(exception),
                None => findings.push(format!(
                    "{}:{line}: `{path}`: take it from gorin_base, or loom will not see it",
                    file.path
                )),
            }
        }
    }
    for exception in STD_EXCEPTIONS
        .iter()
        .filter(|exception| !used.contains(exception))
    {
        findings.push(format!("exception no longer needed: {exception:?}"));
    }
    assert_none(&findings);
}

/// A worker that says something must not end because nobody reads it.
#[test]
fn nothing_writes_to_stderr_in_a_way_that_may_panic() {
    let tree = Tree::read();
    let sources = tree.production_sources();
    let findings: Vec<String> = sources
        .iter()
        .flat_map(|file| {
            let lines = code::panicking_prints(&file.text).into_iter();
            lines.map(|line| format!("{}:{line}: use gorin_base::mishap::tell", file.path))
        })
        .collect();
    assert_none(&findings);
}

#[test]
fn only_the_named_files_hold_unsafe() {
    let tree = Tree::read();
    let holding: Vec<&str> = tree
        .files
        .iter()
        .filter(|file| file.is_rust() && !code::unsafe_lines(&file.text).is_empty())
        .map(|file| file.path.as_str())
        .collect();
    let mut findings = Vec::new();
    for path in &holding {
        if !UNSAFE_FILES.iter().any(|entry| is_covered(path, entry)) {
            findings.push(format!(
                "{path}: holds `unsafe` and is not listed in UNSAFE_FILES"
            ));
        }
    }
    for entry in UNSAFE_FILES {
        if !holding.iter().any(|path| is_covered(path, entry)) {
            findings.push(format!(
                "{entry}: listed in UNSAFE_FILES and holds no `unsafe`"
            ));
        }
    }
    assert_none(&findings);
}

#[test]
fn the_root_package_holds_no_unsafe() {
    let found: Vec<&&str> = UNSAFE_FILES
        .iter()
        .filter(|path| path.starts_with("src/"))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    assert_none(&apply(File::is_rust, |file| {
        prose::check_opening(&file.path, &file.text)
    }));
}

#[test]
fn nothing_is_left_unfinished_or_speaks_of_one_machine() {
    // The list of forbidden words itself.
    let select = |file: &File| file.path != "tests/tidy/prose.rs" && file.path != "Cargo.lock";
    assert_none(&apply(select, |file| {
        prose::check_words(&file.path, &file.text)
    }));
}

#[test]
fn no_code_is_commented_out() {
    let select = |file: &File| file.is_rust() && file.path != "tests/tidy/prose.rs";
    assert_none(&apply(select, |file| {
        prose::check_dead_code(&file.path, &file.text)
    }));
}

#[test]
fn what_prose_cites_exists() {
    let tree = Tree::read();
    // The file of the rule itself shows how citations are written.
    let select = |file: &File| {
        (file.is_rust() && file.path != "tests/tidy/citation.rs") || file.path.ends_with(".md")
    };
    assert_none(&apply(select, |file| citation::check(&tree, file)));
}

#[test]
fn the_readme_lists_every_example() {
    let tree = Tree::read();
    let readme = tree.text("README.md").expect("there is a README");
    let names = tree.examples();
    assert!(!names.is_empty(), "there are examples");
    assert_none(&prose::check_examples(readme, &names));
}
