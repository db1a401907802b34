//! What the demonstration shows, step by step. Each step has an end of its own
//! and says whether it was seen, by what the servers counted.

use super::super::connection::Reply;
use super::TOKEN_LIFE;
use super::stage::Stage;
use std::io;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Requests of the first step.
const FIRST: u64 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// A refresh ahead of expiry comes before expiry, or not at all.
const REFRESH: Duration = TOKEN_LIFE.saturating_add(Duration::from_secs(1));
/// A background refresh may come just before the revocation is noticed.
const REVOCATIONS: usize = 3;
/// Requests that are timed.
const TIMED: usize = 200;
/// Of the endless part.
const BEAT: Duration = Duration::from_secs(1);
const BEATS_PER_REVOCATION: u64 = 15;

/// Tells it once; gives what was not seen.
pub async fn tell(stage: &Stage) -> Vec<&'static str> {
    let steps = [
        (
            without_credential(stage).await,
            "requests without a credential that the API accepted",
        ),
        (
            refresh_ahead(stage).await,
            "a token fetched ahead of the old one's expiry",
        ),
        (replay(stage).await, "a 401 cured by a replay"),
        (own_time(stage).await, "how long sidekey itself took"),
    ];
    steps
        .into_iter()
        .filter(|(seen, _)| !seen)
        .map(|(_, what)| what)
        .collect()
}

/// The API demands a token; through sidekey nobody needs one.
async fn without_credential(stage: &Stage) -> bool {
    let screen = &stage.screen;
    screen.title("Requests without a credential");
    let order = stage.next_order();
    match straight_without_token(stage, &order).await {
        Ok(status) => screen.line(&format!("straight to the API: GET {order} → {status}")),
        Err(why) => screen.bad(&format!("straight to the API: GET {order}: {why}")),
    }
    let before = stage.ledger.counts().accepted;
    for _ in 0..FIRST {
        let order = stage.next_order();
        report(
            stage,
            &order,
            stage.call(&order).await.map(|reply| reply.status),
        );
    }
    stage.ledger.counts().accepted - before >= FIRST
}

async fn straight_without_token(stage: &Stage, order: &str) -> io::Result<u16> {
    let mut api = stage.to_api().await?;
    Ok(stage.call_directly(&mut api, order, false).await?.status)
}

fn report(stage: &Stage, order: &str, status: io::Result<u16>) -> bool {
    let token = stage.ledger.counts().issued;
    match status {
        Ok(200) => {
            stage.screen.good(&format!(
                "through sidekey: GET /api{order} → 200, with token {token}"
            ));
            return true;
        }
        Ok(status) => stage
            .screen
            .bad(&format!("through sidekey: GET /api{order} → {status}")),
        Err(why) => stage
            .screen
            .bad(&format!("through sidekey: GET /api{order}: {why}")),
    }
    false
}

/// Keeps calling until a new token was fetched while the old one was good.
async fn refresh_ahead(stage: &Stage) -> bool {
    let screen = &stage.screen;
    screen.title("A refresh in the background, while requests go on");
    let before = stage.ledger.counts();
    let end = Instant::now() + REFRESH;
    let (mut sent, mut answered) = (0, 0);
    while stage.ledger.counts().ahead == before.ahead && Instant::now() < end {
        let reply = stage.call(&stage.next_order()).await;
        sent += 1;
        answered += u64::from(reply.is_ok_and(|reply| reply.status == 200));
        sleep(PAUSE).await;
    }
    let counts = stage.ledger.counts();
    let seen = counts.ahead > before.ahead;
    if seen {
        let left = counts.ahead_by.as_secs_f64();
        screen.good(&format!(
            "token {} was fetched {left:.1} s before the old one would have expired",
            counts.issued
        ));
    } else {
        screen.bad("no token was fetched before the old one expired");
    }
    screen.line(&format!(
        "meanwhile {answered} of {sent} requests were answered with 200"
    ));
    seen
}

/// Revokes the token behind sidekey's back; the next caller must not notice.
async fn replay(stage: &Stage) -> bool {
    let screen = &stage.screen;
    screen.title("A token is revoked behind sidekey's back");
    for _ in 0..REVOCATIONS {
        let before = stage.ledger.counts().cured;
        let revoked = stage.ledger.revoke_all();
        screen.line(&format!(
            "token {revoked} was revoked; sidekey has not been told"
        ));
        let order = stage.next_order();
        let answered = report(
            stage,
            &order,
            stage.call(&order).await.map(|reply| reply.status),
        );
        let counts = stage.ledger.counts();
        if answered && counts.cured > before {
            let (first, second) = counts.cured_from_to;
            screen.line(&format!(
                "the API saw it twice: 401 with token {first}, then 200 with token {second}"
            ));
            return true;
        }
        if !answered {
            return false;
        }
    }
    false
}

