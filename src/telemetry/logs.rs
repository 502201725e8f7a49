//! Where log lines go: standard error, for people or for programs.
//!
//! A thread of its own writes them: who does not read standard error holds up nobody. The subscriber is the one global
//! of telemetry, because `tracing` has only one. What the libraries below say at debug and trace (headers, addresses
//! asked for) never appears: it could hold a token.

use std::{
    fmt::Debug,
    io::{IsTerminal as _, Write, stderr},
    str::FromStr,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{Directive, Targets},
    fmt,
    layer::SubscriberExt as _,
    reload,
};

/// Longest filter.
const LEVEL_BYTES_MAX: usize = 1_024;

/// Lines that may wait to be written; what comes then is let go of and counted.
const LINES_WAITING_MAX: usize = 4_096;

/// Lines that found no place among those that wait, once logging has been started.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// What standard error is told, once logging has been started.
static LEVEL: OnceLock<Level> = OnceLock::new();

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
    /// A filter that nobody would write.
    #[error("the log level is longer than {LEVEL_BYTES_MAX} bytes")]
    Long,
    /// Nobody logs here.
    #[error("this process does not log: nothing was started that could be changed")]
    NotStarted,
}

/// Where lines go.
pub type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// Lines on their way to standard error. Dropped, what waits is written, for about a second at most; then no more is.
#[derive(Debug)]
#[must_use = "nothing is written once this is dropped"]
pub struct Writing {
    /// Absent: logging had been started before, and its own stays.
    _guard: Option<WorkerGuard>,
}

/// Starts logging to standard error. `level` is `info`, `debug` …, or a list such as `warn,signalbox=debug`.
/// Lines go to `beside` as well, at the same level. When logging has been started before in this process, that stays.
///
/// # Errors
/// When `level` is not a filter.
pub fn init(format: Format, level: &str, beside: Option<Output>) -> Result<Writing, LogError> {
    let (filter, level) = changeable(level)?;
    let (writer, guard) = apart(stderr());
    let dropped = writer.error_counter();
    let pretty = match format {
        Format::Auto => stderr().is_terminal(),
        Format::Json => false,
        Format::Pretty => true,
    };
    let lines: Output = if pretty {
        Box::new(fmt::layer().with_writer(writer).with_ansi(stderr().is_terminal()).with_target(false))
    } else {
        Box::new(json_layer(writer))
    };
    // already started: the first one stays
    let outputs: Vec<Output> = beside.into_iter().chain([lines]).collect();
    let subscriber = tracing_subscriber::registry().with(outputs).with(filter).with(libraries_capped());
    // not its own `init`, which would bring in what libraries log by the crate `log`, with paths of where they were built
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return Ok(Writing { _guard: None });
    }
    LEVEL.set(level).ok();
    DROPPED.set(dropped).ok();
    Ok(Writing { _guard: Some(guard) })
}

/// A writer that never waits, before one that may.
fn apart(writer: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING_MAX).lossy(true).thread_name("log").finish(writer)
}

/// Lines that were let go of because too many waited for standard error.
pub(super) fn lines_dropped() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// What is logged now; absent when logging was not started here.
pub fn level() -> Option<String> {
    Some(LEVEL.get()?.text().clone())
}

/// Logs something else from now on. `tell` is told what was logged before, at a moment when a line at `info` is
/// written if there is one; answers the same.
///
/// # Errors
/// When `level` is not a filter, or logging was not started here. Nothing has changed then.
pub fn change_level(level: &str, tell: impl Fn(&str)) -> Result<String, LogError> {
    LEVEL.get().ok_or(LogError::NotStarted)?.change(level, tell)
}

/// A filter that can be changed while it is in force.
struct Level {
    /// As it was given.
    text: Mutex<String>,
    /// The subscriber may be of any type.
    apply: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
}

impl Debug for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Level").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Level {
    fn text(&self) -> MutexGuard<'_, String> {
        // replaced as a whole
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, level: &str, tell: impl Fn(&str)) -> Result<String, LogError> {
        let level = level.trim();
        let filter = filter(level)?;
        // held until it is in force, so that two changes at once are one after the other in the log as well
        let mut text = self.text();
        // where the new level would swallow the line, it is written under the old one
        let heard_before = tracing::enabled!(target: "signalbox", tracing::Level::INFO);
        if heard_before {
            tell(&text);
        }
        (self.apply)(filter).map_err(|_| LogError::NotStarted)?;
        if !heard_before {
            tell(&text);
        }
        Ok(std::mem::replace(&mut *text, level.to_owned()))
    }
}

