//! One exhaustive match: what each event does to metrics and logs. A new event without a decision does not compile.
//!
//! Nothing else counts and nothing else logs facts about signals, sessions, rooms and connections. Names of rooms,
//! sessions and identities appear in lines only, never as labels; tokens, descriptions, candidates, metadata and data in neither.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use tracing::{
    debug, error,
    field::{DisplayValue, display},
    info, trace, warn,
};

use super::{
    Telemetry,
    case::{KINDS, kind},
    catalog,
    guard::QuietGuard,
    handles::gauge,
    quiet::Quiet,
    trace::{KeptTrace, Reason},
};
use crate::{
    event::{DrainPhase, Event, Origin, Outcome, SpanId, TraceId},
    ids::{RoomId, SessionId},
    protocol::{Code, OpKind},
};

/// Places in [`catalog::RESULTS`].
const OK: usize = 0;
const ERROR: usize = 1;

/// Lines that a storm would repeat.
#[derive(Debug)]
pub(super) struct QuietLines {
    /// By code.
    sheds: [Quiet; Code::ALL.len()],
    keys: [Quiet; catalog::KEY_SOURCES.len()],
    exports: [Quiet; catalog::EXPORTS.len()],
    recoveries: [Quiet; catalog::EXPORTS.len()],
    introspection: Quiet,
    accepts: Quiet,
    admin_refused: Quiet,
    ticks: [Quiet; catalog::TICKING.len()],
    pub(super) stalled: Quiet,
    pub(super) placed: Quiet,
    pub(super) returned: Quiet,
    pub(super) captures: Quiet,
    pub(super) capture_folder: Quiet,
    pub(super) baseline: Quiet,
    pub(super) guard: QuietGuard,
    /// By kind.
    slow: [Quiet; KINDS],
}

impl Default for QuietLines {
    fn default() -> Self {
        Self {
            sheds: std::array::from_fn(|_| Quiet::default()),
            keys: std::array::from_fn(|_| Quiet::default()),
            exports: std::array::from_fn(|_| Quiet::default()),
            recoveries: std::array::from_fn(|_| Quiet::default()),
            introspection: Quiet::default(),
            accepts: Quiet::default(),
            admin_refused: Quiet::default(),
            ticks: std::array::from_fn(|_| Quiet::default()),
            stalled: Quiet::default(),
            placed: Quiet::default(),
            returned: Quiet::default(),
            captures: Quiet::default(),
            capture_folder: Quiet::default(),
            baseline: Quiet::default(),
            guard: QuietGuard::default(),
            slow: std::array::from_fn(|_| Quiet::default()),
        }
    }
}

impl Telemetry {
    /// Takes note of what happened at that moment, on no connection in particular.
    pub fn observe(&self, event: &Event, at: Instant) {
        self.observe_from(event, &Origin::default(), at);
    }

