//! A collector for tests: OTLP over gRPC on a free port of loopback, on a thread of its own. Takes, or does what it is
//! told to do instead, and remembers what it took.

use std::{
    future,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
    trace::v1::Span,
};
use tokio::sync::oneshot;
use tonic::{
    Code, Request, Response, Status,
    codec::CompressionEncoding,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

/// How long a test waits for something to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it does with a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Take,
    /// So often, and takes from then on.
    RefuseOften(Code, usize),
    Refuse(Code),
    /// Takes the batch and says that so many of it were rejected.
    Reject(i64),
    /// Never answers.
    Hang,
}

struct State {
    answer: Answer,
    calls: usize,
    traces: Vec<ExportTraceServiceRequest>,
    logs: Vec<ExportLogsServiceRequest>,
    authorizations: Vec<Option<String>>,
}

#[derive(Clone)]
struct Handler(Arc<Mutex<State>>);

/// See the module. Dropped, it is gone.
pub(crate) struct Sink {
    pub(crate) addr: SocketAddr,
    handler: Handler,
    _alive: oneshot::Sender<()>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), None)
    }

    /// With a certificate and its key, in PEM.
    pub(crate) fn start_tls(certificate: &str, key: &str) -> Self {
        let identity = Identity::from_pem(certificate, key);
        Self::start_at(([127, 0, 0, 1], 0).into(), Some(ServerTlsConfig::new().identity(identity)))
    }

    pub(crate) fn start_at(addr: SocketAddr, tls: Option<ServerTlsConfig>) -> Self {
        let state =
            State { answer: Answer::Take, calls: 0, traces: Vec::new(), logs: Vec::new(), authorizations: Vec::new() };
        let handler = Handler(Arc::new(Mutex::new(state)));
        let (alive, dropped) = oneshot::channel();
        let (say, hear) = mpsc::channel();
        let served = handler.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let incoming = TcpIncoming::bind(addr).unwrap();
                say.send(incoming.local_addr().unwrap()).unwrap();
                let mut server = Server::builder();
                if let Some(tls) = tls {
                    server = server.tls_config(tls).unwrap();
                }
                let server = server
                    .add_service(TraceServiceServer::new(served.clone()).accept_compressed(CompressionEncoding::Gzip))
                    .add_service(LogsServiceServer::new(served).accept_compressed(CompressionEncoding::Gzip))
                    .serve_with_incoming(incoming);
                tokio::select! {
                    result = server => result.unwrap(),
                    _ = dropped => {}
                }
            });
        });
        Self { addr: hear.recv().unwrap(), handler, _alive: alive }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on.
    pub(crate) fn answer(&self, answer: Answer) {
        self.handler.0.lock().unwrap().answer = answer;
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.handler.0.lock().unwrap().calls
    }

    /// The `authorization` of each call.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.handler.0.lock().unwrap().authorizations.clone()
    }

    /// All spans that it took, in order.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let state = self.handler.0.lock().unwrap();
        let scopes = state.traces.iter().flat_map(|request| &request.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The roots among them: those that no other span of its trace is above.
    pub(crate) fn roots(&self) -> Vec<Span> {
        let spans = self.spans();
        let is_child = |span: &Span| spans.iter().any(|other| other.span_id == span.parent_span_id);
        spans.iter().filter(|span| !is_child(span)).cloned().collect()
    }

    /// All log records that it took, in order.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        let state = self.handler.0.lock().unwrap();
        let scopes = state.logs.iter().flat_map(|request| &request.resource_logs).flat_map(|r| &r.scope_logs);
        scopes.flat_map(|scope| scope.log_records.clone()).collect()
    }

    /// The resources of all batches, of traces and of logs.
    pub(crate) fn resources(&self) -> (Vec<Resource>, Vec<Resource>) {
        let state = self.handler.0.lock().unwrap();
        let traces = state.traces.iter().flat_map(|request| &request.resource_spans);
        let logs = state.logs.iter().flat_map(|request| &request.resource_logs);
        (traces.filter_map(|r| r.resource.clone()).collect(), logs.filter_map(|r| r.resource.clone()).collect())
    }

    /// Waits until it has seen what is asked for.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, seen: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !seen(self) {
            assert!(since.elapsed() < PATIENCE, "in {PATIENCE:?} the collector did not see {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// An id as it is written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of an attribute, as text.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => panic!("{name}: {other:?}"),
    })
}

impl Handler {
    /// What to do with a call; those that are taken are remembered.
    async fn decide<T>(&self, request: Request<T>, take: fn(&mut State, T)) -> Result<i64, Status> {
        let answer = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            let authorization = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            state.authorizations.push(authorization);
            let answer = state.answer;
            match answer {
                Answer::RefuseOften(_, 0) | Answer::Take | Answer::Reject(_) => take(&mut state, request.into_inner()),
                Answer::RefuseOften(code, often) => state.answer = Answer::RefuseOften(code, often - 1),
                Answer::Refuse(_) | Answer::Hang => {}
            }
            answer
        };
        match answer {
            Answer::Take | Answer::RefuseOften(_, 0) => Ok(0),
            Answer::Reject(count) => Ok(count),
            Answer::Refuse(code) | Answer::RefuseOften(code, _) => Err(Status::new(code, "secret-of-the-collector")),
            Answer::Hang => future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Handler {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let rejected_spans = self.decide(request, |state, request| state.traces.push(request)).await?;
        let error_message = if rejected_spans == 0 { String::new() } else { "too old".to_owned() };
        let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Handler {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let rejected_log_records = self.decide(request, |state, request| state.logs.push(request)).await?;
        let error_message = if rejected_log_records == 0 { String::new() } else { "too old".to_owned() };
        let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}
