//! The keys of what a route changes in requests and answers.

use crate::config::keys::{Choice, Kind, Need, Section, key, now};
use Kind::{Either, List, Pairs, Size, Text};
use Need::Optional;

/// `request_headers` and `response_headers` of a route.
pub static FIELDS: Section = Section {
    what: "a block of header changes",
    keys: &[
        key(
            "set",
            Pairs,
            Optional("none"),
            "Headers and their values, in the place of all that came under these names.",
        ),
        key(
            "remove",
            List(&Text),
            Optional("none"),
            "Headers, and trailers, that do not go on.",
        ),
    ],
};

pub(super) static NONE: &[Choice] = &[now("none")];

/// A size, or no limit at all.
pub const MAX_BODY: Kind = Either(&[Size, Kind::Choice(NONE)]);