    /// Takes note of what happened at that moment on a connection.
    pub fn observe_from(&self, event: &Event, origin: &Origin<'_>, at: Instant) {
        let metrics = &self.metrics;
        match event {
            Event::SignalEnded { signal, outcome } => self.signal_ended(signal, *outcome, origin, at),
            Event::Delivered { deliveries, others } => self.delivered(deliveries, *others, origin, at),
            Event::SessionOpened { session, identity, room, connection, labels } => {
                self.session_counted(*labels, 1);
                self.session_opened(session, (identity.as_str(), room.as_str(), connection.0), origin);
            }
            Event::SessionResumed { session, recovered } => self.session_resumed(session, *recovered, origin),
            Event::SessionDropped { session, reason } => self.session_dropped(session, *reason, origin),
            Event::SessionClosed { session, reason, labels } => {
                self.session_counted(*labels, -1);
                self.session_closed(session, *reason, origin);
            }
            Event::RoomCreated { room } => self.room_created(room.as_str()),
            Event::RoomClosed { room, reason } => self.room_closed(room.as_str(), *reason),
            Event::PushDiscarded { buffer } => {
                metrics.pushes_discarded.of(buffer).increment(1);
                trace!(target: "signalbox", buffer, "oldest entry let go of");
            }
            Event::ConnectionOpened { transport } => {
                metrics.connections.of(transport).increment(1);
                let peer_ip = origin.peer_ip.map(display);
                trace!(target: "signalbox", transport, peer_ip, trace_id = trace_id(origin), "connection opened");
            }
            Event::ConnectionClosed { transport, reason } => self.connection_closed(transport, *reason, origin),
            Event::Shed { code, peer_ip } => self.shed(*code, *peer_ip, origin, at),
            Event::AdminCalled { call, key, room, outcome } => {
                self.admin_called((call, key), room.as_deref(), *outcome, at);
            }
            Event::DrainAdvanced { phase } => self.drain_advanced(*phase),
            Event::KeysRefreshed { source, keys } => self.keys_refreshed(source, keys, at),
            Event::ExportFailed { kind, cause, lost } => self.export_failed(kind, cause, *lost, at),
            Event::ExportRecovered { kind } => self.export_recovered(kind, at),
            Event::IntrospectionFailed { fault } => self.introspection_failed(fault, at),
            Event::AcceptFailed { error } => self.accept_failed(error, at),
            Event::CertificatesReloaded { ok } => self.certificates_reloaded(*ok),
            Event::CertificateShown { listener, expires } => self.certificate_shown(listener, *expires),
            Event::WorkerStalled { worker, tid, stalled_for, place } => {
                self.worker_stalled((*worker, *tid), *stalled_for, place, at);
            }
            Event::StallPlaced { worker, tid, blocked, stack } => {
                self.stall_placed((*worker, *tid), *blocked, stack, at);
            }
            Event::WorkerReturned { worker, tid, stalled_for } => {
                self.worker_returned((*worker, *tid), *stalled_for, at);
            }
            Event::ProfilerChanged { sampler, why } => Self::profiler_changed(*sampler, why.as_deref()),
            Event::Captured(captured) => self.captured(captured, at),
            Event::Variant(varied) => self.varied(varied, origin, at),
            Event::Placement(placing) => self.placing(placing, at),
            Event::BaselineFailed { doing, why } => self.baseline_failed(doing, why, at),
            Event::TickPanicked { thread } => self.tick_panicked(thread, at),
            Event::Guard(guarded) => self.guarded(guarded, origin, at),
            Event::FaultInjected { fault } => self.fault_injected(*fault),
            Event::FaultEnded { fault, lasted } => self.fault_ended(*fault, *lasted),
            Event::Media(fact) => self.media(fact, at),
            Event::Directory(fact) => self.directory(fact, at),
            Event::Keeping(fact) => self.keeping(fact, at),
            Event::Journal(fact) => self.journal(fact, at),
            Event::Fabric(fact) => self.fabric(fact, at),
            Event::Relay(fact) => self.relay(fact, at),
            Event::ConfigReloaded { .. } | Event::ConfigRefused { .. } => self.configured(event),
            Event::LogLevelChanged { from, to } => self.log_level_changed(from, to),
        }
    }

    fn room_created(&self, room: &str) {
        self.metrics.rooms_created.increment(1);
        debug!(target: "signalbox", room, "room created");
    }

    fn room_closed(&self, room: &str, reason: Code) {
        self.metrics.rooms_closed.at(reason as usize).increment(1);
        debug!(target: "signalbox", room, reason = reason.name(), "room closed");
    }

    /// Whether a line that repeats may be written at that moment, and how many were held back before it.
    pub(super) fn admit(&self, quiet: &Quiet, at: Instant) -> Option<u64> {
        let admitted = quiet.admit(self.milliseconds(at));
        if admitted.is_none() {
            self.metrics.log_lines_held_back.increment(1);
        }
        admitted
    }

