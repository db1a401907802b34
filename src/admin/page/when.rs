//! Times as the page shows them: relative, with the exact one behind them. The
//! page's script goes on counting from `data-at`, in the same words.

use crate::admin::api::rfc3339;
use crate::base::clock::Wall;

/// In which words a time is told.
#[derive(Clone, Copy)]
pub enum As {
    Left,
    In,
    Ago,
}

/// A `time` element.
pub fn html(at: Wall, now: Wall, told: As) -> String {
    let (word, text) = match told {
        As::Left if at > now => ("left", format!("{} left", span(at, now))),
        As::Left => ("left", "expired".to_owned()),
        As::In if at > now => ("in", format!("in {}", span(at, now))),
        As::In => ("in", "now".to_owned()),
        As::Ago if now.since(at).as_secs() < 1 => ("ago", "just now".to_owned()),
        As::Ago => ("ago", format!("{} ago", span(now, at))),
    };
    let exact = rfc3339(at);
    let seconds = at.unix_seconds();
    format!(
        "<time datetime=\"{exact}\" title=\"{exact}\" data-at=\"{seconds}\" data-as=\"{word}\">\
         {text}</time>"
    )
}

/// From the earlier to the later time, in the two largest units.
fn span(later: Wall, earlier: Wall) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let seconds = later.unix_seconds().saturating_sub(earlier.unix_seconds());
    let Some(first) = UNITS.iter().position(|(_, size)| seconds >= *size) else {
        return "0 s".to_owned();
    };
    let (name, size) = UNITS[first];
    let text = format!("{} {name}", seconds / size);
    match UNITS.get(first + 1) {
        Some((next, part)) if seconds % size >= *part => {
            format!("{text} {} {next}", seconds % size / part)
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{As, html, span};
    use crate::base::clock::Wall;
    use std::time::Duration;

    fn at(seconds: u64) -> Wall {
        Wall::new(Duration::from_secs(1_764_010_759 + seconds))
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let of = |seconds| span(at(seconds), at(0));
        assert_eq!([of(0), of(59), of(60)], ["0 s", "59 s", "1 min"]);
        assert_eq!([of(61), of(3_659)], ["1 min 1 s", "1 h"]);
        assert_eq!([of(3_660), of(90_000)], ["1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_time_is_told_as_it_is_meant_and_exactly() {
        assert_eq!(
            html(at(90), at(0), As::Left),
            "<time datetime=\"2025-11-24T19:00:49Z\" title=\"2025-11-24T19:00:49Z\" \
             data-at=\"1764010849\" data-as=\"left\">1 min 30 s left</time>"
        );
        for (time, told, words) in [
            (at(0), As::Left, ">expired<"),
            (at(0), As::In, ">now<"),
            (at(8), As::In, ">in 8 s<"),
            (at(0), As::Ago, ">just now<"),
        ] {
            assert!(html(time, at(0), told).contains(words), "{words}");
        }
        assert!(html(at(0), at(8), As::Ago).contains(">8 s ago<"));
    }
}
