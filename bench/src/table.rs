//! The report as Markdown: a table per board, reasons for gaps below.

use crate::child::Failure;
use crate::contender::{Board, Contender};
use crate::plan::{Metric, Row};
use crate::runner::{Cell, Results};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where the report begins in a document that holds more.
pub const BEGIN: &str = "<!-- results: begin (written by gorin-bench --out) -->";
/// Where it ends.
pub const END: &str = "<!-- results: end -->";

/// Rows that a gap names one by one.
const GAPS_NAMED: usize = 6;

/// The whole report.
pub fn render(heading: &str, rows: &[Row], contenders: &[Contender], results: &Results) -> String {
    let mut text = format!("{heading}\n");
    let boards = [
        (Board::Runtimes, "Runtimes, each with its own channel"),
        (Board::Channels, "Channels on several executors"),
        (Board::Servers, "Servers"),
    ];
    for (board, title) in boards {
        let mut rows: Vec<_> = rows
            .iter()
            .filter(|row| row.boards.contains(&board))
            .collect();
        let mut columns: Vec<_> = contenders
            .iter()
            .filter(|contender| contender.boards.contains(&board))
            .collect();
        columns.retain(|column| rows.iter().any(|row| measured(results, row, column)));
        rows.retain(|row| columns.iter().any(|column| measured(results, row, column)));
        if !columns.is_empty() {
            let _ = writeln!(text, "### {title}\n");
            render_board(&mut text, &rows, &columns, results);
        }
    }
    render_failures(&mut text, contenders, results);
    text
}

/// Whether there is something to show of `column` in `row`.
fn measured(results: &Results, row: &Row, column: &Contender) -> bool {
    matches!(
        results.get(&(row.id.clone(), column.name)),
        Some(Cell::Measured(_))
    )
}

fn render_board(text: &mut String, rows: &[&Row], columns: &[&Contender], results: &Results) {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    let _ = writeln!(text, "| benchmark | unit | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---:|".repeat(columns.len()));
    for row in rows {
        for metric in row.metrics {
            let id = match row.metrics {
                [_] => row.id.clone(),
                _ => format!("{}.{}", row.id, metric.name),
            };
            let arrow = match metric.better {
                crate::stats::Better::Lower => "",
                crate::stats::Better::Higher => " ↑",
            };
            let cells = render_cells(row, metric, columns, results);
            let _ = writeln!(
                text,
                "| {id} | {}{arrow} | {} |",
                metric.unit,
                cells.join(" | ")
            );
        }
    }
    text.push('\n');
}

/// `median ±spread (ratio to the best peer)`; the best peer, and ours where it is first, in bold.
fn render_cells(
    row: &Row,
    metric: &Metric,
    columns: &[&Contender],
    results: &Results,
) -> Vec<String> {
    let cells: Vec<_> = columns
        .iter()
        .map(|column| match results.get(&(row.id.clone(), column.name)) {
            Some(Cell::Measured(samples)) => {
                let samples = samples.get(metric.name)?;
                Some((samples.median()?, samples.spread()))
            }
            _ => None,
        })
        .collect();
    let peers = columns
        .iter()
        .zip(&cells)
        .filter(|(column, _)| !column.ours);
    let best = metric
        .better
        .best(peers.filter_map(|(_, cell)| cell.map(|(median, _)| median)));
    columns
        .iter()
        .zip(&cells)
        .map(|(column, cell)| {
            let Some((median, spread)) = *cell else {
                return "–".to_owned();
            };
            let ratio = best.and_then(|best| metric.better.ratio(median, best));
            let first = Some(median) == best || (column.ours && ratio.is_some_and(|r| r < 1.0));
            let mut cell = number(median);
            if first {
                cell = format!("**{cell}**");
            }
            if let Some(spread) = spread {
                let _ = write!(cell, " ±{:.0}%", spread * 50.0);
            }
            if let Some(ratio) = ratio.filter(|_| Some(median) != best) {
                let digits = if ratio < 10.0 { 2 } else { 0 };
                let _ = write!(cell, " ({ratio:.digits$})");
            }
            cell
        })
        .collect()
}

