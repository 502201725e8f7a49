//! The collector as the exporters see it, and what its failures mean.

use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, RetryPolicy, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{Resource, error::OTelSdkError, logs::LogExporter as _, trace::SpanExporter as _};
use tonic::{
    metadata::{Ascii, MetadataMap, MetadataValue},
    transport::{Certificate, ClientTlsConfig, Endpoint},
};

use super::{ExportError, Settings};
use crate::telemetry::trace::Lost;

/// A connection to a host that does not answer at all is given up on sooner than a batch.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// A collector that restarts is back within about six seconds, these retries' time (OTLP 1.x, "Failures").
const RETRIES: usize = 5;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(3);
const RETRY_JITTER: Duration = Duration::from_millis(100);

/// Where to, and as whom.
pub(super) struct Collector {
    endpoint: Endpoint,
    metadata: MetadataMap,
    resource: Resource,
    pub(super) timeout: Duration,
}

impl Collector {
    pub(super) fn new(settings: &Settings) -> Result<Self, ExportError> {
        let mut endpoint = Endpoint::from_shared(settings.endpoint.clone())?
            .connect_timeout(settings.timeout.min(CONNECT_TIMEOUT_MAX))
            .tcp_nodelay(true);
        if let Some(pem) = &settings.ca_pem {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))?;
        }
        let mut metadata = MetadataMap::new();
        if let Some(secret) = &settings.authorization {
            let value = MetadataValue::<Ascii>::try_from(secret.expose());
            let mut value = value.map_err(|_| ExportError::Authorization)?;
            value.set_sensitive(true);
            metadata.insert("authorization", value);
        }
        Ok(Self { endpoint, metadata, resource: settings.resource.resource(), timeout: settings.timeout })
    }

    /// A connection for traces, opened when it is first used. To be called inside a runtime.
    pub(super) fn spans(&self) -> Result<SpanExporter, ExporterBuildError> {
        let builder = SpanExporter::builder().with_tonic().with_channel(self.endpoint.connect_lazy());
        let builder = builder.with_metadata(self.metadata.clone()).with_retry_policy(retries());
        let mut exporter = builder.with_timeout(self.timeout).build()?;
        exporter.set_resource(&self.resource);
        Ok(exporter)
    }

    /// The same for logs.
    pub(super) fn logs(&self) -> Result<LogExporter, ExporterBuildError> {
        let builder = LogExporter::builder().with_tonic().with_channel(self.endpoint.connect_lazy());
        let builder = builder.with_metadata(self.metadata.clone()).with_retry_policy(retries());
        let mut exporter = builder.with_timeout(self.timeout).build()?;
        exporter.set_resource(&self.resource);
        Ok(exporter)
    }
}

fn retries() -> RetryPolicy {
    RetryPolicy::disabled()
        .with_max_retries(RETRIES)
        .with_initial_delay(RETRY_FIRST)
        .with_max_delay(RETRY_MAX)
        .with_max_jitter(RETRY_JITTER)
}

/// Why a batch, or a part of it, did not arrive.
#[derive(Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) why: Lost,
    /// For people; nothing that the collector wrote is in it.
    pub(super) cause: String,
    /// How many of the batch; more than there are: all.
    pub(super) lost: usize,
}

impl Failure {
    /// All of a batch, because there was no answer in time.
    pub(super) fn slow(timeout: Duration) -> Self {
        Self { why: Lost::Unreachable, cause: format!("no answer within {timeout:?}"), lost: usize::MAX }
    }

    /// All of a batch, because no connection can be set up.
    pub(super) fn unset(error: &ExporterBuildError) -> Self {
        Self { why: Lost::Unreachable, cause: error.to_string(), lost: usize::MAX }
    }

    /// What the collector says it did not take.
    pub(super) fn rejected(rejected: u64, lost: usize) -> Self {
        Self { why: Lost::Refused, cause: format!("the collector rejected {rejected} of them"), lost }
    }

    /// All of a batch, for that error.
    pub(super) fn of(error: &OTelSdkError) -> Self {
        // `… export failed with gRPC code: Unavailable: transport error: …`: the code, and the causes on this side
        let said = match error {
            OTelSdkError::InternalFailure(said) => said.split_once(CODE).map_or(said.as_str(), |(_, code)| code),
            OTelSdkError::Timeout(_) => "DeadlineExceeded",
            OTelSdkError::AlreadyShutdown => "Cancelled",
        };
        let (code, here) = said.split_once(": ").map_or((said, false), |(code, _)| (code, true));
        let passes = matches!(code, "Unavailable" | "DeadlineExceeded" | "Cancelled" | "Aborted" | "DataLoss");
        // an error of the transport is no answer of the collector's, whatever code it is given
        let why = if here || passes { Lost::Unreachable } else { Lost::Refused };
        Self { why, cause: said.to_owned(), lost: usize::MAX }
    }
}

const CODE: &str = "gRPC code: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_refusal_and_anything_else_is_none() {
        let why = |said: &str| {
            let failure = Failure::of(&OTelSdkError::InternalFailure(format!("X export failed with {CODE}{said}")));
            assert_eq!((failure.cause.as_str(), failure.lost), (said, usize::MAX));
            failure.why
        };
        for code in ["PermissionDenied", "Unauthenticated", "InvalidArgument", "Unimplemented", "ResourceExhausted"] {
            assert_eq!(why(code), Lost::Refused, "{code}");
        }
        for code in ["Unavailable", "DeadlineExceeded", "Cancelled", "Aborted", "DataLoss"] {
            assert_eq!(why(code), Lost::Unreachable, "{code}");
        }
        assert_eq!(why("Unknown: transport error: connection reset"), Lost::Unreachable);
        let timeout = Failure::of(&OTelSdkError::Timeout(Duration::from_secs(1)));
        assert_eq!(timeout.why, Lost::Unreachable);
    }
}