/// A filter for a subscriber, and the means to change it.
fn changeable<S: tracing::Subscriber>(level: &str) -> Result<(reload::Layer<EnvFilter, S>, Level), LogError> {
    let (layer, handle) = reload::Layer::new(filter(level)?);
    let apply = Box::new(move |filter| handle.reload(filter));
    Ok((layer, Level { text: Mutex::new(level.to_owned()), apply }))
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
    if level.len() > LEVEL_BYTES_MAX {
        return Err(LogError::Long);
    }
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

/// h2 is silenced further: it warns of frames that a client may send as often as it likes.
fn libraries_capped() -> Targets {
    Targets::new()
        .with_target("signalbox", LevelFilter::TRACE)
        .with_target("h2", LevelFilter::ERROR)
        // what a client's packets bring about is said by the media node itself, or not at all
        .with_target("str0m", LevelFilter::ERROR)
        .with_target("is", LevelFilter::ERROR)
        .with_target("dimpl", LevelFilter::ERROR)
        .with_target("sctp_proto", LevelFilter::ERROR)
        // what a sampler says of its start is told as an event
        .with_target("dial9_perf_self_profile", LevelFilter::WARN)
        .with_default(LevelFilter::INFO)
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

    /// Writes nothing until its other end is gone.
    struct Stuck(std::sync::mpsc::Receiver<()>, Sink);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.recv().ok();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_does_not_wait_for_a_reader_that_does_not_read_and_what_is_let_go_of_is_counted() {
        const LINES: usize = LINES_WAITING_MAX + 100;
        let (stuck, released) = std::sync::mpsc::channel();
        let sink = Sink::default();
        let (writer, writing) = apart(Stuck(released, sink.clone()));
        let dropped = writer.error_counter();
        let subscriber = tracing_subscriber::registry().with(json_layer(writer));
        tracing::subscriber::with_default(subscriber, || (0..LINES).for_each(|n| tracing::info!(n, "said")));
        // one may be in the writer's hands
        assert!([99, 100].contains(&dropped.dropped_lines()), "{}", dropped.dropped_lines());
        assert!(sink.0.lock().unwrap().is_empty());
        drop(stuck);
        drop(writing);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), LINES - dropped.dropped_lines(), "what waited is written at the end");
    }

    #[test]
    fn starting_twice_is_no_mistake() {
        assert!(init(Format::Json, "off", None).is_ok());
        assert!(init(Format::Pretty, "off", None).is_ok_and(|writing| writing._guard.is_none()));
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

    /// Changes the level to each in turn and speaks under each; answers the lines' messages.
    fn changed_to(first: &str, then: &[&str], speak: impl Fn()) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        let (filter, level) = changeable(first).unwrap();
        let subscriber = tracing_subscriber::registry()
            .with(json_layer(move || writer.clone()))
            .with(filter)
            .with(libraries_capped());
        tracing::subscriber::with_default(subscriber, || {
            speak();
            for to in then {
                level.change(to, |from| tracing::info!(target: "signalbox", from, "changed")).ok();
                speak();
            }
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|text| line(text)["message"].as_str().unwrap().to_owned()).collect()
    }

    fn speak() {
        tracing::warn!(target: "signalbox", "warning");
        tracing::debug!(target: "signalbox::io", "detail");
        tracing::debug!(target: "hyper", "of a library");
    }

    #[test]
    fn a_change_of_level_holds_at_once_and_is_told_where_it_is_heard() {
        let lines = changed_to("info", &["debug", "off", "warn,signalbox=debug"], speak);
        assert_eq!(
            lines,
            [
                "warning", // info
                "changed", "warning", "detail",  // debug
                "changed", // told before off silences it
                "changed", "warning", "detail", // told after it is heard again
            ]
        );
    }

    #[test]
    fn a_wrong_level_changes_nothing_and_is_not_told() {
        let long = "x".repeat(LEVEL_BYTES_MAX + 1);
        assert_eq!(changed_to("info", &["loud", "", &long, "signalbox=loud"], speak), ["warning"; 5]);
        let long = check_level(&long).unwrap_err();
        assert_eq!((&long, long.to_string().contains("1024")), (&LogError::Long, true));
    }

    #[test]
    fn what_a_client_can_make_h2_warn_of_is_not_written() {
        let lines = capture("trace", || {
            tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent");
            tracing::error!(target: "h2::proto", "broken");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
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
