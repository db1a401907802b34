//! The last day as bars, drawn on the server.

use crate::refresh::Slice;
use askama::Template;

const WIDTH: u32 = 308;
const TOP: f32 = 10.0;
const GROUND: f32 = 60.0;
/// A bar that stands for something is never too low to see.
const LEAST: f32 = 2.5;

#[derive(Template)]
#[template(path = "chart.html")]
struct Chart {
    width: u32,
    text: String,
    lines: Vec<(f32, u32)>,
    bars: Vec<Bar>,
}

struct Bar {
    class: &'static str,
    x: String,
    y: String,
    width: String,
    height: String,
    title: String,
}

/// The chart of these half-hours, oldest first.
pub fn svg(day: &[Slice]) -> String {
    let most = day.iter().map(total).max().unwrap_or(0).max(4);
    let chart = Chart {
        width: WIDTH,
        text: text(day),
        lines: vec![(TOP, most), ((TOP + GROUND) / 2.0, most / 2)],
        bars: bars(day, most),
    };
    chart.render().unwrap_or_default()
}

/// Refreshed, failed, expired over the whole day.
pub fn totals(day: &[Slice]) -> [u64; 3] {
    day.iter()
        .fold([0; 3], |[refreshed, failed, expired], slice| {
            [
                refreshed + u64::from(slice.refreshed),
                failed + u64::from(slice.failed),
                expired + u64::from(slice.expired),
            ]
        })
}

fn text(day: &[Slice]) -> String {
    let [refreshed, failed, expired] = totals(day);
    format!(
        "{refreshed} token requests brought a token, {failed} failed, {expired} tokens expired."
    )
}

fn total(slice: &Slice) -> u32 {
    let failed = slice.failed.saturating_add(slice.expired);
    slice.refreshed.saturating_add(failed)
}

fn bars(day: &[Slice], most: u32) -> Vec<Bar> {
    #[allow(clippy::cast_precision_loss)] // pixels
    let step = WIDTH as f32 / day.len().max(1) as f32;
    let mut bars = Vec::new();
    for (number, slice) in day.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)] // pixels
        let x = step * number as f32 + 0.75;
        let mut y = GROUND;
        for (class, count) in [
            ("refreshed", slice.refreshed),
            ("failed", slice.failed),
            ("expired", slice.expired),
        ] {
            if count == 0 {
                continue;
            }
            let height = height(count, most);
            y -= height;
            bars.push(Bar {
                class,
                x: format!("{x:.1}"),
                y: format!("{y:.1}"),
                width: format!("{:.1}", step - 1.5),
                height: format!("{height:.1}"),
                title: format!("{count} {class}, {}", ago(day.len() - number)),
            });
        }
    }
    bars
}

#[allow(clippy::cast_precision_loss)] // pixels
fn height(count: u32, most: u32) -> f32 {
    ((GROUND - TOP) * count as f32 / most as f32).max(LEAST)
}

/// The half-hour that is the `number`th from the end.
fn ago(number: usize) -> String {
    match number {
        1 => "in this half hour".to_owned(),
        number => format!("about {} h ago", (number / 2).max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::svg;
    use crate::refresh::Slice;

    #[test]
    fn what_has_happened_is_drawn_and_told() {
        let mut day = vec![Slice::default(); 48];
        day[47] = Slice {
            refreshed: 3,
            failed: 1,
            expired: 0,
        };
        let svg = svg(&day);
        assert!(svg.contains("3 token requests brought a token, 1 failed, 0 tokens expired."));
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
        assert!(svg.contains("<title>1 failed, in this half hour</title>"));
        assert!(!svg.contains("NaN"));
        assert!(!super::svg(&[]).is_empty());
    }
}