    /// Tells what the last repeated lines held back, once their time has come; called about once a second.
    pub fn settle(&self, at: Instant) {
        let now = self.milliseconds(at);
        let told = |quiet: &Quiet, line: &str, reason: &str| {
            let held_back = quiet.settle(now);
            if held_back > 0 {
                warn!(target: "signalbox", line, reason, held_back, "repeated lines were held back");
            }
        };
        for (quiet, reason) in self.quiet.sheds.iter().zip(catalog::CODES) {
            told(quiet, "shed", reason);
        }
        for (quiet, source) in self.quiet.keys.iter().zip(catalog::KEY_SOURCES) {
            told(quiet, "keys not refreshed", source);
        }
        for (quiet, kind) in self.quiet.exports.iter().zip(catalog::EXPORTS) {
            told(quiet, "not exported", kind);
        }
        for (quiet, kind) in self.quiet.recoveries.iter().zip(catalog::EXPORTS) {
            told(quiet, "the collector takes them again", kind);
        }
        told(&self.quiet.introspection, "token not introspected", "");
        told(&self.quiet.accepts, "connections not accepted", "");
        told(&self.quiet.admin_refused, "admin call refused", "");
        for (quiet, thread) in self.quiet.ticks.iter().zip(catalog::TICKING) {
            told(quiet, "tick panicked", thread);
        }
        told(&self.quiet.stalled, "worker stalled", "");
        told(&self.quiet.placed, "stalled worker placed", "");
        told(&self.quiet.captures, "no capture", "");
        told(&self.quiet.capture_folder, "the folder of captures", "");
        told(&self.quiet.baseline, "the file of the baseline", "");
        told(&self.quiet.returned, "worker returned", "");
        self.settle_media(told);
        self.settle_placement(told);
        self.settle_directory(told);
        self.settle_keeping(told);
        self.settle_journal(told);
        self.settle_fabric(told);
        self.settle_relay(told);
        for (quiet, line, reason) in self.quiet.guard.each() {
            told(quiet, line, reason);
        }
        for op in OpKind::ALL {
            told(&self.quiet.slow[kind(op, false)], "slow signal", op.name());
            told(&self.quiet.slow[kind(op, true)], "slow delivery", op.name());
        }
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_millis() as u64
    }

    pub(super) fn signal_refused(
        &self,
        op: OpKind,
        code: Code,
        origin: &Origin<'_>,
        opens: Option<&RoomId>,
        kept: Option<(TraceId, SpanId)>,
    ) {
        self.metrics.refusals.at(code as usize).increment(1);
        let trace_id = kept.or(origin.trace).map(|(trace, _)| display(trace));
        let span_id = kept.or(origin.trace).map(|(_, span)| display(span));
        let (op, code, room) = (op.name(), code.name(), origin.room.or(opens).map(RoomId::as_str));
        let peer_ip = origin.peer_ip.map(display);
        debug!(target: "signalbox", op, code, room, peer_ip, trace_id, span_id, "signal refused");
    }

    /// A slow signal is a line, so that whoever reads logs finds its trace.
    pub(super) fn trace_kept(&self, kept: &KeptTrace, at: Instant) {
        let KeptTrace { reason: Reason::Slow, trace, span, case, .. } = kept else { return };
        if let Some(held_back) = self.admit(&self.quiet.slow[kind(case.op, case.delivery)], at) {
            let (op, room, peer_ip) = (case.op.name(), case.room.as_deref(), case.peer_ip.map(display));
            let (trace_id, span_id, took_ms) = (display(trace), display(span), case.took.as_secs_f64() * 1e3);
            let (delivery, line) = (case.delivery, if case.delivery { "slow delivery" } else { "slow signal" });
            warn!(target: "signalbox", op, delivery, took_ms, room, peer_ip, %trace_id, %span_id, held_back, "{line}");
        }
    }

    fn session_opened(
        &self,
        session: &SessionId,
        (identity, room, connection): (&str, &str, u64),
        origin: &Origin<'_>,
    ) {
        self.metrics.sessions_opened.increment(1);
        let (session, (peer_ip, _, trace_id, span_id)) = (session.as_str(), known(origin));
        debug!(target: "signalbox", session, identity, room, connection, peer_ip, trace_id, span_id, "session opened");
    }

