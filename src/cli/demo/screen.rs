//! Standard output, shared by the table of latencies and by what is told meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::{in_place::InPlace, say};
use crate::load::{self, Progress, Snapshot};

/// Seconds between two lines where there is no terminal to redraw.
const LINE_EVERY: u32 = 3;

/// On a terminal a table in place, and above it what was told; elsewhere lines, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Screen(Arc<Mutex<Output>>);

#[derive(Debug)]
enum Output {
    Terminal(InPlace),
    Lines { second: u32 },
}

impl Screen {
    pub(super) fn new() -> Self {
        let output = InPlace::on_terminal().map_or(Output::Lines { second: 0 }, Output::Terminal);
        Self(Arc::new(Mutex::new(output)))
    }

    /// Shows how the calls go.
    pub(super) fn progress(&self) -> Progress {
        let screen = self.clone();
        Box::new(move |snapshot: &Snapshot| match &mut *screen.output() {
            Output::Terminal(terminal) => {
                terminal.draw(&format!("{}\n{}", load::latency_table(&snapshot.so_far), snapshot.to_line()));
            }
            Output::Lines { second } => {
                *second += 1;
                if second.is_multiple_of(LINE_EVERY) {
                    say(&snapshot.to_line());
                }
            }
        })
    }

    /// Tells something that stays.
    pub(super) fn tell(&self, text: &str) {
        match &mut *self.output() {
            Output::Terminal(terminal) => terminal.leave_above(text),
            Output::Lines { .. } => say(text),
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        // whoever panicked while writing wrote to no end
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
