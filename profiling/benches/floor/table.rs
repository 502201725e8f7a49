//! The table: a row for each figure, with its target and whether it is kept.

use comfy_table::{CellAlignment, Table, presets};

use super::workload::{Figure, Target, Workload};

/// Medians of both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) figure: Figure,
    pub(crate) target: Target,
    pub(crate) floor: f64,
    pub(crate) signalbox: f64,
}

impl Row {
    pub(crate) fn kept(&self) -> Option<bool> {
        self.target.kept(self.floor, self.signalbox)
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
    table.set_header(["load", "figure", "floor", "signalbox", "ratio", "target", ""]);
    for row in rows {
        let verdict = match row.kept() {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "",
        };
        table.add_row([
            row.workload.name().to_owned(),
            row.figure.name().to_owned(),
            format!("{:.2}", row.floor),
            format!("{:.2}", row.signalbox),
            format!("{:.2}", row.signalbox / row.floor),
            row.target.name(),
            verdict.to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
