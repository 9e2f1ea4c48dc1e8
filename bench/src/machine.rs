//! What the numbers were measured on and with: they mean nothing elsewhere.

use std::fs;
use std::process::Command;

/// Packages whose versions the report names.
const PACKAGES: [&str; 13] = [
    "gorin",
    "tokio",
    "smol",
    "async-executor",
    "monoio",
    "compio",
    "glommio",
    "kanal",
    "flume",
    "async-channel",
    "crossbeam-channel",
    "local-sync",
    "io-uring",
];

/// The heading of a report: machine, kernel, compilers, versions, date and command.
pub fn describe(command: &str, lock: &str, go: Option<&str>) -> String {
    let first_line = |program: &str, arg: &str| {
        let output = Command::new(program).arg(arg).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().next().map(str::to_owned)
    };
    let unknown = || "unknown".to_owned();
    let lines = [
        ("command", format!("`{command}`")),
        ("date", first_line("date", "-uI").unwrap_or_else(unknown)),
        ("machine", machine().unwrap_or_else(unknown)),
        ("kernel", first_line("uname", "-sr").unwrap_or_else(unknown)),
        ("rustc", first_line("rustc", "-V").unwrap_or_else(unknown)),
        (
            "Go",
            go.and_then(|go| first_line(go, "version"))
                .unwrap_or_else(|| "none".to_owned()),
        ),
        ("crates", versions(lock)),
    ];
    lines
        .iter()
        .map(|(key, value)| format!("- {key}: {value}\n"))
        .collect()
}

/// CPU model, count and memory.
fn machine() -> Option<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = field(&cpu, "model name").unwrap_or("unknown CPU");
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let memory_kib: u64 = field(&memory, "MemTotal")?
        .trim_end_matches(" kB")
        .parse()
        .ok()?;
    let virtual_machine = if cpu.contains("hypervisor") {
        ", virtual machine"
    } else {
        ""
    };
    let cpus = crate::process::allowed_cpus().len();
    let gib = (memory_kib as f64 / (1 << 20) as f64).round();
    Some(format!("{model}, {cpus} CPUs, {gib} GiB{virtual_machine}"))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// Names and versions of [`PACKAGES`] by the text of Cargo.lock. Where it holds several versions
/// the newest is ours: the older ones are dependencies of contenders.
fn versions(lock: &str) -> String {
    let version = |package: &str| {
        let heading = format!("name = \"{package}\"\nversion = \"");
        let at = lock.rfind(&heading)? + heading.len();
        lock[at..]
            .split_once('"')
            .map(|(version, _)| format!("{package} {version}"))
    };
    PACKAGES
        .into_iter()
        .filter_map(version)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"tokio\"\nversion = \"0.9.0\"\n\n\
                    [[package]]\nname = \"tokio\"\nversion = \"1.2.3\"\n\n\
                    [[package]]\nname = \"tokio-util\"\nversion = \"9.9.9\"\n";
        assert_eq!(versions(lock), "tokio 1.2.3");
    }

    #[test]
    fn the_heading_names_command_and_machine() {
        let text = describe("gorin-bench --quick", "", None);
        assert!(
            text.contains("`gorin-bench --quick`") && text.contains("GiB"),
            "{text}"
        );
    }
}
