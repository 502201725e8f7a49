//! Shares, names and tables for a terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Columns of a share: `100.0 %`.
pub(in crate::cli) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The end of a text: of a path it says more than its beginning.
pub(super) fn ending(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length - columns.saturating_sub(1)).collect();
    if columns == 0 { String::new() } else { format!("…{end}") }
}

/// The beginning of a text.
pub(super) fn beginning(text: &str, columns: usize) -> String {
    let end: String = text.chars().take(columns.saturating_sub(1)).collect();
    if text.chars().count() <= columns { text.to_owned() } else { format!("{end}…") }
}

/// A table whose first columns are numbers; the rest is text.
pub(in crate::cli) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.column_iter_mut().take(numbers).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

pub(in crate::cli) fn printed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_says_so_and_fits() {
        assert_eq!((ending("room::join", 10), ending("room::join", 5)), ("room::join".to_owned(), "…join".to_owned()));
        assert_eq!((beginning("threads", 7), beginning("threads", 4)), ("threads".to_owned(), "thr…".to_owned()));
        assert_eq!((ending("äöü", 2), ending("äöü", 0)), ("…ü".to_owned(), String::new()));
    }
}
