//! A profile for speedscope.app, in its own file format: one profile a thread, all in one file.
//!
//! Its schema is `https://www.speedscope.app/file-format-schema.json`; only the type `sampled` is made.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{cleaned, shown, thread_of};
use crate::profiler::profile::{Frame, Profile, Sample};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: &'a str,
    exporter: &'static str,
    active_profile_index: usize,
    shared: Shared,
    profiles: Vec<Sampled<'a>>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    file: String,
    #[serde(skip_serializing_if = "is_zero")]
    line: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled<'a> {
    r#type: &'static str,
    name: &'a str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    /// Places of frames, the root first.
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(line: &u32) -> bool {
    *line == 0
}

/// A file of that name, as JSON; the heaviest thread is shown first. A thread without samples is not in it, and of an
/// empty profile there is one thread, `no samples`, which speedscope shows as such.
pub fn speedscope(profile: &Profile, name: &str) -> String {
    let mut threads = BTreeMap::<&str, Vec<&Sample>>::new();
    for sample in profile.samples.iter().filter(|sample| sample.weight > 0) {
        threads.entry(thread_of(sample)).or_default().push(sample);
    }
    if threads.is_empty() {
        threads.insert("no samples", Vec::new());
    }
    let mut frames = Frames::default();
    let mut profiles: Vec<_> = threads.into_iter().map(|thread| sampled(profile, thread, &mut frames)).collect();
    profiles.sort_by_key(|thread| std::cmp::Reverse(thread.end_value));
    let file = File {
        schema: SCHEMA,
        name,
        exporter: concat!("signalbox@", env!("CARGO_PKG_VERSION")),
        active_profile_index: 0,
        shared: Shared { frames: frames.named },
        profiles,
    };
    serde_json::to_string(&file).expect("texts and numbers can be written")
}

fn sampled<'p>(
    profile: &'p Profile,
    (thread, of_it): (&'p str, Vec<&'p Sample>),
    frames: &mut Frames<'p>,
) -> Sampled<'p> {
    let stacks = of_it.iter().map(|sample| {
        let mut places: Vec<_> = profile.frames(&sample.stack).map(|frame| frames.place(frame)).collect();
        places.reverse();
        places
    });
    Sampled {
        r#type: "sampled",
        name: thread,
        unit: unit(profile),
        start_value: 0,
        end_value: of_it.iter().map(|sample| sample.weight).sum(),
        samples: stacks.collect(),
        weights: of_it.iter().map(|sample| sample.weight).collect(),
    }
}

/// Those of its units that we have.
fn unit(profile: &Profile) -> &'static str {
    match &*profile.values[1].unit {
        "nanoseconds" => "nanoseconds",
        "bytes" => "bytes",
        _ => "none",
    }
}

#[derive(Default)]
struct Frames<'p> {
    named: Vec<Named>,
    places: HashMap<Frame<'p>, usize>,
}

impl<'p> Frames<'p> {
    fn place(&mut self, frame: Frame<'p>) -> usize {
        *self.places.entry(frame).or_insert_with(|| {
            self.named.push(Named { name: shown(&frame), file: cleaned(frame.file), line: frame.line });
            self.named.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use jsonschema::validator_for;
    use serde_json::{Value, json};

    use super::*;
    use crate::profiler::views::fixture::Stacks;

    /// What speedscope's schema says of `sampled`, by hand.
    fn schema() -> Value {
        let place = json!({ "type": "integer", "minimum": 0 });
        let frame = json!({
            "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": { "name": { "type": "string" }, "file": { "type": "string" }, "line": { "type": "number" } }
        });
        let sampled = json!({
            "type": "object", "additionalProperties": false,
            "required": ["type", "name", "unit", "startValue", "endValue", "samples", "weights"],
            "properties": {
                "type": { "const": "sampled" },
                "name": { "type": "string" },
                "unit": { "enum": ["bytes", "microseconds", "milliseconds", "nanoseconds", "none", "seconds"] },
                "startValue": { "type": "number" },
                "endValue": { "type": "number" },
                "samples": { "type": "array", "items": { "type": "array", "items": place } },
                "weights": { "type": "array", "items": { "type": "number" } },
            }
        });
        json!({
            "type": "object", "required": ["$schema", "shared", "profiles"], "additionalProperties": false,
            "properties": {
                "$schema": { "const": SCHEMA },
                "name": { "type": "string" },
                "exporter": { "type": "string" },
                "activeProfileIndex": place,
                "shared": {
                    "type": "object", "required": ["frames"], "properties": { "frames": { "type": "array", "items": frame } }
                },
                "profiles": { "type": "array", "items": sampled },
            }
        })
    }

    fn read(profile: &Profile) -> Value {
        let file: Value = serde_json::from_str(&speedscope(profile, "router \"a\"")).unwrap();
        let errors: Vec<_> = validator_for(&schema()).unwrap().iter_errors(&file).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {file}");
        file
    }

    #[test]
    fn a_file_has_a_profile_a_thread_the_heaviest_first() {
        let file = read(
            &Stacks::default()
                .labelled("main:1;run:2+join:3", 20, &[("thread", "worker-0")])
                .labelled("main:1;run:2+join:9", 30, &[("thread", "worker-1")])
                .labelled("main:1", 5, &[("thread", "worker-0")])
                .profile(),
        );
        let threads: Vec<_> = file["profiles"].as_array().unwrap().iter().map(|thread| &thread["name"]).collect();
        assert_eq!(threads, ["worker-1", "worker-0"]);
        let frames = file["shared"]["frames"].as_array().unwrap();
        let named = |stack: &Value| -> Vec<String> {
            let places = stack.as_array().unwrap().iter().map(|place| &frames[place.as_u64().unwrap() as usize]);
            places.map(|frame| format!("{}:{}", frame["name"].as_str().unwrap(), frame["line"])).collect()
        };
        let lighter = &file["profiles"][1];
        assert_eq!(named(&lighter["samples"][0]), ["main:1", "run:2", "join:3"]);
        assert_eq!(lighter["weights"], json!([20, 5]));
        assert_eq!((&lighter["endValue"], &lighter["unit"]), (&json!(25), &json!("nanoseconds")));
        assert_eq!(frames.len(), 4, "main, run, and two lines of join: {frames:?}");
    }

    #[test]
    fn an_empty_profile_is_a_file_that_says_so() {
        let file = read(&Stacks::default().profile());
        assert_eq!(file["profiles"][0]["name"], "no samples");
        assert_eq!(file["name"], "router \"a\"");
    }
}
