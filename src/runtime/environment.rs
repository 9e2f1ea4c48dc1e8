//! What the environment says about runtimes: the variables, and what their values mean.
//!
//! A value that is not understood is an error which says what it must be; it is never taken for the
//! default. Blanks around it do not matter, and an empty one counts as none.

use std::env;
use std::io;
use std::time::Duration;

/// As many workers as the reactor can tell apart; more than any machine has.
pub(super) const MAX_WORKERS: usize = 4094;

/// A variable, and how its value is read.
pub(crate) struct Variable<T> {
    name: &'static str,
    must_be: &'static str,
    parse: fn(&str) -> Option<T>,
}

/// Sets the number of workers.
pub(crate) const WORKERS: Variable<usize> = Variable {
    name: "GORIN_WORKERS",
    must_be: "a number of workers from 1 to 4094",
    parse: |text| text.parse().ok().filter(|&workers| can_be(workers)),
};

/// Sets [`Builder::poll_before_sleep`](super::Builder::poll_before_sleep).
pub(crate) const POLL_US: Variable<Duration> = Variable {
    name: "GORIN_POLL_US",
    must_be: "a number of microseconds, 0 for never",
    parse: |text| text.parse::<u32>().ok().map(micros),
};

/// Sets [`Builder::rescue`](super::Builder::rescue).
pub(crate) const RESCUE: Variable<bool> = Variable {
    name: "GORIN_RESCUE",
    must_be: "0 (workers do not watch each other) or 1",
    parse: |text| match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    },
};

/// Has stalls reported on stderr.
pub(crate) const STALL_MS: Variable<Duration> = Variable {
    name: "GORIN_STALL_MS",
    must_be: "a number of milliseconds",
    parse: |text| text.parse::<u32>().ok().map(millis),
};

/// Has what runtimes do told on stderr, in lines that are so far apart.
pub(crate) const DEBUG: Variable<Duration> = Variable {
    name: "GORIN_DEBUG",
    must_be: "schedtrace= and a number of milliseconds, from 1 on",
    parse: |text| {
        let number = text.strip_prefix("schedtrace=")?.parse::<u32>().ok();
        number.filter(|&number| number > 0).map(millis)
    },
};

/// True if a runtime can have so many workers.
pub(super) fn can_be(workers: usize) -> bool {
    (1..=MAX_WORKERS).contains(&workers)
}

fn micros(number: u32) -> Duration {
    Duration::from_micros(number.into())
}

fn millis(number: u32) -> Duration {
    Duration::from_millis(number.into())
}

impl<T> Variable<T> {
    /// The variable's value, if it is set and not empty.
    pub(super) fn get(&self) -> io::Result<Option<T>> {
        let value = env::var_os(self.name).filter(|value| !value.is_empty());
        value
            .map(|value| self.read(&value.to_string_lossy()))
            .transpose()
    }

    /// What `text` means as the variable's value.
    pub(crate) fn read(&self, text: &str) -> io::Result<T> {
        (self.parse)(text.trim()).ok_or_else(|| {
            let Variable { name, must_be, .. } = self;
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name} is `{text}`: it must be {must_be}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_what_the_documentation_says() {
        assert_eq!(WORKERS.read(" 12\n").unwrap(), 12);
        assert_eq!(WORKERS.read("4094").unwrap(), MAX_WORKERS);
        assert_eq!(POLL_US.read("0").unwrap(), Duration::ZERO);
        assert_eq!(POLL_US.read("50").unwrap(), Duration::from_micros(50));
        assert!(RESCUE.read("1").unwrap() && !RESCUE.read("0").unwrap());
        assert_eq!(STALL_MS.read("250").unwrap(), Duration::from_millis(250));
        assert_eq!(
            DEBUG.read("schedtrace=9").unwrap(),
            Duration::from_millis(9)
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refusals = [
            WORKERS.read("0").unwrap_err(),
            WORKERS.read("4095").unwrap_err(),
            POLL_US.read("5 us").unwrap_err(),
            RESCUE.read("yes").unwrap_err(),
            STALL_MS.read("-1").unwrap_err(),
            DEBUG.read("schedtrace=0").unwrap_err(),
            DEBUG.read("1000").unwrap_err(),
        ];
        let texts = refusals.map(|error| error.to_string());
        assert_eq!(
            texts[1],
            format!(
                "GORIN_WORKERS is `4095`: it must be a number of workers from 1 to {MAX_WORKERS}"
            )
        );
        assert!(texts.iter().all(|text| text.contains("it must be")));
    }
}
