//! What cargo knows: the members of the workspace, and the test binaries of the builds that can seed
//! bugs.
//!
//! The flags of these builds are those of the aliases `cargo loom` and `cargo seeded` and stand
//! nowhere else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Failure;
use crate::table::{Engine, Mutant};

/// A package of this workspace.
#[derive(Debug, PartialEq)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Cargo's id of it, which messages of the build refer to.
    id: String,
    /// The directory of its manifest.
    pub(crate) directory: PathBuf,
}

/// A test binary of one of the builds.
#[derive(Debug)]
pub(crate) struct Binary {
    /// The package it belongs to.
    pub(crate) package: String,
    /// Name of the target: the library's, or that of a file in `tests/`.
    pub(crate) target: String,
    /// The file to run.
    pub(crate) path: PathBuf,
    /// Where cargo would run it: the directory of the package.
    pub(crate) directory: PathBuf,
    /// What its tests run on.
    pub(crate) engine: Engine,
    /// Paths of the tests in it.
    pub(crate) tests: Vec<String>,
}

impl Binary {
    /// The test that `model`, a word of a table, means in this binary.
    pub(crate) fn find(&self, model: &str) -> Option<&str> {
        let in_target = model.strip_prefix(&format!("{}::", self.target));
        self.tests
            .iter()
            .find(|test| *test == model || Some(test.as_str()) == in_target)
            .map(String::as_str)
    }
}

/// The members of the workspace.
///
/// # Errors
/// If cargo fails or does not say what was expected.
pub(crate) fn members() -> Result<Vec<Member>, Failure> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value =
        serde_json::from_str(&output).map_err(|error| format!("cargo metadata: {error}"))?;
    parse_members(&metadata).ok_or_else(|| "cargo metadata: no list of packages".to_owned())
}

fn parse_members(metadata: &Value) -> Option<Vec<Member>> {
    let member = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        Some(Member {
            name: package["name"].as_str()?.to_owned(),
            id: package["id"].as_str()?.to_owned(),
            directory: manifest.parent()?.to_owned(),
        })
    };
    metadata["packages"]
        .as_array()?
        .iter()
        .map(member)
        .collect()
}

/// Builds the test binaries for the rows of `engine` and lists the tests in each; none without rows.
///
/// # Errors
/// If the build fails (the compiler has said why on stderr), or a binary cannot list its tests.
pub(crate) fn build(
    members: &[Member],
    rows: &[Mutant],
    engine: Engine,
) -> Result<Vec<Binary>, Failure> {
    let rows: Vec<&Mutant> = rows.iter().filter(|row| row.engine == engine).collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = vec![
        engine.alias(),
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ];
    let packages: BTreeSet<&str> = rows.iter().map(|row| row.package.as_str()).collect();
    for package in packages {
        arguments.extend(["-p", package]);
    }
    if engine == Engine::Plain {
        // Not all that there is: each file in `tests/` is linked for itself.
        arguments.push("--lib");
        let targets: BTreeSet<&str> = rows
            .iter()
            .filter_map(|row| integration_test(members, row))
            .collect();
        for target in targets {
            arguments.extend(["--test", target]);
        }
    }
    let messages = cargo(&arguments)?;
    let mut binaries: Vec<Binary> = messages
        .lines()
        .filter_map(|line| parse_artifact(members, engine, &serde_json::from_str(line).ok()?))
        .collect();
    for binary in &mut binaries {
        binary.tests = list_tests(&binary.path)?;
    }
    Ok(binaries)
}

/// The file in `tests/` of its package that the model of `row` stands in, if it stands there.
fn integration_test<'a>(members: &[Member], row: &'a Mutant) -> Option<&'a str> {
    let (target, _) = row.model.split_once("::")?;
    let member = members.iter().find(|member| member.name == row.package)?;
    let tests = member.directory.join("tests");
    let exists =
        tests.join(format!("{target}.rs")).exists() || tests.join(target).join("main.rs").exists();
    exists.then_some(target)
}

