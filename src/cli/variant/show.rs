//! Rules, variants and explanations for people.

use comfy_table::Table;

use crate::{
    config::columns,
    gray::{Explained, Step},
    ids::Variant,
    io::ops::{ShownRule, ShownVariants},
};

/// What a file says.
pub(super) fn written(names: &[Variant], rules: &[ShownRule]) -> String {
    let names: Vec<&str> = names.iter().map(Variant::as_str).collect();
    let mut table = columns(["RULE", "VARIANT", "ASKS WHETHER", "BEFORE"]);
    for ShownRule { asks, previous_percent, done, .. } in rules {
        table.add_row([done.rule.as_str(), &done.variant, asks, &percent(*previous_percent)]);
    }
    format!("variants: {}\n{}", names.join(", "), lines(&table))
}

/// What a router does.
pub(super) fn running(shown: &ShownVariants) -> String {
    let mut rules = columns(["RULE", "VARIANT", "ASKS WHETHER", "BEFORE", "ASKED", "FITTED", "GOT"]);
    for ShownRule { asks, previous_percent, done, .. } in &shown.rules {
        let (asked, fitted) = (done.asked.to_string(), done.fitted.to_string());
        rules.add_row([
            done.rule.as_str(),
            &done.variant,
            asks,
            &percent(*previous_percent),
            &asked,
            &fitted,
            &percent(done.got_percent),
        ]);
    }
    let mut variants = columns(["VARIANT", "SESSIONS", "SHARE", "SIGNALS 1M", "P99", "ERRORS", ""]);
    for row in &shown.variants {
        variants.add_row([
            row.variant.clone(),
            row.sessions.to_string(),
            percent(Some(row.sessions_percent)),
            row.signals.to_string(),
            millis(row.p99_ms),
            percent(Some(row.errors_percent)),
            if row.in_force { String::new() } else { "no longer configured".to_owned() },
        ]);
    }
    let since = shown.in_force_seconds;
    let head = format!("in force for {since:.0} s; connections are counted since");
    format!("{head}\n{}\n\n{}", lines(&rules), lines(&variants))
}

/// Why a client gets what it gets.
pub(super) fn explained(explained: &Explained) -> String {
    let why = match &explained.rule {
        Some(rule) => format!("by the rule `{rule}`"),
        None => "because no rule fits".to_owned(),
    };
    let step = |(at, step): (usize, &Step)| {
        let Step { rule, variant, asks, answer, why } = step;
        format!("{:>3}. {rule} -> {variant}: {}\n     whether {asks}: {why}", at + 1, answer.words())
    };
    let steps: Vec<String> = explained.steps.iter().enumerate().map(step).collect();
    let steps = if steps.is_empty() { "  there are no rules".to_owned() } else { steps.join("\n") };
    format!("{} {why}\n{steps}", explained.variant)
}

/// A share; absent: none is known.
pub(super) fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"))
}

/// A latency; absent: there is none.
pub(super) fn millis(millis: Option<f64>) -> String {
    millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1} ms"))
}

/// The lines of a table, without blanks at their ends.
pub(super) fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}
