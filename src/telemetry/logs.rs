//! Where log lines go: standard error, for people or for programs.
//!
//! The subscriber is the one global of telemetry, because `tracing` has only one. What the libraries below say at
//! debug and trace (headers, addresses asked for) never appears: it could hold a token.

use std::{
    io::{IsTerminal as _, stderr},
    str::FromStr,
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{Directive, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// The shape of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Pretty on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl FromStr for Format {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err(LogError::Format(text.to_owned())),
        }
    }
}

/// A log setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not a format.
    #[error("log format {0:?} is not one of auto, json, pretty")]
    Format(String),
    /// Not a filter.
    #[error(
        "log level {level:?} is not one of off, error, warn, info, debug, trace, nor a list like info,hyper=off: {why}"
    )]
    Level {
        /// As given.
        level: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Where lines go.
pub type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging to standard error. `level` is `info`, `debug` …, or a list such as `warn,signalbox=debug`.
/// Lines go to `beside` as well, at the same level. When logging has been started before in this process, that stays.
///
/// # Errors
/// When `level` is not a filter.
pub fn init(format: Format, level: &str, beside: Option<Output>) -> Result<(), LogError> {
    let filter = filter(level)?;
    let pretty = match format {
        Format::Auto => stderr().is_terminal(),
        Format::Json => false,
        Format::Pretty => true,
    };
    let lines: Output = if pretty {
        Box::new(fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false))
    } else {
        Box::new(json_layer(stderr))
    };
    // already started: the first one stays
    let outputs: Vec<Output> = beside.into_iter().chain([lines]).collect();
    tracing_subscriber::registry().with(outputs).with(filter).with(libraries_capped()).try_init().ok();
    Ok(())
}

/// A line as one flat JSON object.
fn json_layer<W>(writer: W) -> impl Layer<Registry> + Send + Sync
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false).with_writer(writer)
}

/// Whether a level could be given to [`init`].
///
/// # Errors
/// When it could not: why.
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = |why: String| LogError::Level { level: level.to_owned(), why };
    if level.trim().is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    let mut filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::OFF.into())
        .parse("off")
        .map_err(|e| wrong(e.to_string()))?;
    for part in level.split(',').map(str::trim) {
        // a lone word that is no level would be taken for a target and switch nothing on that was meant
        if !part.contains('=') && LevelFilter::from_str(part).is_err() {
            return Err(wrong(format!("{part:?} is no level")));
        }
        filter = filter.add_directive(part.parse::<Directive>().map_err(|e| wrong(e.to_string()))?);
    }
    Ok(filter)
}

fn libraries_capped() -> Targets {
    Targets::new().with_target("signalbox", LevelFilter::TRACE).with_default(LevelFilter::INFO)
}

#[cfg(test)]
pub(super) use tests::capture;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged meanwhile by this thread, as JSON.
    pub(in crate::telemetry) fn capture(level: &str, speak: impl FnOnce()) -> Vec<serde_json::Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::registry()
            .with(json_layer(move || writer.clone()))
            .with(filter(level).unwrap())
            .with(libraries_capped());
        tracing::subscriber::with_default(subscriber, speak);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn starting_twice_is_no_mistake() {
        assert_eq!(init(Format::Json, "off", None), Ok(()));
        assert_eq!(init(Format::Pretty, "off", None), Ok(()));
    }

    #[test]
    fn a_wrong_level_or_format_is_named_with_what_is_allowed() {
        for level in ["", "loud", "info,loud", "signalbox=loud", "info,"] {
            let error = init(Format::Json, level, None).unwrap_err().to_string();
            assert!(error.contains("one of off, error, warn"), "{error}");
        }
        assert!("xml".parse::<Format>().unwrap_err().to_string().contains("auto, json, pretty"));
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!(check_level("warn,signalbox=debug"), Ok(()));
    }

    #[test]
    fn a_line_is_one_json_object_and_the_level_holds() {
        let lines = capture("info", || {
            tracing::info!(target: "signalbox", room = "a \"room\"\nof two lines", "said");
            tracing::debug!(target: "signalbox", "not said");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["message"], "said");
        assert_eq!(lines[0]["room"], "a \"room\"\nof two lines");
        assert_eq!(lines[0]["level"], "INFO");
        assert!(lines[0]["timestamp"].is_string());
    }

    #[test]
    fn libraries_stay_below_debug_whatever_the_level_says() {
        let lines = capture("trace,hyper=trace", || {
            tracing::debug!(target: "hyper::proto", "authorization: Bearer secret");
            tracing::trace!(target: "h2::frame", "secret");
            tracing::info!(target: "hyper", "harmless");
            tracing::trace!(target: "signalbox::io", "ours");
        });
        let said: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(said, ["harmless", "ours"]);
    }
}
