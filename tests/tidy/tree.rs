//! The files of the repository: what a clone holds, and nothing that was built.

use std::fs;
use std::path::Path;

/// A text file.
pub struct File {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// All text files of the repository.
pub struct Tree {
    /// Sorted by path.
    pub files: Vec<File>,
}

/// Endings of the files that are text and ours.
const TEXT: &[&str] = &["rs", "md", "toml", "txt", "sh", "json", "go", "lock"];

/// Directories that are built, or not ours.
const SKIPPED: &[&str] = &["target", ".git"];

impl Tree {
    /// Reads the repository that this test was built from.
    pub fn read() -> Tree {
        let mut files = Vec::new();
        collect(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { files }
    }

    /// The text of the file at `path`.
    pub fn text(&self, path: &str) -> Option<&str> {
        let index = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()?;
        Some(&self.files[index].text)
    }

    /// True if there is a file or a directory at `path`.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
    }

    /// Names of the examples, as `cargo run --example` takes them.
    pub fn examples(&self) -> Vec<&str> {
        self.files
            .iter()
            .filter_map(|file| file.path.strip_prefix("examples/"))
            .filter_map(|path| path.strip_suffix("/main.rs").or(path.strip_suffix(".rs")))
            .filter(|name| !name.contains('/'))
            .collect()
    }
}

impl File {
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// True for the sources of the runtime: the root package and its members, without the modules
    /// that hold their tests.
    pub fn is_production_source(&self) -> bool {
        const ROOTS: &[&str] = &[
            "src/",
            "base/src/",
            "executor/src/",
            "channel/src/",
            "reactor/src/",
        ];
        let is_test = |part: &str| matches!(part, "tests" | "tests.rs" | "models" | "models.rs");
        self.is_rust()
            && self.path != "base/src/primitive.rs"
            && ROOTS.iter().any(|root| self.path.starts_with(root))
            && !self.path.split('/').any(is_test)
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
        let is_production = |path: &str| {
            let text = String::new();
            File {
                path: path.to_owned(),
                text,
            }
            .is_production_source()
        };
        for path in ["src/lib.rs", "executor/src/task/state.rs"] {
            assert!(is_production(path), "{path}");
        }
        for path in [
            "tests/echo.rs",
            "executor/tests/oracle.rs",
            "executor/src/task/models.rs",
            "channel/src/tests/fifo.rs",
            "xtask/src/main.rs",
            "base/src/primitive.rs",
        ] {
            assert!(!is_production(path), "{path}");
        }
    }
}
