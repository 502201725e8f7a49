use super::*;
use crate::{
    event::{AssignedBy, Fault, Outcome, Stage},
    protocol::{Code, OpKind},
};

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn names_are_unique_valid_and_carry_their_kind_and_unit() {
    for (at, metric) in ALL.iter().enumerate() {
        let Metric { name, kind, unit, .. } = metric;
        assert!(ALL[at + 1..].iter().all(|other| other.name != *name), "{name} twice");
        assert!(is_name(name) && !name.contains("__"), "{name}");
        let ours = name.starts_with("signalbox_");
        assert!(ours || name.starts_with("process_") || *name == "target_info", "{name}");
        assert_eq!(*kind == Kind::Info, name.ends_with("_info") && !ours, "{name}");
        assert!(*kind != Kind::Histogram || *unit == Unit::Seconds, "the edges of {name} are seconds");
        assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
        let stem = name.strip_suffix("_total").unwrap_or(name);
        assert!(unit.suffix().is_none_or(|suffix| stem.ends_with(suffix)), "{name}");
        assert!(["_ms", "_milliseconds", "_sum", "_count", "_bucket"].iter().all(|bad| !stem.ends_with(bad)));
    }
}

#[test]
fn every_help_is_one_sentence() {
    for metric in ALL {
        assert!(metric.help.len() > 10 && metric.help.ends_with('.') && !metric.help.contains('\n'), "{metric:?}");
    }
}

#[test]
fn label_names_are_valid_and_their_sets_bounded_and_without_doubles() {
    for label in ALL.iter().flat_map(|metric| metric.labels) {
        assert!(is_name(label.name) && !["le", "quantile", "job", "instance"].contains(&label.name));
        assert!(!["room", "session", "identity", "user", "key"].contains(&label.name), "{label:?}");
        let Values::Closed(values) = label.values else { continue };
        assert!(!values.is_empty() && values.len() <= 100);
        for (at, value) in values.iter().enumerate() {
            // `slow-media` is a word of the command line as well
            assert!(is_name(&value.replace('-', "_")) || value.parse::<f64>().is_ok(), "{value}");
            assert!(!values[at + 1..].contains(value), "{value} twice");
        }
    }
}

#[test]
fn a_code_and_an_op_stand_at_their_own_place_in_their_sets() {
    for code in Code::ALL {
        assert_eq!(CODES[*code as usize], code.name());
        let outcome = Outcome::Refused(*code);
        assert_eq!(OUTCOMES[outcome.place()], outcome.name());
    }
    for op in OpKind::ALL {
        assert_eq!(OPS[op as usize], op.name());
    }
    assert_eq!((OUTCOMES[Outcome::Ok.place()], OUTCOMES[Outcome::Gone.place()]), ("ok", "gone"));
    assert_eq!(OUTCOMES[Outcome::Refused(Code::Overloaded).place()], "shed");
    assert_eq!(OUTCOMES[Outcome::Refused(Code::DeadlineExceeded).place()], "expired");
    assert_eq!(OUTCOMES[Outcome::Refused(Code::BadRequest).place()], "error");
    let promised = [Outcome::Ok, Outcome::Refused(Code::DeadlineExceeded)];
    let not = [Outcome::Gone, Outcome::Refused(Code::Overloaded), Outcome::Refused(Code::BadRequest)];
    assert!(promised.into_iter().all(|outcome| Outcome::PROMISED[outcome.place()]));
    assert!(!not.into_iter().any(|outcome| Outcome::PROMISED[outcome.place()]));
    for stage in Stage::ALL {
        assert_eq!(STAGES[stage as usize], stage.name());
    }
    for fault in Fault::ALL {
        assert_eq!(FAULTS[fault as usize], fault.name());
    }
    for by in AssignedBy::ALL {
        assert_eq!(ASSIGNED_BY[by as usize], by.name());
    }
    for (name, quantile) in QUANTILE_NAMES.iter().zip(QUANTILES) {
        assert_eq!(name.parse(), Ok(quantile));
    }
}

/// What one router may cost a Prometheus at the very worst: every code seen, every region, as many clients as are
/// told apart, 256 shards. A router of eight cores and two regions has about 2,000 after a day.
const SERIES_MAX: usize = 26_000;

#[test]
fn the_series_of_one_router_are_within_their_budget() {
    let most: Vec<_> = ALL.iter().map(|metric| (metric.name, metric.series())).collect();
    let sum: usize = most.iter().map(|(_, series)| series).sum();
    assert!(sum <= SERIES_MAX, "{sum} series at worst, at most {SERIES_MAX}: {most:?}");
    assert!(sum * 4 > SERIES_MAX * 3, "the budget of {SERIES_MAX} has become far too large for {sum}");
}

#[test]
fn the_edges_of_buckets_are_edges_of_three_digit_histograms() {
    let histogram = hdrhistogram::Histogram::<u32>::new_with_bounds(1, 60_000_000, 3).unwrap();
    for (at, edge) in EDGES_US.iter().enumerate() {
        let edge = u64::from(*edge);
        assert_eq!(histogram.lowest_equivalent(edge), edge, "{edge} us");
        assert!(EDGES_US[at + 1..].iter().all(|next| u64::from(*next) > edge));
    }
    assert!(EDGES_US.iter().any(|edge| u128::from(*edge) == crate::telemetry::PROMISE.as_micros()), "the promise");
}
