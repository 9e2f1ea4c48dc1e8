//! Which package may depend on which.
//!
//! The members do not know each other: executor, channel and reactor meet in std's `Future` and
//! `Waker`, and share `gorin-base`. A dependency that a test needs counts too, or the seam could
//! be passed there.
//!
//! Nor does a bare `cargo test` compile other runtimes, or what the features are for.

/// Packages of this repository that a manifest may name, by the directory of the manifest. What is
/// not listed (the root package, benchmarks) may name all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("executor", &["gorin-base"]),
    ("channel", &["gorin-base"]),
    ("reactor", &["gorin-base"]),
    // Its examples; cargo itself refuses the root package as more than a dev-dependency here.
    ("macros", &["gorin"]),
    ("xtask", &[]),
];

/// What only the reactor's manifest may name among the members: it alone enters the kernel.
const KERNEL: &[&str] = &["io-uring", "libc"];

/// Directories whose packages are parts of the runtime.
const MEMBERS: &[&str] = &["base", "executor", "channel", "macros"];

/// What a bare `cargo test` must not compile: outside of [`EXTRA`] it is optional, or not there.
const OPTIONAL: &[&str] = &["hyper", "tokio"];

/// Directories of packages that are built only when asked for.
const EXTRA: &[&str] = &["bench", "compat"];

/// Findings in the manifest at `path`.
pub(crate) fn check(path: &str, text: &str) -> Vec<String> {
    let directory = path.strip_suffix("/Cargo.toml").unwrap_or_default();
    let allowed = ALLOWED
        .iter()
        .find(|(name, _)| *name == directory)
        .map(|(_, list)| *list);
    let mut findings = Vec::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with("default-members"))
    {
        for extra in EXTRA.iter().filter(|extra| line.contains(*extra)) {
            findings.push(format!("{path}: {extra} is built only when asked for"));
        }
    }
    for (section, name, line) in dependencies(text) {
        let is_optional = line.contains("optional = true");
        if OPTIONAL.contains(&name) && !is_optional && !EXTRA.contains(&directory) {
            findings.push(format!(
                "{path}: [{section}] names {name}, and not as optional: a bare `cargo test` compiles it"
            ));
        }
        let ours = name == "gorin" || name.starts_with("gorin-");
        if ours && allowed.is_some_and(|allowed| !allowed.contains(&name)) {
            findings.push(format!(
                "{path}: [{section}] names {name}: members do not know it"
            ));
        }
        if KERNEL.contains(&name) && MEMBERS.contains(&directory) {
            findings.push(format!(
                "{path}: [{section}] names {name}: only the reactor may"
            ));
        }
    }
    findings
}

/// Section, name and line of each dependency; those of `[workspace.dependencies]` are only offers.
fn dependencies(text: &str) -> Vec<(&str, &str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            // `[dependencies.name]` is a dependency by itself.
            if let Some((table, name)) = section.rsplit_once("dependencies.") {
                let table = section[..table.len()].trim_end_matches('.');
                found.push((
                    if table.is_empty() {
                        "dependencies"
                    } else {
                        table
                    },
                    name,
                    line,
                ));
            }
        } else if section.ends_with("dependencies") && section != "workspace.dependencies" {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('#') {
                found.push((section, name.trim_matches('"'), line));
            }
        }
    }
    found
}

mod tests {
    use super::*;

    #[test]
    fn a_member_that_names_another_is_found_in_every_section() {
        for text in [
            "[dependencies]\ngorin-channel.workspace = true",
            "[dev-dependencies]\ngorin-channel = { path = \"../channel\" }",
            "[target.'cfg(loom)'.dependencies]\ngorin-channel.workspace = true",
            "[dependencies.gorin-channel]\npath = \"../channel\"",
        ] {
            assert_eq!(check("executor/Cargo.toml", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn only_the_reactor_may_name_io_uring() {
        let text = "[dependencies]\nio-uring.workspace = true";
        assert_eq!(check("channel/Cargo.toml", text).len(), 1);
        assert_eq!(check("reactor/Cargo.toml", text).len(), 0);
    }

    #[test]
    fn what_a_bare_test_must_not_compile_is_found() {
        for text in [
            "[dependencies]\nhyper.workspace = true",
            "[dev-dependencies]\ntokio = { version = \"1\", features = [\"rt\"] }",
            "[dev-dependencies.tokio]\nversion = \"1\"",
            "[workspace]\ndefault-members = [\".\", \"compat\"]",
        ] {
            assert_eq!(check("Cargo.toml", text).len(), 1, "{text}");
        }
        let text = "[dependencies]\nhyper = { workspace = true, optional = true }";
        assert_eq!(check("Cargo.toml", text).len(), 0);
        let text = "[dependencies]\nhyper = { workspace = true }";
        assert_eq!(check("compat/Cargo.toml", text).len(), 0);
    }

    #[test]
    fn base_and_the_root_package_are_free_of_findings() {
        let text = "[workspace.dependencies]\ngorin-channel = { path = \"channel\" }\n\
                [dependencies]\ngorin-base.workspace = true\n# gorin-none\n";
        assert_eq!(check("executor/Cargo.toml", text), Vec::<String>::new());
        assert_eq!(
            check("Cargo.toml", &format!("{text}gorin-channel = \"1\"")),
            Vec::<String>::new()
        );
    }
}
