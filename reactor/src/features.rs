//! What of a kernel's io_uring is used where it is there, and can be done without.
//!
//! Regressions of kernels meet the users of io_uring first. Whoever is hit by one switches off by
//! `GORIN_WITHOUT` what does not work, until there is a better kernel; everything works without each of
//! these, and without all.

use std::env;
use std::fmt;
use std::io;

/// The environment variable that switches features off.
const VARIABLE: &str = "GORIN_WITHOUT";

/// A feature of io_uring that gorin can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// Completion work when the worker enters its ring, and at no other time
    /// (`IORING_SETUP_DEFER_TASKRUN`). Without it: [`CoopTaskrun`](Feature::CoopTaskrun).
    DeferTaskrun,
    /// Completion work at the worker's next system call (`IORING_SETUP_COOP_TASKRUN`). Without it the kernel
    /// interrupts the worker, also instead of [`DeferTaskrun`](Feature::DeferTaskrun).
    CoopTaskrun,
    /// Workers are woken by a message to their ring (`IORING_OP_MSG_RING`). Without it: by an eventfd.
    MsgRing,
    /// Rings are entered by an index (`IORING_REGISTER_RING_FDS`). Without it: by their descriptor.
    RegisteredRing,
    /// Sleeping workers do not count as waiting for a disk (`IORING_ENTER_NO_IOWAIT`).
    NoIowait,
    /// One poll for all waits of a busy socket (`IORING_POLL_ADD_MULTI`). Without it: a poll for each wait.
    MultishotPoll,
    /// Files are truncated through the ring (`IORING_OP_FTRUNCATE`). Without it: on a thread for blocking calls.
    Ftruncate,
}

impl Feature {
    /// All that there are, under the names that `GORIN_WITHOUT` knows.
    pub const ALL: [(&str, Feature); 7] = [
        ("defer_taskrun", Feature::DeferTaskrun),
        ("coop_taskrun", Feature::CoopTaskrun),
        ("msg_ring", Feature::MsgRing),
        ("registered_ring", Feature::RegisteredRing),
        ("no_iowait", Feature::NoIowait),
        ("multishot_poll", Feature::MultishotPoll),
        ("ftruncate", Feature::Ftruncate),
    ];
}

/// The features that are to be used where the kernel has them; by default all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// A bit for each that is not to be used.
    off: u8,
}

impl Features {
    /// All of them.
    pub const ALL: Features = Features { off: 0 };

    /// These without `feature`.
    #[must_use]
    pub const fn without(self, feature: Feature) -> Features {
        Features {
            off: self.off | 1 << feature as u8,
        }
    }

    /// Whether `feature` is to be used.
    pub const fn has(self, feature: Feature) -> bool {
        self.off & 1 << feature as u8 == 0
    }

    /// Those of these that `GORIN_WITHOUT` does not switch off: a list of names with commas in between.
    pub(crate) fn within_environment(self) -> io::Result<Features> {
        match env::var_os(VARIABLE) {
            None => Ok(self),
            Some(list) => self.without_listed(&list.to_string_lossy()),
        }
    }

    fn without_listed(self, list: &str) -> io::Result<Features> {
        let names = list.split(',').map(str::trim);
        let mut named = names.filter(|name| !name.is_empty());
        named.try_fold(self, |features, name| {
            let known = Feature::ALL.iter().find(|(other, _)| *other == name);
            match known {
                Some(&(_, feature)) => Ok(features.without(feature)),
                None => Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "{VARIABLE} names `{name}`: it must be a list, with commas, of {}",
                        Feature::ALL.map(|(name, _)| name).join(", ")
                    ),
                )),
            }
        })
    }
}

impl Default for Features {
    fn default() -> Features {
        Features::ALL
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = Feature::ALL.iter().filter(|(_, one)| self.has(*one));
        f.debug_list().entries(used.map(|(name, _)| name)).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_switched_off_by_its_name_alone() {
        for (name, feature) in Feature::ALL {
            let others = Features::ALL
                .without_listed(&format!(" ,{name} ,"))
                .unwrap();
            for (_, other) in Feature::ALL {
                assert_eq!(others.has(other), other != feature, "{name}: {other:?}");
            }
        }
        let list = Feature::ALL.map(|(name, _)| name).join(",");
        let none = Features::ALL.without_listed(&list).unwrap();
        assert_eq!(format!("{none:?}"), "[]");
        assert_eq!(Features::ALL.without_listed("").unwrap(), Features::ALL);
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_there_are() {
        let refused = Features::ALL.without_listed("msg_ring,sqpoll").unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("GORIN_WITHOUT names `sqpoll`"), "{text}");
        assert!(text.contains("defer_taskrun, coop_taskrun"), "{text}");
    }
}
