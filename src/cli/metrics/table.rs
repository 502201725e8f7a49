//! The catalogue as a table of at most 120 columns.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::series_max;
use crate::telemetry::catalog::{self, Metric};

/// Columns of a terminal.
pub(super) const COLUMNS: u16 = 120;
/// Of these, the first column's: the longest name and some air.
const NAME_COLUMNS: u16 = 48;

pub(super) fn table() -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    table.set_header(["METRIC", "KIND", "UNIT", "LABELS: VALUES", "SHOWN BY", "SERIES"]);
    let width = ColumnConstraint::Absolute(Width::Fixed(NAME_COLUMNS));
    table.column_mut(0).expect("the header has columns").set_constraint(width);
    for metric in catalog::ALL {
        table.add_row(row(metric));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
    let (metrics, edges) = (catalog::ALL.len(), catalog::EDGES_US.len());
    format!(
        "{}\n\nValues and series are what there can be at most: {} series from one router, of {metrics} metrics.\n\
         Each label set of a histogram is {} series: {edges} buckets with an edge, one without, sum and count.",
        lines.trim_end(),
        series_max(),
        edges + 3
    )
}

fn row(metric: &Metric) -> Vec<Cell> {
    let labels: Vec<_> =
        metric.labels.iter().map(|label| format!("{}: {}", label.name, label.values.bound())).collect();
    vec![
        Cell::new(format!("{}\n{}\n ", metric.name, metric.help)),
        Cell::new(metric.kind.name()),
        Cell::new(metric.unit.name()),
        Cell::new(labels.join("\n")),
        Cell::new(metric.shown.name()),
        Cell::new(metric.series()).set_alignment(CellAlignment::Right),
    ]
}
