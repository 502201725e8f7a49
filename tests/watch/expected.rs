//! The one table of what each fault has to bring about: who is told of what, what else may be told, and what must be named.

/// What a fault brings about.
#[derive(Debug)]
pub(crate) struct Row {
    /// Of `PUT /api/fault`.
    pub(crate) fault: &'static str,
    /// Of each of these lists one alert at least is told.
    pub(crate) wanted: &'static [&'static [&'static str]],
    /// Others that may be told while it lasts and until it is forgotten; anything else is a false alarm.
    pub(crate) allowed: &'static [&'static str],
    pub(crate) cause: Cause,
}

/// Where the injected cause has to be named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// Among the first that became more, in the difference of the capture that the alert leads to.
    Difference(&'static str),
    /// In the stack of the worker, in the capture of the stall.
    Stack(&'static str),
    /// In what the alert itself says.
    Said { alert: &'static str, words: &'static [&'static str] },
}

/// In this order: the difference of the last one is to the time from which a router's first minutes are far enough away.
pub(crate) const TABLE: &[Row] = &[
    Row {
        fault: "stall",
        wanted: &[&["SignalboxWorkerStalled"], &[FAULT_ACTIVE]],
        // a worker that hangs makes signals late: that is no false alarm
        allowed: &[
            "SignalboxP99AboveBaseline",
            "SignalboxP99AboveBaselineBurning",
            "SignalboxSloBurnFast",
            "SignalboxSloBurnSlow",
            LEAKING,
        ],
        cause: Cause::Stack("block_worker_on_purpose"),
    },
    Row {
        fault: "errors",
        wanted: &[&["SignalboxErrors"], &[FAULT_ACTIVE]],
        allowed: &[LEAKING],
        cause: Cause::Said { alert: "SignalboxErrors", words: &["internal", "a second"] },
    },
    Row {
        fault: "memory",
        wanted: &[&["SignalboxMemoryGrowing"], &[FAULT_ACTIVE]],
        allowed: &[LEAKING],
        cause: Cause::Said { alert: "SignalboxMemoryGrowing", words: &["memory", "New sessions do not", "explain it"] },
    },
    Row {
        fault: "cpu",
        // one of the two P99 alerts is silent: the page of a thing is its ticket too
        wanted: &[
            &["SignalboxP99AboveBaseline", "SignalboxP99AboveBaselineBurning"],
            // names the op and the region; the fast burn, which cannot, is silent once it fires
            &["SignalboxP99AboveBaselineBurning"],
            &[FAULT_ACTIVE],
        ],
        // where all CPUs are taken a worker may be kept waiting as well
        allowed: &["SignalboxSloBurnFast", "SignalboxSloBurnSlow", "SignalboxWorkerStalled", LEAKING],
        cause: Cause::Difference("burn_cpu_on_purpose"),
    },
];

/// Whoever injects a fault is told on.
pub(crate) const FAULT_ACTIVE: &str = "SignalboxFaultActive";
/// What slow minutes leave behind: the budget of three days, two minutes here.
pub(crate) const LEAKING: &str = "SignalboxSloBudgetLeaking";

impl Row {
    /// Whether somebody may be told of that alert.
    pub(crate) fn tolerates(&self, alert: &str) -> bool {
        self.allowed.contains(&alert) || self.wanted.iter().any(|one_of| one_of.contains(&alert))
    }
}
