//! The table: a row for each figure, with its target and whether it is kept.

use comfy_table::{CellAlignment, Table, presets};

use super::workload::Target;

/// A figure of both sides.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) load: String,
    pub(crate) figure: String,
    pub(crate) target: Target,
    pub(crate) reference: f64,
    pub(crate) router: f64,
}

impl Row {
    pub(crate) fn new(load: &str, figure: &str, target: Target, reference: f64, router: f64) -> Self {
        Self { load: load.to_owned(), figure: figure.to_owned(), target, reference, router }
    }

    pub(crate) fn kept(&self) -> Option<bool> {
        self.target.kept(self.reference, self.router)
    }
}

/// The middle of the values; of an even count, the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => f64::midpoint(values[(count - 1) / 2], values[count / 2]),
    }
}

pub(crate) fn draw(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["load", "figure", "reference", "router", "ratio", "target", ""]);
    for row in rows {
        let verdict = match row.kept() {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "",
        };
        table.add_row([
            row.load.clone(),
            row.figure.clone(),
            number(row.reference),
            number(row.router),
            number(row.router / row.reference),
            row.target.name(),
            verdict.to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Blank where there is nothing to compare with.
fn number(value: f64) -> String {
    if value.is_nan() { String::new() } else { format!("{value:.2}") }
}