    fn session_resumed(&self, session: &SessionId, recovered: bool, origin: &Origin<'_>) {
        self.metrics.resumes.at(usize::from(!recovered)).increment(1);
        let (session, (peer_ip, room, trace_id, span_id)) = (session.as_str(), known(origin));
        debug!(target: "signalbox", session, recovered, room, peer_ip, trace_id, span_id, "session resumed");
    }

    fn session_dropped(&self, session: &SessionId, reason: Code, origin: &Origin<'_>) {
        self.metrics.sessions_dropped.at(reason as usize).increment(1);
        let (session, reason, (peer_ip, room, trace_id, span_id)) = (session.as_str(), reason.name(), known(origin));
        debug!(target: "signalbox", session, reason, room, peer_ip, trace_id, span_id, "session dropped");
    }

    fn session_closed(&self, session: &SessionId, reason: Code, origin: &Origin<'_>) {
        self.metrics.sessions_closed.at(reason as usize).increment(1);
        let (session, reason, (peer_ip, room, trace_id, span_id)) = (session.as_str(), reason.name(), known(origin));
        debug!(target: "signalbox", session, reason, room, peer_ip, trace_id, span_id, "session closed");
    }

    fn connection_closed(&self, transport: &str, reason: Code, origin: &Origin<'_>) {
        self.metrics.connections_closed.of(transport, reason as usize).increment(1);
        let (reason, session) = (reason.name(), origin.session.map(SessionId::as_str));
        let (peer_ip, room, trace_id, _) = known(origin);
        trace!(target: "signalbox", transport, reason, room, session, peer_ip, trace_id, "connection closed");
    }

    fn shed(&self, code: Code, peer_ip: Option<IpAddr>, origin: &Origin<'_>, at: Instant) {
        self.metrics.sheds.at(code as usize).increment(1);
        if let Some(held_back) = self.admit(&self.quiet.sheds[code as usize], at) {
            let peer_ip = peer_ip.map(display);
            warn!(target: "signalbox", reason = code.name(), peer_ip, trace_id = trace_id(origin), held_back, "shed");
        }
    }

