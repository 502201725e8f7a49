//! What libraries say on the exporter's thread: heard here, and nowhere else.
//!
//! That a collector took only a part of a batch, `opentelemetry-otlp` tells in a log line alone; so that line is
//! listened for. All others end here: if they went where this router's lines go, exporting them would make new ones.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt as _},
};

/// The end of the lines' name.
const PARTIAL_SUCCESS: &str = ".PartialSuccess";

/// What was rejected since it was last asked about.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    pub(super) spans: AtomicU64,
    pub(super) log_records: AtomicU64,
}

/// Does on this thread what is to be listened to.
pub(super) fn listening<T>(rejections: Arc<Rejections>, speak: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(Registry::default().with(Listener(rejections)), speak)
}

struct Listener(Arc<Rejections>);

impl<S: Subscriber> Layer<S> for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_of_interest(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_of_interest(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut Reader(&self.0));
    }
}

fn is_of_interest(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.name().ends_with(PARTIAL_SUCCESS)
}

struct Reader<'a>(&'a Rejections);

impl Visit for Reader<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        let count = match field.name() {
            "rejected_spans" => &self.0.spans,
            "rejected_log_records" => &self.0.log_records,
            _ => return,
        };
        count.fetch_add(u64::try_from(value).unwrap_or(0), Relaxed);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
