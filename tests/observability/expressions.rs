//! What an expression of PromQL asks for: which series, by which labels and values, and which labels its result may have.

use std::collections::BTreeSet;

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorSelector, token},
};

/// Labels; absent: any, of series that are not ours.
pub(crate) type Labels = Option<BTreeSet<String>>;

/// What the names of series mean.
pub(crate) trait Series {
    /// The labels of a series; an error: there is none of that name.
    fn labels(&self, name: &str) -> Result<Labels, String>;

    /// What is wrong with asking for that value of a label.
    fn value(&self, name: &str, label: &str, value: &str) -> Option<String>;
}

/// The expression as a tree.
pub(crate) fn parsed(expression: &str) -> Result<Expr, String> {
    parser::parse(expression).map_err(|error| format!("cannot be read: {error} in {expression}"))
}

/// Names of all series that are asked for.
pub(crate) fn names(expression: &Expr) -> BTreeSet<String> {
    selectors(expression).iter().filter_map(|selector| selector.name.clone()).collect()
}

/// All selectors of an expression.
pub(crate) fn selectors(expression: &Expr) -> Vec<&VectorSelector> {
    match expression {
        Expr::VectorSelector(selector) => vec![selector],
        Expr::MatrixSelector(matrix) => vec![&matrix.vs],
        _ => children(expression).into_iter().flat_map(selectors).collect(),
    }
}

/// Labels that an expression makes.
pub(crate) fn made(expression: &Expr) -> BTreeSet<String> {
    let own = match expression {
        Expr::Call(call) if is_made(call) => vec![text(call, 1)],
        _ => Vec::new(),
    };
    own.into_iter().chain(children(expression).into_iter().flat_map(made)).collect()
}

/// An empty replacement takes a label away instead.
fn is_made(call: &Call) -> bool {
    call.func.name == "label_join" || call.func.name == "label_replace" && !text(call, 2).is_empty()
}

/// What a call was given as a text at that place.
fn text(call: &Call, place: usize) -> String {
    match call.args.args.get(place).map(AsRef::as_ref) {
        Some(Expr::StringLiteral(text)) => text.val.clone(),
        _ => String::new(),
    }
}

fn children(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) => Vec::new(),
        Expr::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.expr]).map(AsRef::as_ref).collect(),
        Expr::Unary(unary) => vec![&unary.expr],
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Paren(paren) => vec![&paren.expr],
        Expr::Subquery(subquery) => vec![&subquery.expr],
        Expr::Call(call) => call.args.args.iter().map(AsRef::as_ref).collect(),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Vec::new(),
    }
}

/// The labels and the values that a matcher names; a pattern that is more than alternatives names none.
pub(crate) fn values(matcher: &Matcher) -> Vec<&str> {
    let word = |value: &&str| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte));
    match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![matcher.value.as_str()],
        MatchOp::Re(_) | MatchOp::NotRe(_) => {
            let values: Vec<_> = matcher.value.split('|').collect();
            let plain = values.iter().all(word) && !values.iter().any(|value| value.contains(".+"));
            if plain { values } else { Vec::new() }
        }
    }
}

/// See the module; what is wrong is added to `wrong`.
pub(crate) fn labels(expression: &Expr, known: &impl Series, wrong: &mut Vec<String>) -> Labels {
    match expression {
        Expr::VectorSelector(selector) => of_selector(selector, known, wrong),
        Expr::MatrixSelector(matrix) => of_selector(&matrix.vs, known, wrong),
        Expr::Aggregate(aggregate) => of_aggregate(aggregate, known, wrong),
        Expr::Unary(unary) => labels(&unary.expr, known, wrong),
        Expr::Binary(binary) => of_binary(binary, known, wrong),
        Expr::Paren(paren) => labels(&paren.expr, known, wrong),
        Expr::Subquery(subquery) => labels(&subquery.expr, known, wrong),
        Expr::Call(call) => of_call(call, known, wrong),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Some(BTreeSet::new()),
    }
}

