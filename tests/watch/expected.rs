//! The one table of what each fault has to bring about: who is told of what, what else may be told, and what must be named.

/// What a fault brings about.
#[derive(Debug)]
pub(crate) struct Row {
    /// Of `PUT /api/fault`.
    pub(crate) fault: &'static str,
    pub(crate) meanwhile: Meanwhile,
    /// Of each of these lists one alert at least is told.
    pub(crate) wanted: &'static [&'static [&'static str]],
    /// Others that may be told while it lasts and until it is forgotten; anything else is a false alarm.
    pub(crate) allowed: &'static [&'static str],
    pub(crate) cause: Cause,
}

/// What there is beside the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// The load, and nothing else: most faults shall show as they are, not as what the guard makes of them.
    Load,
    /// The router's guard is on.
    Guarded,
    /// Somebody negotiates with a media node.
    Negotiating,
}

/// Where the injected cause has to be named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// Among the first that became more, in the difference of the capture that the alert leads to.
    Difference(&'static str),
    /// In the stack of the worker, in the capture of the stall.
    Stack(&'static str),
    /// As the longest stage of the slowest signals of that op.
    Stage { op: &'static str, stage: &'static str },
    /// In what the alert itself says.
    Said { alert: &'static str, words: &'static [&'static str] },
}

/// In this order: the difference of `cpu` is to a time that is far enough from the router's first minutes, and to nothing that
/// another fault of that kind did; `shed` is one, so it comes after.
pub(crate) const TABLE: &[Row] = &[
    Row {
        fault: "stall",
        meanwhile: Meanwhile::Load,
        wanted: &[&["SignalboxWorkerStalled"], &[FAULT_ACTIVE]],
        // a worker that hangs makes signals late: that is no false alarm
        allowed: &[
            "SignalboxP99AboveBaseline",
            "SignalboxP99AboveBaselineBurning",
            "SignalboxSloBurnFast",
            "SignalboxSloBurnSlow",
            CANARY_SLOW,
            LEAKING,
        ],
        cause: Cause::Stack("block_worker_on_purpose"),
    },
    Row {
        fault: "errors",
        meanwhile: Meanwhile::Load,
        wanted: &[&["SignalboxErrors"], &[FAULT_ACTIVE]],
        allowed: &[CANARY_ERRORS, LEAKING],
        cause: Cause::Said { alert: "SignalboxErrors", words: &["internal", "a second"] },
    },
    Row {
        fault: "memory",
        meanwhile: Meanwhile::Load,
        wanted: &[&["SignalboxMemoryGrowing"], &[FAULT_ACTIVE]],
        allowed: &[LEAKING],
        cause: Cause::Said { alert: "SignalboxMemoryGrowing", words: &["memory", "New sessions do not", "explain it"] },
    },
    Row {
        fault: "canary",
        meanwhile: Meanwhile::Load,
        wanted: &[&[CANARY_SLOW], &[CANARY_ERRORS], &[FAULT_ACTIVE]],
        // what a few users feel may be seen in the whole, too
        allowed: &["SignalboxErrors", "SignalboxSloBurnSlow", LEAKING],
        cause: Cause::Said { alert: CANARY_ERRORS, words: &["canary", "signalbox variant rollback canary"] },
    },
    Row {
        fault: "slow-media",
        meanwhile: Meanwhile::Negotiating,
        wanted: &[&["SignalboxMediaBreakerOpen"], &[FAULT_ACTIVE]],
        // who negotiates is late, and then refused
        allowed: &["SignalboxErrors", "SignalboxSloBurnFast", "SignalboxSloBurnSlow", LEAKING],
        cause: Cause::Stage { op: "signal", stage: "media" },
    },
    Row {
        fault: "cpu",
        meanwhile: Meanwhile::Load,
        // one of the two P99 alerts is silent: the page of a thing is its ticket too
        wanted: &[
            &["SignalboxP99AboveBaseline", "SignalboxP99AboveBaselineBurning"],
            // names the op and the region; the fast burn, which cannot, is silent once it fires
            &["SignalboxP99AboveBaselineBurning"],
            &[FAULT_ACTIVE],
        ],
        // where all CPUs are taken a worker may be kept waiting as well
        allowed: &["SignalboxSloBurnFast", "SignalboxSloBurnSlow", "SignalboxWorkerStalled", CANARY_SLOW, LEAKING],
        cause: Cause::Difference("burn_cpu_on_purpose"),
    },
    Row {
        fault: "shed",
        meanwhile: Meanwhile::Guarded,
        wanted: &[&["SignalboxSheds"], &["SignalboxShardBehind"], &[FAULT_ACTIVE]],
        // what is let in waits for as long as the guard lets it: longer than usual, and at times longer than promised; what was
        // let in before it noticed is too old when its turn comes
        allowed: &[
            "SignalboxErrors",
            "SignalboxP99AboveBaseline",
            "SignalboxP99AboveBaselineBurning",
            "SignalboxSloBurnFast",
            "SignalboxSloBurnSlow",
            CANARY_SLOW,
            LEAKING,
        ],
        cause: Cause::Said { alert: "SignalboxSheds", words: &["overloaded", "a second"] },
    },
];

/// Whoever injects a fault is told on.
pub(crate) const FAULT_ACTIVE: &str = "SignalboxFaultActive";
/// What hits some signals and not others may hit the canary's by chance: on this clock they are forty a window, not the
/// thousand that the rule asks for.
pub(crate) const CANARY_SLOW: &str = "SignalboxCanarySlow";
/// The fault spreads its errors evenly over all signals: of so few of the canary's it may hit twice as many as of the others.
pub(crate) const CANARY_ERRORS: &str = "SignalboxCanaryErrors";
/// What slow minutes leave behind: the budget of three days, two minutes here.
pub(crate) const LEAKING: &str = "SignalboxSloBudgetLeaking";

impl Row {
    /// Whether somebody may be told of that alert.
    pub(crate) fn tolerates(&self, alert: &str) -> bool {
        self.allowed.contains(&alert) || self.wanted.iter().any(|one_of| one_of.contains(&alert))
    }
}