/// The test binary that one message of the build speaks of, if it speaks of one.
fn parse_artifact(members: &[Member], engine: Engine, message: &Value) -> Option<Binary> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let id = message["package_id"].as_str()?;
    let member = members.iter().find(|member| member.id == id)?;
    Some(Binary {
        package: member.name.clone(),
        target: message["target"]["name"].as_str()?.to_owned(),
        path: PathBuf::from(message["executable"].as_str()?),
        directory: member.directory.clone(),
        engine,
        tests: Vec::new(),
    })
}

fn list_tests(binary: &Path) -> Result<Vec<String>, Failure> {
    let mut command = Command::new(binary);
    command.args(["--list", "--format", "terse"]);
    Ok(parse_list(&output_of(command)?))
}

/// Test paths from libtest's terse list: `path: test` in each line.
fn parse_list(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

fn cargo(arguments: &[&str]) -> Result<String, Failure> {
    // Set by cargo for the programs it runs: the same cargo again.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments);
    output_of(command)
}

/// Runs `command` with stderr passed on; its standard output if it succeeds.
fn output_of(mut command: Command) -> Result<String, Failure> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} failed: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample_members() -> Vec<Member> {
        parse_members(&json!({ "packages": [
            { "name": "a", "id": "path+file:///w/a#0.1.0", "manifest_path": "/w/a/Cargo.toml" },
        ]}))
        .expect("as cargo writes it")
    }

    #[test]
    fn members_are_read_from_cargo_s_metadata() {
        let members = sample_members();
        assert_eq!(members[0].name, "a");
        assert_eq!(members[0].directory, Path::new("/w/a"));
        assert_eq!(parse_members(&json!({})), None);
    }

    #[test]
    fn only_test_binaries_of_members_are_taken_from_the_build() {
        let message = |id: &str, test: bool| {
            json!({
                "reason": "compiler-artifact",
                "package_id": id,
                "target": { "name": "loom_x" },
                "profile": { "test": test },
                "executable": if test { json!("/w/target/loom_x-1") } else { Value::Null },
            })
        };
        let artifact =
            |id, test| parse_artifact(&sample_members(), Engine::Loom, &message(id, test));
        let binary = artifact("path+file:///w/a#0.1.0", true).expect("a test binary");
        assert_eq!(
            (binary.package.as_str(), binary.target.as_str()),
            ("a", "loom_x")
        );
        assert_eq!(binary.path, Path::new("/w/target/loom_x-1"));
        assert!(artifact("path+file:///w/a#0.1.0", false).is_none());
        assert!(artifact("registry+elsewhere#b@1.0.0", true).is_none());
        assert!(
            parse_artifact(
                &sample_members(),
                Engine::Loom,
                &json!({ "reason": "build-finished" })
            )
            .is_none()
        );
    }

    #[test]
    fn a_model_is_found_by_its_path_with_or_without_the_target() {
        let binary = Binary {
            package: "a".to_owned(),
            target: "loom_x".to_owned(),
            path: PathBuf::new(),
            directory: PathBuf::new(),
            engine: Engine::Loom,
            tests: parse_list("m::one: test\nm::one: benchmark\ntwo: test\n\n2 tests\n"),
        };
        assert_eq!(binary.tests, ["m::one", "two"]);
        assert_eq!(binary.find("m::one"), Some("m::one"));
        assert_eq!(binary.find("loom_x::two"), Some("two"));
        assert_eq!(binary.find("one"), None);
        assert_eq!(binary.find("loom_y::two"), None);
    }

    #[test]
    fn only_the_test_files_that_plain_rows_name_are_built() {
        let members = [Member {
            name: "xtask".to_owned(),
            id: String::new(),
            directory: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."),
        }];
        let text = "a xtask tidy::x plain\nb xtask go_semantics::x plain\nc xtask runtime::x plain";
        let rows = crate::table::parse("t.txt", text).expect("rows");
        let targets = rows.iter().map(|row| integration_test(&members, row));
        let expected = [Some("tidy"), Some("go_semantics"), None];
        assert!(targets.eq(expected));
    }
}
