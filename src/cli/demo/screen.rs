//! The demonstration's text on the terminal.

use super::super::terminal;
use std::io::{self, Write};

/// Where the story is told.
#[derive(Clone, Copy)]
pub struct Screen {
    colour: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";

impl Screen {
    /// Colours are used where they are wanted and there is a terminal.
    pub fn new(colour: bool) -> Self {
        Self {
            colour: colour && terminal::has_colour(&io::stdout()),
        }
    }

    /// What comes next.
    pub fn title(&self, text: &str) {
        show(&format!("\n{}\n", self.paint(BOLD, text)));
    }

    /// Something to know.
    pub fn line(&self, text: &str) {
        show(&format!("  {text}\n"));
    }

    /// Something that went as it should.
    pub fn good(&self, text: &str) {
        show(&format!("  {} {text}\n", self.paint(GREEN, "✓")));
    }

    /// Something that did not.
    pub fn bad(&self, text: &str) {
        show(&format!("  {} {text}\n", self.paint(RED, "✗")));
    }

    /// A command as one would type it.
    pub fn command(&self, text: &str) {
        show(&format!("  $ {}\n", self.paint(BOLD, text)));
    }

    /// A file's text.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            show(&format!("  {}\n", self.paint(DIM, line)));
        }
    }

    /// What sidekey itself said.
    pub fn heard(&self, text: &str) {
        show(&format!("  {} {text}\n", self.paint(DIM, "│")));
    }

    fn paint(&self, how: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{how}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

fn show(text: &str) {
    // The story goes on when nobody listens; the exit code still tells.
    let _ = io::stdout().write_all(text.as_bytes());
}
