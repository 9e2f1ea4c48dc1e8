//! The files of the repository: what a clone holds, and nothing that was built.

use std::fs;
use std::path::Path;

use crate::tidy::code;

/// A text file.
pub(crate) struct File {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

/// All text files of the repository.
pub(crate) struct Tree {
    /// Sorted by path.
    pub(crate) files: Vec<File>,
}

/// Endings of the files that are text and ours.
const TEXT: &[&str] = &["rs", "md", "toml", "txt", "sh", "json", "go", "lock"];

/// Directories that are built, or not ours.
const SKIPPED: &[&str] = &["target", ".git"];

impl Tree {
    /// Reads the repository that this test was built from.
    pub(crate) fn read() -> Tree {
        let mut files = Vec::new();
        collect(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { files }
    }

    /// The text of the file at `path`.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let index = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()?;
        Some(&self.files[index].text)
    }

    /// True if there is a file or a directory at `path`.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
    }

    /// The sources of the runtime: what a production build compiles, but for the file that may name
    /// everything.
    pub(crate) fn production_sources(&self) -> Vec<&File> {
        let sources = || self.files.iter().filter(|file| file.is_source());
        let tests: Vec<String> = sources().flat_map(File::test_modules).collect();
        let is_test = |path: &str| {
            let below = |test: &String| path.strip_prefix(test.as_str());
            let mut rests = tests.iter().filter_map(below);
            rests.any(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        sources()
            .filter(|file| file.path != "base/src/primitive.rs" && !is_test(&file.path))
            .collect()
    }

    /// Names of the examples, as `cargo run --example` takes them.
    pub(crate) fn examples(&self) -> Vec<&str> {
        self.files
            .iter()
            .filter_map(|file| {
                let path = file.path.strip_prefix("compat/").unwrap_or(&file.path);
                path.strip_prefix("examples/")
            })
            .filter_map(|path| path.strip_suffix("/main.rs").or(path.strip_suffix(".rs")))
            .filter(|name| !name.contains('/'))
            .collect()
    }
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// True for the sources of the root package and its members, their test modules included.
    fn is_source(&self) -> bool {
        const ROOTS: &[&str] = &[
            "src/",
            "base/src/",
            "executor/src/",
            "channel/src/",
            "reactor/src/",
        ];
        self.is_rust() && ROOTS.iter().any(|root| self.path.starts_with(root))
    }

    /// Paths, without `.rs`, of the modules that this file declares for its tests.
    fn test_modules(&self) -> impl Iterator<Item = String> {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let (directory, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        let directory = match name {
            "lib" | "main" | "mod" => directory,
            _ => stem,
        };
        let names = code::test_modules(&self.text).into_iter();
        names.map(move |name| format!("{directory}/{name}"))
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(directory).expect("the repository can be read") {
        let path = entry.expect("the repository can be read").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("names are UTF-8");
        let relative = format!("{prefix}{name}");
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            if !SKIPPED.contains(&name) {
                collect(&path, &format!("{relative}/"), files);
            }
        } else if relative == ".ci/run" || extension.is_some_and(|end| TEXT.contains(&end)) {
            let text = fs::read_to_string(&path).expect("text files are UTF-8");
            files.push(File {
                path: relative,
                text,
            });
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn the_tree_has_this_file_and_nothing_built() {
        let tree = Tree::read();
        assert!(
            tree.text("tests/tidy/tree.rs")
                .is_some_and(|text| text.contains("nothing_built"))
        );
        assert!(tree.exists("tests/tidy/") && tree.exists("Cargo.toml") && !tree.exists("none.rs"));
        assert!(
            !tree
                .files
                .iter()
                .any(|file| file.path.starts_with("target/"))
        );
    }

    #[test]
    fn production_sources_are_told_from_tests() {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let declaration = "#[cfg(test)]\nmod models;\nmod state;";
        let tree = Tree {
            files: vec![
                file("base/src/primitive.rs", ""),
                file("executor/src/models.rs", ""),
                file("executor/src/task/mod.rs", declaration),
                file("executor/src/task/models/wake.rs", ""),
                file("executor/src/task/state.rs", ""),
                file("executor/tests/oracle.rs", ""),
                file("reactor/src/op.rs", declaration),
                file("reactor/src/op/models.rs", ""),
                file("xtask/src/main.rs", ""),
            ],
        };
        let paths = tree
            .production_sources()
            .into_iter()
            .map(|file| file.path.as_str());
        let expected = [
            "executor/src/models.rs",
            "executor/src/task/mod.rs",
            "executor/src/task/state.rs",
            "reactor/src/op.rs",
        ];
        assert_eq!(paths.collect::<Vec<_>>(), expected);
    }
}
