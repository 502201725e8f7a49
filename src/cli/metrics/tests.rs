use clap::CommandFactory as _;

use super::*;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/METRICS.md");

#[test]
fn the_page_in_dashboards_is_what_the_command_writes() {
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(kept, page::page(), "run: signalbox metrics --format md > dashboards/METRICS.md");
}

#[test]
fn the_table_fits_a_terminal_and_misses_nothing() {
    let table = table::table();
    for line in table.lines() {
        assert!(line.chars().count() <= usize::from(table::COLUMNS), "{line}");
    }
    // wrapped or not, words stand in their order
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let all = words(&table);
    for metric in catalog::ALL {
        assert_eq!(all.iter().filter(|word| *word == metric.name).count(), 1, "{} is cut or missing", metric.name);
        let missing: Vec<_> = words(metric.help).into_iter().filter(|word| !all.contains(word)).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", metric.name);
    }
    assert!(table.contains(&format!("{} series", series_max())));
}

#[test]
fn the_json_holds_every_row_with_its_labels_and_the_sum() {
    let json = as_json();
    let metrics = json["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), catalog::ALL.len());
    let sum: u64 = metrics.iter().map(|metric| metric["series_max"].as_u64().unwrap()).sum();
    assert_eq!(json["series_max"], sum);
    let signals = metrics.iter().find(|metric| metric["name"] == "signalbox_signals_total").unwrap();
    assert_eq!((&signals["kind"], &signals["unit"]), (&"counter".into(), &"count".into()));
    assert_eq!(signals["labels"][1]["name"], "outcome");
    assert_eq!(signals["labels"][1]["set"], json!(catalog::OUTCOMES));
    let p99 = metrics.iter().find(|metric| metric["name"] == "signalbox_signal_p99_seconds").unwrap();
    assert_eq!(p99["labels"][2], json!({"name": "sdk_version", "values": "busiest", "values_max": 9, "set": null}));
    assert_eq!(p99["label_sets_max"], catalog::CLIENT_SERIES_MAX);
    assert!(json["latency_edges_seconds"].as_array().unwrap().contains(&0.08.into()));
}

#[test]
fn no_text_of_the_catalogue_breaks_a_table_of_markdown() {
    assert!(catalog::ALL.iter().all(|metric| !metric.help.contains(['|', '<'])));
    let page = page::page();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), catalog::ALL.len());
    assert!(rows.iter().all(|row| row.matches('|').count() == 7));
}

#[test]
fn every_shape_that_the_help_names_can_be_asked_for() {
    let help = super::super::Cli::command().find_subcommand_mut("metrics").unwrap().render_long_help().to_string();
    for shape in ["table", "json", "md", "Examples:"] {
        assert!(help.contains(shape), "{help}");
    }
}
