//! Another share in the text of a configuration file; everything else in it stays as it is, comments too.

use anyhow::{Context as _, Result, bail};
use toml_edit::{DocumentMut, Item, TableLike, Value};

use crate::gray::Percent;

/// What is to become of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// This; what it was is noted.
    Promote(Percent),
    /// What is noted, else nobody.
    Rollback,
}

/// The text as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edited {
    pub(super) text: String,
    /// The rule that was changed.
    pub(super) rule: String,
    pub(super) from: Percent,
    pub(super) to: Percent,
}

const PERCENT: &str = "percent";
const PREVIOUS: &str = "previous_percent";

/// Changes the one rule by percent of a variant, or that of several which is named.
///
/// # Errors
/// When the text is no TOML, or has no such rule or several.
pub(super) fn edit(text: &str, variant: &str, rule: Option<&str>, wish: Wish) -> Result<Edited> {
    // the library's own message would quote the line, and the line may hold a secret
    let mut document: DocumentMut = text.parse().map_err(|_| anyhow::anyhow!("the file is not TOML"))?;
    let mut all = rules(&mut document);
    let fits = |table: &dyn TableLike| {
        word(table, "variant") == Some(variant)
            && table.contains_key(PERCENT)
            && rule.is_none_or(|rule| word(table, "name") == Some(rule))
    };
    let fitting: Vec<usize> = (0..all.len()).filter(|at| fits(&*all[*at])).collect();
    let at = match fitting[..] {
        [at] => at,
        [] => bail!("the file has no rule by percent for `{variant}`{}; it has {}", called(rule), named(&all)),
        _ => {
            let names = fitting.iter().filter_map(|at| word(&*all[*at], "name")).collect::<Vec<_>>().join(", ");
            bail!("the file has several rules by percent for `{variant}`: choose by --rule one of {names}")
        }
    };
    let table = &mut *all[at];
    let rule = word(table, "name").context("the rule has no name")?.to_owned();
    let from = share(table, PERCENT).with_context(|| format!("the percent of `{rule}` is none"))?;
    let previous = share(table, PREVIOUS);
    let (to, note) = match wish {
        Wish::Promote(to) if to == from => (to, previous),
        Wish::Promote(to) => (to, Some(from)),
        Wish::Rollback => (previous.filter(|previous| *previous != from).unwrap_or(Percent::ZERO), None),
    };
    set(table, PERCENT, to);
    match note {
        Some(note) => set(table, PREVIOUS, note),
        None => drop(table.remove(PREVIOUS)),
    }
    Ok(Edited { rule, from, to, text: document.to_string() })
}

/// However they are written: `[[variants.rules]]`, `[variants.rules]`, or a list of inline tables.
fn rules(document: &mut DocumentMut) -> Vec<&mut dyn TableLike> {
    let variants = document.get_mut("variants").and_then(Item::as_table_like_mut);
    match variants.and_then(|variants| variants.get_mut("rules")) {
        Some(Item::ArrayOfTables(tables)) => tables.iter_mut().map(|table| table as &mut dyn TableLike).collect(),
        Some(Item::Table(table)) => vec![table],
        Some(Item::Value(Value::InlineTable(table))) => vec![table],
        Some(Item::Value(Value::Array(values))) => {
            let tables = values.iter_mut().filter_map(Value::as_inline_table_mut);
            tables.map(|table| table as &mut dyn TableLike).collect()
        }
        Some(Item::None | Item::Value(_)) | None => Vec::new(),
    }
}

fn word<'a>(table: &'a dyn TableLike, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str()
}

fn share(table: &dyn TableLike, key: &str) -> Option<Percent> {
    let item = table.get(key)?;
    Percent::new(item.as_float().or_else(|| Some(item.as_integer()? as f64))?)
}

/// In the place of what stands there, with what stands around it.
fn set(table: &mut dyn TableLike, key: &str, percent: Percent) {
    let number = percent.number();
    let mut value = if number.fract() == 0.0 { Value::from(number as i64) } else { Value::from(number) };
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(there) => {
            *value.decor_mut() = there.decor().clone();
            *there = value;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

fn called(rule: Option<&str>) -> String {
    rule.map_or_else(String::new, |rule| format!(" called `{rule}`"))
}

fn named(all: &[&mut dyn TableLike]) -> String {
    let of = |table: &dyn TableLike| {
        let (name, variant) = (word(table, "name").unwrap_or("?"), word(table, "variant").unwrap_or("?"));
        format!("{name} ({variant}, {})", if table.contains_key(PERCENT) { "by percent" } else { "not by percent" })
    };
    let all: Vec<_> = all.iter().map(|table| of(&**table)).collect();
    if all.is_empty() { "no rules at all".to_owned() } else { all.join(", ") }
}