/// Three significant digits, thousands separated.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        0.0..0.0001 => "<0.0001".to_owned(),
        0.0001..0.1 => format!("{value:.4}"),
        0.1..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
    }
}

/// One line per contender and reason, naming the rows.
fn render_failures(text: &mut String, contenders: &[Contender], results: &Results) {
    let mut reasons: BTreeMap<(usize, String), Vec<&str>> = BTreeMap::new();
    for ((row, name), cell) in results {
        if let Cell::Failed(failure) = cell {
            let place = contenders
                .iter()
                .position(|contender| contender.name == *name);
            let reason = (place.unwrap_or(usize::MAX), failure_text(failure));
            reasons.entry(reason).or_default().push(row);
        }
    }
    if reasons.is_empty() {
        return;
    }
    let _ = writeln!(text, "### Gaps\n");
    for ((place, reason), rows) in reasons {
        let name = contenders
            .get(place)
            .map_or("unknown", |contender| contender.name);
        let more = rows.len().saturating_sub(GAPS_NAMED);
        let mut rows = rows[..rows.len() - more].join(", ");
        if more > 0 {
            let _ = write!(rows, " and {more} more");
        }
        let _ = writeln!(text, "- {name}: {reason} ({rows})");
    }
    text.push('\n');
}

fn failure_text(failure: &Failure) -> String {
    failure.to_string().replace('|', "\\|").replace('\n', " ")
}

/// `document` with what is between [`BEGIN`] and [`END`] replaced by `report`; the report alone
/// where the document has no such place.
pub fn insert(document: &str, report: &str) -> String {
    match (document.find(BEGIN), document.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!(
                "{}{BEGIN}\n\n{report}\n{}",
                &document[..begin],
                &document[end..]
            )
        }
        _ => report.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Program;
    use crate::plan::Size;
    use crate::stats::Samples;

    fn cell(values: &[f64]) -> Cell {
        let mut samples = Samples::default();
        values.iter().for_each(|&value| samples.push(value));
        Cell::Measured(BTreeMap::from([("task".to_owned(), samples)]))
    }

    fn column(name: &'static str, ours: bool) -> Contender {
        let mut column = *crate::contender::CONTENDERS
            .iter()
            .find(|c| c.name == "tokio")
            .unwrap();
        (column.name, column.ours, column.program) = (name, ours, Program::Go);
        column
    }

    #[test]
    fn a_table_shows_medians_spreads_ratios_and_gaps() {
        let rows: Vec<_> = Size::FULL
            .rows()
            .into_iter()
            .filter(|row| row.id.starts_with("spawn_join.w1"))
            .collect();
        let columns = [
            column("ours", true),
            column("a", false),
            column("b", false),
            column("c", false),
        ];
        let id = "spawn_join.w1".to_owned();
        let results = Results::from([
            ((id.clone(), "ours"), cell(&[90.0, 100.0, 110.0])),
            ((id.clone(), "a"), cell(&[1500.0])),
            ((id.clone(), "b"), cell(&[200.0])),
            ((id, "c"), Cell::Failed(Failure::Broken("no|ring".into()))),
        ]);
        let text = render("head", &rows, &columns, &results);
        let expected = "head\n### Runtimes, each with its own channel\n\n\
            | benchmark | unit | ours | a | b |\n|---|---|---:|---:|---:|\n\
            | spawn_join.w1.task | ns/task | **100** ±10% (0.50) | 1,500 (7.50) | **200** |\n\
            | spawn_join.w1.sleeps | /task | – | – | – |\n\n\
            ### Gaps\n\n- c: failed: no\\|ring (spawn_join.w1)\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let texts = [0.0, 0.000_01, 0.004_321, 9.876, 98.76, 987.6, 1_234_567.0].map(number);
        assert_eq!(
            texts,
            ["0", "<0.0001", "0.0043", "9.88", "98.8", "988", "1,234,567"]
        );
    }

    #[test]
    fn a_report_replaces_the_last_one_and_nothing_else() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = insert(&document, "new");
        assert_eq!(once, format!("before\n{BEGIN}\n\nnew\n{END}\nafter\n"));
        assert_eq!(insert(&once, "new"), once);
        assert_eq!(insert("something else", "new"), "new");
    }
}