/// By sidekey's own count; and the same requests with and without it between.
async fn own_time(stage: &Stage) -> bool {
    let screen = &stage.screen;
    screen.title("What sidekey itself takes");
    match timed(stage).await {
        Ok((straight, through)) => screen.line(&format!(
            "{} straight to the API, {} through sidekey (medians of {TIMED}, one at a time)",
            millis(straight),
            millis(through)
        )),
        Err(why) => screen.bad(&format!("requests could not be timed: {why}")),
    }
    let own = average(stage).await;
    match &own {
        Ok(own) => screen.good(&format!(
            "of that, {} on average by its own count",
            millis(*own)
        )),
        Err(why) => screen.bad(&format!("its own count can't be read: {why}")),
    }
    if cfg!(debug_assertions) {
        screen.line("this is a debug build, several times slower than a release build");
    }
    own.is_ok()
}

async fn timed(stage: &Stage) -> io::Result<(Duration, Duration)> {
    let mut api = stage.to_api().await?;
    let mut proxy = stage.to_proxy().await?;
    let (mut straight, mut through) = (Vec::new(), Vec::new());
    // By turns, so that whatever else the machine does meets both alike.
    for _ in 0..TIMED {
        let order = stage.next_order();
        let start = Instant::now();
        accepted(&stage.call_directly(&mut api, &order, true).await?)?;
        straight.push(start.elapsed());
        let order = stage.next_order();
        let start = Instant::now();
        accepted(&stage.call_on(&mut proxy, &order).await?)?;
        through.push(start.elapsed());
    }
    Ok((median(straight), median(through)))
}

/// A refusal is quicker than an answer, and says nothing of its time.
fn accepted(reply: &Reply) -> io::Result<()> {
    match reply.status {
        200 => Ok(()),
        status => Err(io::Error::other(format!("one was answered with {status}"))),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// From `sidekey_overhead_seconds`.
async fn average(stage: &Stage) -> io::Result<Duration> {
    let reply = stage.ask("/metrics").await?;
    let text = String::from_utf8_lossy(&reply.body);
    let sample = |name: &str| sum(&text, name);
    let (sum, count) = (
        sample("sidekey_overhead_seconds_sum"),
        sample("sidekey_overhead_seconds_count"),
    );
    if count == 0.0 {
        return Err(io::Error::other(
            "/metrics shows no sidekey_overhead_seconds",
        ));
    }
    Ok(Duration::from_secs_f64(sum / count))
}

/// The sum of a metric's samples.
fn sum(text: &str, name: &str) -> f64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once(' '))
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// Goes on until somebody ends it.
pub async fn go_on(stage: &Stage) {
    let screen = &stage.screen;
    screen.title("It goes on until Ctrl-C; try it yourself");
    screen.command(&format!("curl -i {}/yours", stage.proxy_url()));
    invite(stage).await;
    let mut issued = stage.ledger.counts().issued;
    let mut welcomed = false;
    for beat in 1_u64.. {
        sleep(BEAT).await;
        if !welcomed && stage.ledger.person.has_connected() {
            welcomed = true;
            screen.good("demoPerson was connected in the browser: that curl is answered now");
        }
        if beat.is_multiple_of(BEATS_PER_REVOCATION) {
            replay(stage).await;
        } else if let Err(why) = stage.call(&stage.next_order()).await {
            screen.bad(&why.to_string());
        }
        let counts = stage.ledger.counts();
        if counts.issued > issued {
            issued = counts.issued;
            screen.good(&format!(
                "token {issued} is in use; {} requests accepted so far",
                counts.accepted
            ));
        }
    }
}

/// An account that needs a person: on the page, in a browser.
async fn invite(stage: &Stage) {
    let screen = &stage.screen;
    screen.title("Connect an account as a person would");
    match stage.link().await {
        Some(link) => {
            screen.line("open this link (it works once), press Connect at demoPerson and agree:");
            screen.command(&link);
            screen.line("then what was refused before is answered:");
            screen.command(&format!("curl -i {}", stage.person_url()));
        }
        None => screen.bad("sidekey gave no link to its page"),
    }
}

#[cfg(test)]
mod tests {
    use super::{median, sum};
    use std::time::Duration;

    #[test]
    fn samples_of_one_metric_are_added_up() {
        let text = "# HELP a_sum x\na_sum{route=\"b c\"} 1.5\na_sum{route=\"d\"} 2\na_summit{} 9\n";
        assert!((sum(text, "a_sum") - 3.5).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_nothing_is_zero() {
        assert_eq!(median(Vec::new()), Duration::ZERO);
        assert_eq!(
            median([3, 1, 2].map(Duration::from_secs).to_vec()),
            Duration::from_secs(2)
        );
    }
}
