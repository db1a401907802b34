//! The alerts and the dashboard ask only for what is measured.

use crate::deploy_files::{documents, good};
use crate::support::real::{Prometheus, file};
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, eventually, get};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The expressions of the alerts.
fn alerts() -> Vec<String> {
    let rules = &documents(&[project("deploy/prometheus/alerts.yaml")])[0];
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules
        .map(|rule| rule["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// The dashboard, and every place in it that holds an expression.
fn dashboard() -> (Vec<String>, Value) {
    let text = fs::read_to_string(project("deploy/grafana/sidekey.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let exprs = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    (exprs.collect(), dashboard)
}

/// As Grafana sends it when everything is chosen.
fn filled_in(expr: &str) -> String {
    let mut expr = expr.replace("$__rate_interval", "1m");
    for variable in ["job", "instance", "route", "account"] {
        expr = expr.replace(&format!("${variable}\""), ".*\"");
    }
    assert!(!expr.contains('$'), "an unknown variable: {expr}");
    expr
}

/// Selectors and grouping labels of each expression.
fn parsed(exprs: &[String]) -> Vec<Value> {
    let mut python = Command::new(file(".venv/bin/python"))
        .arg(file("promql.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let list = serde_json::to_vec(exprs).unwrap();
    python.stdin.take().unwrap().write_all(&list).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "not PromQL");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each metric of docs/metrics.md with its labels.
fn documented() -> HashMap<String, Vec<String>> {
    let text = fs::read_to_string(project("docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `sidekey_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let quoted = |cell: &str| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        (quoted(cells[1]).remove(0), quoted(cells[3]))
    })
    .collect()
}

/// The metric that a series belongs to.
fn family(series: &str, types: &HashMap<String, String>) -> String {
    for suffix in ["_bucket", "_sum", "_count"] {
        if let Some(base) = series.strip_suffix(suffix)
            && types.get(base).is_some_and(|kind| kind == "histogram")
        {
            return base.to_owned();
        }
    }
    series.to_owned()
}

/// Metrics of a running sidekey, with their types.
fn exposed(sidekey: &Sidekey) -> HashMap<String, String> {
    let text = sidekey.metrics();
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn every_metric_label_and_value_exists() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    assert_eq!(sidekey.get("/api/").status, 200);
    eventually("the request's count", || {
        sidekey.metric("sidekey_requests_total", &[]) == 1.0
    });
    let (types, documented) = (exposed(&sidekey), documented());
    let closed: String = ["docs/metrics.md", "docs/errors.md"]
        .map(|name| fs::read_to_string(project(name)).unwrap())
        .concat();
    // Prometheus itself sets these.
    let anywhere = ["job", "instance", "le"];
    let (panels, _) = dashboard();
    let exprs: Vec<_> = [alerts(), panels]
        .concat()
        .iter()
        .map(|e| filled_in(e))
        .collect();
    assert!(exprs.len() > 30);
    for (expr, found) in exprs.iter().zip(parsed(&exprs)) {
        let mut known = Vec::new();
        for selector in found["selectors"].as_array().unwrap() {
            let metric = family(
                selector["metric"].as_str().expect("a metric's name"),
                &types,
            );
            assert!(types.contains_key(&metric), "{metric}: {expr}");
            let labels = documented.get(&metric).cloned().unwrap_or_default();
            assert!(
                metric.starts_with("process_") || documented.contains_key(&metric),
                "{metric}"
            );
            for matcher in selector["matchers"].as_array().unwrap() {
                let (label, value) = (matcher[0].as_str().unwrap(), matcher[1].as_str().unwrap());
                let exists = anywhere.contains(&label) || labels.iter().any(|l| l == label);
                assert!(exists, "{metric} has no label {label}: {expr}");
                if ["state", "outcome", "trigger", "reason"].contains(&label) {
                    for value in value.split('|') {
                        assert!(closed.contains(&format!("`{value}`")), "{value}: {expr}");
                    }
                }
            }
            known.extend(labels);
        }
        for label in found["groups"].as_array().unwrap() {
            let label = label.as_str().unwrap();
            let exists = anywhere.contains(&label) || known.iter().any(|l| l == label);
            assert!(exists, "no label {label}: {expr}");
        }
    }
}

#[test]
fn every_panel_shows_something_of_a_sidekey_with_traffic() {
    let auth = AuthServer::start();
    let live = auth.checker();
    let upstream = Server::start(move |request| match live(request) {
        true if request.target == "/broken" => Answer::new(500),
        true => Answer::ok("content"),
        false => Answer::rejected(),
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let prometheus = Prometheus::scraping(sidekey.admin);
    let (panels, dashboard) = dashboard();
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    let marks = annotations
        .iter()
        .map(|a| a["expr"].as_str().unwrap().to_owned());
    // Comparisons find nothing when all is well, but they must be answered.
    for expr in alerts().into_iter().chain(marks) {
        assert!(prometheus.series(&filled_in(&expr)).is_some(), "{expr}");
    }
    for expr in panels {
        eventually(&expr, || {
            // A rate needs two scrapes with something between them.
            auth.revoke();
            for target in ["/api/", "/api/broken", "/elsewhere"] {
                sidekey.get(target);
            }
            let found = prometheus.series(&filled_in(&expr));
            found.expect("an answer") > 0
        });
    }
    assert_eq!(get(sidekey.admin, "/livez").status, 200);
}

#[test]
fn promtool_shows_when_each_alert_fires() {
    let folder = project("deploy/prometheus");
    let promtool = || {
        let mut promtool = Command::new("promtool");
        promtool.current_dir(&folder);
        promtool
    };
    good(promtool().args(["check", "rules", "alerts.yaml"]));
    good(promtool().args(["test", "rules", "alerts.test.yaml"]));
    let tested = fs::read_to_string(folder.join("alerts.test.yaml")).unwrap();
    let rules = &documents(&[folder.join("alerts.yaml")])[0]["groups"][0]["rules"];
    for rule in rules.as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(
            tested.contains(&format!("alertname: {name}\n")),
            "{name} has no test"
        );
    }
}
