//! The text of a schedule: what a failed model prints and `GORIN_REPLAY` takes.
//!
//! Words are separated by blanks: `3` means that goroutine 3 takes a step, `3*4` that it takes four,
//! `c1` that the second possibility of a choice is taken. `a` at the beginning says that the program
//! aborts goroutines, and `d` that it looks at channels which the drop of handles has closed: there more
//! is a step.

use super::strategy::Decision;

/// One decision as a word.
pub(super) fn word(decision: Decision) -> String {
    match decision {
        Decision::Run(goroutine) => goroutine.to_string(),
        Decision::Choose(choice) => format!("c{choice}"),
    }
}

/// What the program was seen to do that makes more of its operations steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// It aborts goroutines: known as soon as one is about to be aborted.
    pub(crate) aborts: bool,
    /// It looks at channels that are closed because handles were dropped. So each drop matters, not only
    /// that of the last handle: which one is the last, and whether it comes before the look.
    pub(crate) drops: bool,
}

/// The words for [`Shown`].
const ABORTS: &str = "a";
const DROPS: &str = "d";

/// The schedule as text, repeated steps of one goroutine folded.
pub(crate) fn write(decisions: &[Decision], shown: Shown) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(shown.aborts.then(|| ABORTS.to_owned()));
    words.extend(shown.drops.then(|| DROPS.to_owned()));
    for run in decisions.chunk_by(|a, b| matches!(a, Decision::Run(_)) && a == b) {
        words.push(match run.len() {
            1 => word(run[0]),
            steps => format!("{}*{steps}", word(run[0])),
        });
    }
    words.join(" ")
}

/// Decisions in a schedule at most (256 MB of them): a mistyped number must not exhaust the memory.
const MOST: usize = 1 << 24;

/// Reads what [`write()`] wrote.
///
/// # Errors
/// The word that is no decision, or with which there are more than [`MOST`].
pub(crate) fn read(text: &str) -> Result<(Vec<Decision>, Shown), String> {
    let mut decisions = Vec::new();
    let mut words = text.split_whitespace().peekable();
    let shown = Shown {
        aborts: words.next_if_eq(&ABORTS).is_some(),
        drops: words.next_if_eq(&DROPS).is_some(),
    };
    for word in words {
        let wrong = || format!("`{word}` in the schedule is neither a goroutine nor a choice");
        let number = |digits: &str| digits.parse::<usize>().map_err(|_| wrong());
        if let Some(choice) = word.strip_prefix('c') {
            decisions.push(Decision::Choose(number(choice)?));
            continue;
        }
        let (goroutine, steps) = word.split_once('*').unwrap_or((word, "1"));
        let (step, steps) = (Decision::Run(number(goroutine)?), number(steps)?);
        if decisions.len().saturating_add(steps) > MOST {
            return Err(format!(
                "with `{word}` the schedule has more than {MOST} steps"
            ));
        }
        decisions.extend(std::iter::repeat_n(step, steps));
    }
    Ok((decisions, shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Choose, Run};

    #[test]
    fn a_schedule_survives_being_written_and_read() {
        let decisions = [Run(0), Run(0), Run(1), Choose(2), Choose(2), Run(1), Run(0)];
        for (aborts, drops, before) in [
            (false, false, ""),
            (true, false, "a "),
            (false, true, "d "),
            (true, true, "a d "),
        ] {
            let shown = Shown { aborts, drops };
            let text = write(&decisions, shown);
            assert_eq!(text, format!("{before}0*2 1 c2 c2 1 0"));
            assert_eq!(read(&text).unwrap(), (decisions.to_vec(), shown));
        }
    }

    #[test]
    fn a_wrong_word_is_named() {
        assert!(read("0 x1").unwrap_err().contains("`x1`"));
        assert!(read("0*b").unwrap_err().contains("`0*b`"));
        assert!(read("c").unwrap_err().contains("`c`"));
    }

    #[test]
    fn a_schedule_that_fills_the_memory_is_refused() {
        for text in ["0*18446744073709551615", "0*16777216 c1 1*2"] {
            let word = text.split(' ').next_back().unwrap();
            assert!(read(text).unwrap_err().contains(&format!("`{word}`")));
        }
    }
}