    /// A change that was made is always on record; a refusal, which anyone with a token can repeat, is not each time.
    fn admin_called(&self, (call, key): (&'static str, &str), room: Option<&str>, outcome: Outcome, at: Instant) {
        if outcome != Outcome::Ok {
            return self.admin_refused(call, key, outcome.code().unwrap_or(Code::Internal), at);
        }
        self.metrics.admin.of(call, OK).increment(1);
        info!(target: "signalbox", call, key, room, "admin call");
    }

    fn admin_refused(&self, call: &str, key: &str, code: Code, at: Instant) {
        self.metrics.admin.of(call, ERROR).increment(1);
        if let Some(held_back) = self.admit(&self.quiet.admin_refused, at) {
            warn!(target: "signalbox", call, key, code = code.name(), held_back, "admin call refused");
        }
    }

    fn drain_advanced(&self, phase: DrainPhase) {
        for (place, gauge) in self.metrics.drain.iter().enumerate() {
            gauge.set(if place == phase as usize { 1.0 } else { 0.0 });
        }
        info!(target: "signalbox", phase = phase_name(phase), "drain advanced");
    }

    fn keys_refreshed(&self, source: &str, keys: &Result<usize, String>, at: Instant) {
        let result = if keys.is_ok() { OK } else { ERROR };
        self.metrics.keys_refreshed.of(source, result).increment(1);
        let fault = match keys {
            Ok(keys) => return debug!(target: "signalbox", source, keys, "keys refreshed"),
            Err(fault) => fault.as_str(),
        };
        let quiet = of(&self.quiet.keys, catalog::KEY_SOURCES, source);
        if let Some(held_back) = self.admit(quiet, at) {
            warn!(target: "signalbox", source, fault, held_back, "keys not refreshed; the old ones stay in use");
        }
    }

    /// How many were lost is counted where they are let go of.
    fn export_failed(&self, kind: &str, cause: &str, lost: u64, at: Instant) {
        self.metrics.export_failures.of(kind).increment(1);
        let quiet = of(&self.quiet.exports, catalog::EXPORTS, kind);
        if let Some(held_back) = self.admit(quiet, at) {
            warn!(target: "signalbox", kind, cause, lost, held_back, "not exported");
        }
    }

    /// A collector that comes and goes is as loud as one that stays away.
    fn export_recovered(&self, kind: &str, at: Instant) {
        if let Some(held_back) = self.admit(of(&self.quiet.recoveries, catalog::EXPORTS, kind), at) {
            info!(target: "signalbox", kind, held_back, "the collector takes them again");
        }
    }

    fn introspection_failed(&self, fault: &str, at: Instant) {
        self.metrics.introspection_failures.increment(1);
        if let Some(held_back) = self.admit(&self.quiet.introspection, at) {
            warn!(target: "signalbox", fault, held_back, "a token could not be introspected");
        }
    }

    /// Counts as shed for want of room: whoever waited to be accepted waits on, or was turned away by the system.
    fn accept_failed(&self, error: &str, at: Instant) {
        self.metrics.sheds.at(Code::RouterFull as usize).increment(1);
        if let Some(held_back) = self.admit(&self.quiet.accepts, at) {
            warn!(target: "signalbox", error, held_back, "cannot accept connections");
        }
    }

    fn tick_panicked(&self, thread: &str, at: Instant) {
        self.metrics.ticks_panicked.of(thread).increment(1);
        if let Some(held_back) = self.admit(of(&self.quiet.ticks, catalog::TICKING, thread), at) {
            error!(target: "signalbox", thread, held_back, "a tick panicked; the next one comes in its time");
        }
    }

    fn log_level_changed(&self, from: &str, to: &str) {
        self.metrics.log_level_changes.increment(1);
        info!(target: "signalbox", from, to, "log level changed");
    }

    fn certificate_shown(&self, listener: &str, expires: Duration) {
        gauge(&self.recorder, &catalog::CERTIFICATE_EXPIRY, &[listener]).set(expires.as_secs_f64());
        info!(target: "signalbox", listener, expires_unix = expires.as_secs(), "certificate in force");
    }

    fn certificates_reloaded(&self, ok: bool) {
        if ok {
            self.metrics.certificates.at(OK).increment(1);
            info!(target: "signalbox", "certificates reloaded");
        } else {
            self.metrics.certificates.at(ERROR).increment(1);
            warn!(target: "signalbox", "certificates not reloaded; the old ones stay in use");
        }
    }
}

/// The state of the lines about one of a closed set, else of `other`, its last.
fn of<'a>(lines: &'a [Quiet], set: &[&str], value: &str) -> &'a Quiet {
    let known = set.iter().position(|known| *known == value);
    &lines[known.unwrap_or(set.len() - 1)]
}

/// What lines of a session say of its connection: the client's address, the room, and the ids that its spans link to.
type Known<'a> =
    (Option<DisplayValue<IpAddr>>, Option<&'a str>, Option<DisplayValue<TraceId>>, Option<DisplayValue<SpanId>>);

fn known<'a>(origin: &Origin<'a>) -> Known<'a> {
    let span_id = origin.trace.map(|(_, span)| display(span));
    (origin.peer_ip.map(display), origin.room.map(RoomId::as_str), trace_id(origin), span_id)
}

/// For a line; the id that a client gave, or was given.
pub(super) fn trace_id(origin: &Origin<'_>) -> Option<DisplayValue<TraceId>> {
    origin.trace.map(|(trace, _)| display(trace))
}

/// The metrics', logs' and ops port's word for a phase.
pub const fn phase_name(phase: DrainPhase) -> &'static str {
    catalog::PHASES[phase as usize]
}