fn of_selector(selector: &VectorSelector, known: &impl Series, wrong: &mut Vec<String>) -> Labels {
    let matchers = &selector.matchers.matchers;
    let Some(name) = &selector.name else {
        // as in `{__name__=~"signalbox_.+"}`, which is of many
        let named = matchers.iter().any(|matcher| matcher.name == "__name__");
        if !named {
            wrong.push("a selector without a name".to_owned());
        }
        return None;
    };
    let labels = match known.labels(name) {
        Ok(labels) => labels,
        Err(what) => {
            wrong.push(what);
            return None;
        }
    };
    for matcher in matchers {
        if labels.as_ref().is_some_and(|labels| !labels.contains(&matcher.name)) {
            wrong.push(format!("{name} has no label {}", matcher.name));
            continue;
        }
        let bad = values(matcher).into_iter().filter_map(|value| known.value(name, &matcher.name, value));
        wrong.extend(bad);
    }
    labels
}

fn of_aggregate(aggregate: &AggregateExpr, known: &impl Series, wrong: &mut Vec<String>) -> Labels {
    if let Some(parameter) = &aggregate.param {
        labels(parameter, known, wrong);
    }
    let inner = labels(&aggregate.expr, known, wrong);
    // these choose among series, which keep what they have
    let keeps = [token::T_TOPK, token::T_BOTTOMK, token::T_LIMITK].contains(&aggregate.op.id());
    match &aggregate.modifier {
        Some(LabelModifier::Include(by)) => {
            check(&by.labels, inner.as_ref(), "by", wrong);
            if keeps { inner } else { Some(by.labels.iter().cloned().collect()) }
        }
        Some(LabelModifier::Exclude(without)) => {
            check(&without.labels, inner.as_ref(), "without", wrong);
            if keeps {
                return inner;
            }
            inner.map(|inner| inner.into_iter().filter(|label| !without.labels.contains(label)).collect())
        }
        None if keeps => inner,
        None => Some(BTreeSet::new()),
    }
}

fn of_binary(binary: &BinaryExpr, known: &impl Series, wrong: &mut Vec<String>) -> Labels {
    let (left, right) = (labels(&binary.lhs, known, wrong), labels(&binary.rhs, known, wrong));
    if let Some(modifier) = &binary.modifier
        && let Some(LabelModifier::Include(on)) = &modifier.matching
    {
        check(&on.labels, left.as_ref(), "on", wrong);
        check(&on.labels, right.as_ref(), "on", wrong);
    }
    let scalar = |expression: &Expr| expression.value_type() == parser::value::ValueType::Scalar;
    match binary.op.id() {
        token::T_LOR => both(left, right),
        token::T_LAND | token::T_LUNLESS => left,
        _ if scalar(&binary.lhs) => right,
        _ if scalar(&binary.rhs) => left,
        _ => match binary.modifier.as_ref().map(|modifier| &modifier.matching) {
            // one to one: the result has what is matched on
            Some(Some(LabelModifier::Include(on))) if binary.modifier.as_ref().is_some_and(is_one_to_one) => {
                // a comparison keeps the left side's
                if binary.op.is_comparison_operator() { left } else { Some(on.labels.iter().cloned().collect()) }
            }
            _ => both(left, right),
        },
    }
}

fn is_one_to_one(modifier: &parser::BinModifier) -> bool {
    modifier.card == parser::VectorMatchCardinality::OneToOne
}

fn both(left: Labels, right: Labels) -> Labels {
    Some(left?.into_iter().chain(right?).collect())
}

fn of_call(call: &Call, known: &impl Series, wrong: &mut Vec<String>) -> Labels {
    let arguments = call.args.args.iter().map(|argument| labels(argument, known, wrong));
    let all = arguments.collect::<Vec<_>>().into_iter().reduce(both).unwrap_or_else(|| Some(BTreeSet::new()));
    match call.func.name {
        "histogram_quantile" => all.map(|all| all.into_iter().filter(|label| label != "le").collect()),
        "label_replace" | "label_join" => {
            let label = text(call, 1);
            all.map(|mut all| {
                if is_made(call) {
                    all.insert(label)
                } else {
                    all.remove(&label)
                };
                all
            })
        }
        "time" | "vector" | "scalar" => Some(BTreeSet::new()),
        "absent" | "absent_over_time" => None,
        _ => all,
    }
}

fn check(named: &[String], there: Option<&BTreeSet<String>>, word: &str, wrong: &mut Vec<String>) {
    let Some(there) = there else { return };
    let missing = named.iter().filter(|label| !there.contains(*label));
    wrong.extend(missing.map(|label| format!("{word} ({label}), which what it is of does not have")));
}
