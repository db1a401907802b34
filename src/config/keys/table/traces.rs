//! The keys of `traces`.

use crate::config::keys::{Kind, Need, Section, key};
use Kind::{Pairs, Text};
use Need::{Default, Optional, Required};

pub(super) static TRACES: Section = Section {
    what: "the block of traces",
    keys: &[
        key(
            "endpoint",
            Text,
            Required,
            "The collector's URL for OTLP over HTTP, such as `http://127.0.0.1:4318`; spans are sent to this and `/v1/traces`.",
        ),
        key(
            "ratio",
            Text,
            Default("0.1"),
            "Which part of the traces is recorded, from `0` to `1`, of those that the caller does not record; those that it does are always.",
        ),
        key(
            "headers",
            Pairs,
            Optional("none"),
            "Headers for the collector, such as the key that it asks for.",
        )
        .secret(),
        key(
            "service_name",
            Text,
            Default("sidekey"),
            "`service.name` of the spans.",
        ),
        key(
            "resource",
            Pairs,
            Optional("none"),
            "Further attributes of the process, such as `deployment.environment.name`.",
        ),
    ],
};
