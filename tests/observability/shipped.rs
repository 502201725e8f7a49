//! What is shipped beside the service, as it is read: rules, their tests, runbooks, boards.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use promql_parser::parser::Expr;
use serde_json::Value;

use crate::expressions::parsed;

/// An expression and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) place: String,
    pub(crate) by: By,
    /// Or why it cannot be read.
    pub(crate) expression: Result<Expr, String>,
}

impl Asked {
    fn new(place: &str, by: &By, expression: &str) -> Self {
        Self { place: place.to_owned(), by: by.clone(), expression: parsed(expression) }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// A board, by its uid.
    Board(String),
    /// An alert, its annotations included.
    Alert(String),
    /// A recording rule, by what it records.
    Record(String),
}

/// One alerting rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alert {
    pub(crate) place: String,
    pub(crate) name: String,
    pub(crate) rule: Value,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shipped {
    /// Everything that is asked of Prometheus.
    pub(crate) asked: Vec<Asked>,
    pub(crate) alerts: Vec<Alert>,
    /// Files of promtool's tests.
    pub(crate) tests: Vec<Value>,
    /// Names of files without their ending, and their first lines.
    pub(crate) runbooks: Vec<(String, String)>,
    /// Boards by their file.
    pub(crate) boards: Vec<(String, Value)>,
}

impl Shipped {
    /// The repository's, read once.
    pub(crate) fn read() -> &'static Self {
        static READ: OnceLock<Shipped> = OnceLock::new();
        READ.get_or_init(Self::read_all)
    }

    fn read_all() -> Self {
        let mut shipped = Self::default();
        for folder in ["alerts/recording", "alerts/rules"] {
            for (path, text) in files(folder, "yml") {
                shipped.take_rules(&path, &text);
            }
        }
        for (path, text) in files("alerts/tests", "yml") {
            let tests = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            shipped.tests.push(tests);
        }
        for (path, text) in files("alerts/runbooks", "md") {
            let name = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
            if name != "README" {
                shipped.runbooks.push((name, text.lines().next().unwrap_or_default().to_owned()));
            }
        }
        for (path, text) in files("dashboards/grafana", "json") {
            shipped.take_board(&path, &text);
        }
        shipped
    }

    pub(crate) fn take_rules(&mut self, path: &str, text: &str) {
        let file: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let groups = list(&file["groups"]);
        for rule in groups.iter().flat_map(|group| list(&group["rules"])) {
            let expression = text_of(&rule["expr"]);
            if let Some(name) = rule["record"].as_str() {
                let (place, by) = (format!("{path}, {name}"), By::Record(name.to_owned()));
                self.asked.push(Asked::new(&place, &by, &expression));
            } else {
                let name = text_of(&rule["alert"]);
                let (place, by) = (format!("{path}, alert {name}"), By::Alert(name.clone()));
                self.asked.push(Asked::new(&place, &by, &expression));
                for query in queries_of_templates(&rule["annotations"].to_string()) {
                    self.asked.push(Asked::new(&place, &by, &query));
                }
                self.alerts.push(Alert { place, name, rule: rule.clone() });
            }
        }
    }

    pub(crate) fn take_board(&mut self, path: &str, text: &str) {
        let board: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (uid, title) = (text_of(&board["uid"]), text_of(&board["title"]));
        let by = By::Board(uid);
        let mut ask = |what: String, expression: &str| {
            let place = format!("{path}, board {title:?}, {what}");
            self.asked.push(Asked::new(&place, &by, &without_variables(expression)));
        };
        for panel in panels(&board) {
            for target in list(&panel["targets"]) {
                if let Some(expression) = target["expr"].as_str() {
                    ask(format!("panel {:?}", text_of(&panel["title"])), expression);
                }
            }
        }
        for annotation in list(&board["annotations"]["list"]) {
            if let Some(expression) = annotation["expr"].as_str() {
                ask(format!("annotation {:?}", text_of(&annotation["name"])), expression);
            }
        }
        for variable in list(&board["templating"]["list"]) {
            if let Some(expression) = variable["query"]["query"].as_str().and_then(of_variable) {
                ask(format!("variable {:?}", text_of(&variable["name"])), &expression);
            }
        }
        self.boards.push((path.to_owned(), board));
    }
}

/// The panels of a board, those in collapsed rows included; no rows.
pub(crate) fn panels(board: &Value) -> Vec<&Value> {
    let outer = list(&board["panels"]).iter();
    let all = outer.flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])));
    all.filter(|panel| panel["type"] != "row").collect()
}

/// Its elements; none if it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Its text; of a number as it is written.
pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files of that ending in a folder, by their path from the root.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(!files.is_empty(), "no {ending} in {folder}");
    files.sort();
    files
}

/// Grafana's variables in places where PromQL wants a duration or a number; inside of quotes they are text.
fn without_variables(expression: &str) -> String {
    [("$__rate_interval", "5m"), ("$__interval", "1m"), ("$__range", "1h"), ("$quantile", "0.99")]
        .iter()
        .fold(expression.to_owned(), |text, (variable, duration)| text.replace(variable, duration))
}

/// What a variable's query asks: `label_values(METRIC, LABEL)` as `sum by (LABEL) (METRIC)`.
fn of_variable(query: &str) -> Option<String> {
    let inside = query.strip_prefix("label_values(")?.strip_suffix(')')?;
    let (metric, label) = inside.rsplit_once(',')?;
    Some(format!("sum by ({}) ({metric})", label.trim()))
}

/// The queries in templates, as Go's `printf` would fill them in: what stands in `query (printf "…")` or `query "…"`.
fn queries_of_templates(annotations: &str) -> Vec<String> {
    let annotations: Value = serde_json::from_str(annotations).unwrap();
    let texts = annotations.as_object().into_iter().flatten().map(|(_, text)| text_of(text));
    texts.flat_map(|text| queries_of(&text)).collect()
}

fn queries_of(template: &str) -> Vec<String> {
    let mut queries = Vec::new();
    for after in template.split("query ").skip(1) {
        let after = after.trim_start_matches('(').trim_start();
        let after = after.strip_prefix("printf ").unwrap_or(after);
        if let Some(literal) = after.strip_prefix('"') {
            queries.push(filled(&unquoted(literal)));
        } else if let Some(literal) = after.strip_prefix('`') {
            queries.push(filled(literal.split('`').next().unwrap_or_default()));
        }
    }
    queries
}

/// A Go string up to its end.
fn unquoted(literal: &str) -> String {
    let mut text = String::new();
    let mut letters = literal.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => text.extend(letters.next()),
            letter => text.push(letter),
        }
    }
    text
}

fn filled(format: &str) -> String {
    format.replace("%q", "\"x\"").replace("%s", "x").replace("%%", "%")
}

#[test]
fn queries_are_found_in_templates() {
    let template = r#"{{ with query (printf "topk(1, up{cluster=%q, x=\"1\"})" $labels.cluster) }}a{{ end }}{{ query "vector(1)" }}"#;
    assert_eq!(queries_of(template), [r#"topk(1, up{cluster="x", x="1"})"#, "vector(1)"]);
}

#[test]
fn a_variables_query_is_a_grouping() {
    let asked = of_variable(r#"label_values(up{job=~"$job"}, cluster)"#);
    assert_eq!(asked.as_deref(), Some(r#"sum by (cluster) (up{job=~"$job"})"#));
}
