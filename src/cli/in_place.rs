//! A text that is drawn again and again in one place of the terminal.

use std::io::IsTerminal as _;

use terminal_size::{Height, Width, terminal_size};

use super::say;

/// What stands on standard output, if that is a terminal.
#[derive(Debug, Default)]
pub(super) struct InPlace {
    drawn: usize,
}

impl InPlace {
    /// Absent: nothing can be drawn over there; it takes lines, one after the other.
    pub(super) fn on_terminal() -> Option<Self> {
        std::io::stdout().is_terminal().then(Self::default)
    }

    /// Draws over what was drawn before. A line must not be wider than the terminal, nor the text higher.
    pub(super) fn draw(&mut self, text: &str) {
        // up over what was drawn, then clear to the end of the screen (ECMA-48 CUU, ED)
        let over = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
        self.drawn = text.lines().count();
        say(&format!("{over}{text}"));
    }

    /// Leaves a text above what is drawn next.
    pub(super) fn leave_above(&mut self, text: &str) {
        self.draw(text);
        self.drawn = 0;
    }

    /// Columns and lines now: people resize their terminals.
    pub(super) fn size() -> (usize, usize) {
        let (Width(columns), Height(lines)) = terminal_size().unwrap_or((Width(80), Height(24)));
        (columns.into(), lines.into())
    }
}
