//! Faults that are injected on purpose, so that whoever watches a router sees whether they are found.

/// What a router does wrong while the fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Signals meet a function that burns CPU time.
    Cpu,
    /// A worker thread is blocked again and again, for longer than is allowed.
    Stall,
    /// A share of the signals is answered with `internal`.
    Errors,
    /// Memory is taken and not given back.
    Memory,
    /// Signals of clients of any variant but the default are late, and some are answered with `internal`.
    Canary,
    /// What media nodes answer is heard late.
    SlowMedia,
    /// Each signal is some work, as much as was asked for: what a router can serve is then known beforehand.
    Work,
    /// Each signal is so much work that a usual load is too much.
    Shed,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Cpu, Self::Stall, Self::Errors, Self::Memory, Self::Canary, Self::SlowMedia, Self::Work, Self::Shed];

    /// The word for it: the metric's label, the ops port's and the command line's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Stall => "stall",
            Self::Errors => "errors",
            Self::Memory => "memory",
            Self::Canary => "canary",
            Self::SlowMedia => "slow-media",
            Self::Work => "work",
            Self::Shed => "shed",
        }
    }

    /// The fault of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// All names, for those who gave one that is none.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}
