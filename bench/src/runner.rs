//! Interleaved rounds: for each row A B C, A B C, …, so that a machine that grows slower or
//! faster does so for everybody.

use crate::build::Programs;
use crate::child::Failure;
use crate::contender::Contender;
use crate::plan::Row;
use crate::round::{self, Machine};
use crate::stats::Samples;
use std::collections::BTreeMap;

/// What is known of one contender in one row.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Samples by metric.
    Measured(BTreeMap<String, Samples>),
    /// No result in some round: then there is none at all.
    Failed(Failure),
}

/// Cells by row and contender.
pub type Results = BTreeMap<(String, &'static str), Cell>;

/// Measures all `rows` for all `contenders`, `rounds` times each. Calls `progress` before each row.
pub fn run(
    rows: &[Row],
    contenders: &[Contender],
    programs: &Programs,
    rounds: usize,
    mut progress: impl FnMut(&Row),
) -> Results {
    let machine = Machine::of_this_process();
    let mut results = Results::new();
    for row in rows {
        progress(row);
        let takers: Vec<_> = contenders
            .iter()
            .filter(|contender| row.takes(contender))
            .collect();
        for _ in 0..rounds {
            for contender in &takers {
                let cell = results
                    .entry((row.id.clone(), contender.name))
                    .or_insert_with(|| Cell::Measured(BTreeMap::new()));
                let Cell::Measured(samples) = cell else {
                    continue;
                };
                match round::sample(row, contender, programs, &machine) {
                    Ok(metrics) => {
                        for (name, value) in metrics {
                            samples.entry(name).or_default().push(value);
                        }
                    }
                    Err(failure) => *cell = Cell::Failed(failure),
                }
            }
        }
    }
    results
}
