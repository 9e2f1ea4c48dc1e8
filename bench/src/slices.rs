//! Servers compared by many short turns: all of a row stay up, and one client after another asks each of
//! them for a moment, so that what the machine does meanwhile happens to all alike.
//!
//! After a few turns all servers are started anew: where in memory a process lies makes it some per cent
//! faster or slower for as long as it lives.
//!
//! What is told of a contender is the median of its ratios to the first one, slice by slice within a set of
//! processes and then over the sets, and the standard error of that. With 30 slices of 0.2 s the error of a
//! CPU time is 1 to 2 %, where the medians of five processes, one after the other, differ by 10 % and more
//! from run to run.

use crate::build::Programs;
use crate::child::Failure;
use crate::contender::Contender;
use crate::plan::{Load, Row};
use crate::round::{Machine, Serving};
use crate::stats::Samples;
use crate::table::number;
use crate::wire::Metrics;
use std::fmt::Write;

/// So often the servers of one set of processes are asked.
const SLICES_PER_SET: usize = 3;

/// Compares all `contenders` in the rows that have a client, by `slices` turns each; gives a table in
/// Markdown. Calls `progress` before each row.
pub fn run(
    rows: &[Row],
    contenders: &[Contender],
    programs: &Programs,
    slices: usize,
    mut progress: impl FnMut(&Row),
) -> String {
    let machine = Machine::of_this_process();
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let mut table = format!("| benchmark | unit | {} |\n", names.join(" | "));
    let _ = writeln!(table, "|---|---|{}", "---:|".repeat(names.len()));
    for row in rows
        .iter()
        .filter(|row| matches!(row.load, Load::Client(..)))
    {
        progress(row);
        let mut results: Vec<_> = names.iter().map(|_| Ok(Vec::new())).collect();
        let mut left = slices;
        while left > 0 {
            let turns = left.min(SLICES_PER_SET);
            let servers = start(row, contenders, programs, &machine, turns);
            measure(servers, &mut results, turns);
            left -= turns;
        }
        for (name, result) in names.iter().zip(&results) {
            if let Err(failure) = result {
                eprintln!("{}: {name} {failure}", row.id);
            }
        }
        for metric in row.metrics {
            let cells: Vec<_> = results
                .iter()
                .map(|result| cell(result, &results[0], metric.name))
                .collect();
            let id = format!("{}.{}", row.id, metric.name);
            let _ = writeln!(table, "| {id} | {} | {} |", metric.unit, cells.join(" | "));
        }
    }
    table
}

/// A server of each contender, for `turns` turns.
fn start<'a>(
    row: &'a Row,
    contenders: &'a [Contender],
    programs: &'a Programs,
    machine: &'a Machine,
    turns: usize,
) -> Vec<Result<Serving<'a>, Failure>> {
    let limit = row.limit * u32::try_from(turns * contenders.len()).unwrap_or(u32::MAX);
    let start = |contender| match row.takes(contender) {
        true => Serving::start(row, contender, programs, machine, limit),
        false => Err(Failure::Unsupported("not in this row".to_owned())),
    };
    contenders.iter().map(start).collect()
}

/// Adds to `results` what each server gives in each slice, or why it gives nothing.
fn measure(
    mut servers: Vec<Result<Serving<'_>, Failure>>,
    results: &mut [Result<Vec<Metrics>, Failure>],
    slices: usize,
) {
    for slice in 0..slices {
        for turn in 0..servers.len() {
            // Nobody always comes behind the same one.
            let index = match slice % 2 {
                0 => (slice + turn) % servers.len(),
                _ => (slice + servers.len() - turn) % servers.len(),
            };
            let sample = match &mut servers[index] {
                Ok(server) => server.sample(),
                Err(failure) => Err(failure.clone()),
            };
            match (&mut results[index], sample) {
                (Ok(samples), Ok(sample)) => samples.push(sample),
                (result @ Ok(_), Err(failure)) => *result = Err(failure),
                (Err(_), _) => {}
            }
        }
    }
}

/// The median of a metric, and its ratio to that of `first`.
fn cell(
    result: &Result<Vec<Metrics>, Failure>,
    first: &Result<Vec<Metrics>, Failure>,
    metric: &str,
) -> String {
    let (Ok(result), Ok(first)) = (result, first) else {
        return "–".to_owned();
    };
    let values = |slices: &[Metrics]| -> Vec<f64> {
        let all = slices.iter();
        all.filter_map(|slice| slice.get(metric).copied()).collect()
    };
    let (values, reference) = (values(result), values(first));
    let mut samples = Samples::default();
    values.iter().for_each(|&value| samples.push(value));
    let Some(median) = samples.median() else {
        return "–".to_owned();
    };
    let median = number(median);
    match paired_ratio(&values, &reference) {
        Some((ratio, error)) => format!("{median} ({ratio:.3} ± {error:.3})"),
        None => median,
    }
}

/// The median of the ratios of `values` to `reference`, one by one, and its standard error. `None` where
/// there is none, or a value is zero.
fn paired_ratio(values: &[f64], reference: &[f64]) -> Option<(f64, f64)> {
    let sets = values.chunks(SLICES_PER_SET);
    let mut medians = Samples::default();
    for (values, reference) in sets.zip(reference.chunks(SLICES_PER_SET)) {
        let mut logs = Samples::default();
        for (value, reference) in values.iter().zip(reference) {
            let ratio = value / reference;
            if !(ratio.is_finite() && ratio > 0.0) {
                return None;
            }
            logs.push(ratio.ln());
        }
        medians.push(logs.median()?);
    }
    let ratio = medians.median()?.exp();
    Some((ratio, ratio * medians.error_of_median()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_slice_by_slice() {
        // The machine got twice as slow in the middle.
        let reference = [1.0, 1.0, 2.0, 2.0, 2.0, 2.0];
        let values = [1.5, 1.5, 3.0, 3.0, 3.0, 3.0];
        let (ratio, error) = paired_ratio(&values, &reference).unwrap();
        assert!(
            (ratio - 1.5).abs() < 1e-9 && error < 1e-9,
            "{ratio} {error}"
        );
        // Sets of processes differ, and within one nothing does.
        let values = [1.0, 1.0, 1.0, 1.2, 1.2, 1.2, 0.8, 0.8, 0.8, 1.1, 1.1, 1.1];
        let (_, error) = paired_ratio(&values, &[1.0; 12]).unwrap();
        assert!((0.05..0.2).contains(&error), "{error}");
        assert_eq!(paired_ratio(&[0.0], &[1.0]), None);
        assert_eq!(paired_ratio(&[], &[]), None);
    }

    #[test]
    fn what_failed_is_a_gap() {
        let measured = Ok(vec![Metrics::from([("cpu".to_owned(), 2.0)]); 4]);
        let failed = Err(Failure::Broken("no luck".to_owned()));
        assert_eq!(cell(&failed, &measured, "cpu"), "–");
        assert_eq!(cell(&measured, &failed, "cpu"), "–");
        assert_eq!(cell(&measured, &measured, "rate"), "–");
        assert_eq!(cell(&measured, &measured, "cpu"), "2.00 (1.000 ± 0.000)");
    }
}
