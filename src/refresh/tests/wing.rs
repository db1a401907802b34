use super::stage::{Stage, account, key};
use crate::account::SecretSource;
use crate::base::id::AccountKey;
use crate::base::template::Template;
use crate::oauth::{Failure, FailureKind};
use crate::refresh::{AccountState, ManualOutcome};
use crate::store::memory::MemoryStore;
use crate::token::{PassOn, Published, RejectedStatus, Shared, TokenPlace, Verdict, Waited};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The header's value that workers see now.
fn header(shared: &Shared) -> Option<String> {
    match &shared.current() {
        Published::Unavailable(_) => None,
        Published::Valid(credential) => match &credential.attach.token {
            TokenPlace::Header { value, .. } => Some(value.to_str().unwrap().to_owned()),
            TokenPlace::Query(_) => None,
        },
    }
}

#[tokio::test(start_paused = true)]
async fn first_tokens_come_by_themselves_eight_at_once() {
    let stage = Stage::new(50).ready().await;
    assert!(stage.shared.iter().all(|s| header(s).is_some()));
    assert_eq!(stage.server.begun(), 50);
    assert_eq!(stage.server.most_at_once.load(Ordering::Relaxed), 8);
    let statuses = stage.handle.accounts();
    assert!(
        statuses
            .iter()
            .all(|s| s.state == AccountState::Connected && s.generation == 1)
    );
    assert_eq!(statuses[7].key, key(7));
    assert_eq!(
        stage.handle.account(&key(3)).unwrap().scope.as_deref(),
        Some("api")
    );
    assert!(
        stage
            .handle
            .account(&AccountKey::new("x").unwrap())
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_for_days_and_workers_never_see_a_dead_one() {
    let stage = Stage::new(2).ready().await;
    for _ in 0..48 * 6 {
        sleep(secs(600)).await;
        assert!(stage.shared.iter().all(|s| header(s).is_some()));
    }
    let begun = stage.server.begun();
    assert!((2 * 96..=2 * 120).contains(&begun), "{begun}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_lead_to_one_refresh_and_a_hang_up_cancels_nothing() {
    let stage = Stage::new(1).ready().await;
    let stage = Arc::new(stage);
    let asks: Vec<_> = (0..1_000)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move {
                stage
                    .asker
                    .rejected(&key(0), 1, RejectedStatus::Unauthorized)
                    .await
            })
        })
        .collect();
    sleep(Duration::from_millis(10)).await;
    for (number, ask) in asks.into_iter().enumerate() {
        if number % 2 == 0 {
            ask.abort();
        } else {
            assert_eq!(ask.await.unwrap(), Verdict::Replay);
        }
    }
    assert_eq!(stage.server.begun(), 2);
    assert_eq!(header(&stage.shared[0]).as_deref(), Some("Bearer token-2"));
    let late = stage
        .asker
        .rejected(&key(0), 1, RejectedStatus::Forbidden)
        .await;
    assert_eq!(late, Verdict::Replay);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_replay_closes_the_budget() {
    let stage = Stage::new(1).ready().await;
    let status = RejectedStatus::Forbidden;
    assert_eq!(
        stage.asker.rejected(&key(0), 1, status).await,
        Verdict::Replay
    );
    stage.asker.replay_ended(&key(0), 2, status, false);
    let verdict = stage.asker.rejected(&key(0), 2, status).await;
    assert_eq!(verdict, Verdict::PassOn(PassOn::Budget));
    sleep(secs(31)).await;
    assert_eq!(
        stage.asker.rejected(&key(0), 2, status).await,
        Verdict::Replay
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_first_token() {
    let down = Failure::new(FailureKind::Transient, "down");
    let stage = Stage::with(1, Arc::new(MemoryStore::new()), |server| {
        *server.failure.lock().unwrap() = Some(down);
    });
    let server = stage.server.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(500)).await;
        *server.failure.lock().unwrap() = None;
    });
    assert_eq!(stage.asker.token(&key(0)).await, Waited::Look);
    assert!(header(&stage.shared[0]).is_some());
    assert_eq!(stage.server.begun(), 2);
    let unknown = AccountKey::new("unknown").unwrap();
    assert_eq!(stage.asker.token(&unknown).await, Waited::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_stepped_wall_clock_is_noticed_within_15_seconds() {
    let stage = Stage::new(1).ready().await;
    *stage.server.failure.lock().unwrap() = Some(Failure::new(FailureKind::Transient, "down"));
    stage.clock.stepped.store(7_200, Ordering::Relaxed);
    let began = Instant::now();
    while header(&stage.shared[0]).is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() <= secs(16), "{:?}", began.elapsed());
    assert!(matches!(
        stage.shared[0].current(),
        Published::Unavailable(_)
    ));
    assert_eq!(stage.handle.accounts()[0].state, AccountState::Waiting);
    *stage.server.failure.lock().unwrap() = None;
    sleep(secs(61)).await;
    assert!(header(&stage.shared[0]).is_some());
}

#[tokio::test(start_paused = true)]
async fn people_refresh_and_hear_the_end_of_it() {
    let stage = Stage::new(2).ready().await;
    assert_eq!(
        stage.handle.refresh(&key(1)).await,
        ManualOutcome::Refreshed
    );
    assert_eq!(stage.handle.account(&key(1)).unwrap().generation, 2);
    let refused = Failure::new(FailureKind::Misconfigured, "check client_id");
    *stage.server.failure.lock().unwrap() = Some(refused);
    let failed = ManualOutcome::Failed("check client_id".to_owned());
    assert_eq!(stage.handle.refresh(&key(1)).await, failed);
    let status = stage.handle.account(&key(1)).unwrap();
    assert_eq!(status.state, AccountState::Misconfigured);
    assert_eq!(status.last_error.unwrap().what, "check client_id");
    assert!(
        header(&stage.shared[1]).is_some(),
        "the old token serves on"
    );
    let unknown = AccountKey::new("unknown").unwrap();
    assert_eq!(
        stage.handle.refresh(&unknown).await,
        ManualOutcome::UnknownAccount
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_fits_no_header_is_a_failed_refresh() {
    let stage = Stage::new(1).ready().await;
    *stage.server.same.lock().unwrap() = Some("hunter2\r\nX: y".to_owned());
    let outcome = stage.handle.refresh(&key(0)).await;
    let ManualOutcome::Failed(why) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!why.contains("hunter2"), "{why}");
    assert_eq!(header(&stage.shared[0]).as_deref(), Some("Bearer token-1"));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_waited_for_goes_first() {
    let store = Arc::new(MemoryStore::new());
    let stage = Stage::with(30, store, |server| {
        server.gate.forget_permits(1_000_000);
    });
    sleep(secs(1)).await;
    assert_eq!(stage.server.begun(), 8);
    // Records are read side by side, so that any eight may be the first.
    let begun = stage.server.order.lock().unwrap().clone();
    let last = (0..30)
        .rev()
        .find(|n| !begun.contains(&format!("account{n}")));
    let last = last.expect("22 of them have not begun");
    let asker = stage.asker.clone();
    let waits = tokio::spawn(async move { asker.token(&key(last)).await });
    sleep(secs(1)).await;
    stage.server.gate.add_permits(1);
    sleep(secs(1)).await;
    assert_eq!(
        stage.server.order.lock().unwrap()[8],
        format!("account{last}")
    );
    stage.server.gate.add_permits(1_000);
    assert_eq!(waits.await.unwrap(), Waited::Look);
}

#[tokio::test(start_paused = true)]
async fn a_restart_on_the_same_store_asks_for_nothing() {
    let stage = Stage::new(1).ready().await;
    stage.handle.shutdown(secs(10)).await;
    let again = Stage::with(1, stage.store.clone(), |_| {}).ready().await;
    assert_eq!(header(&again.shared[0]).as_deref(), Some("Bearer token-1"));
    assert_eq!(again.server.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_processes_on_one_store_refresh_once() {
    let store: Arc<MemoryStore> = Arc::default();
    let one = Stage::with(1, store.clone(), |_| {});
    let two = Stage::with(1, store, |_| {});
    let (one, two) = (one.ready().await, two.ready().await);
    assert_eq!(one.server.begun() + two.server.begun(), 1);
    assert_eq!(header(&one.shared[0]), header(&two.shared[0]));
    sleep(secs(3_600)).await;
    assert_eq!(header(&one.shared[0]), header(&two.shared[0]));
    let begun = one.server.begun() + two.server.begun();
    assert!((2..=3).contains(&begun), "{begun}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_is_in_flight_and_no_longer_than_it_may() {
    let stage = Stage::new(1).ready().await;
    stage.server.gate.forget_permits(1_000_000);
    let handle = stage.handle.clone();
    let waits = tokio::spawn(async move { handle.refresh(&key(0)).await });
    sleep(secs(1)).await;
    let began = Instant::now();
    stage.handle.shutdown(secs(3)).await;
    assert_eq!(began.elapsed().as_secs(), 3);
    stage.server.gate.add_permits(1);
    assert_eq!(waits.await.unwrap(), ManualOutcome::Refreshed);
    stage.handle.shutdown(secs(3)).await;
    assert!(matches!(
        stage.handle.refresh(&key(0)).await,
        ManualOutcome::Failed(_)
    ));
    assert_eq!(stage.asker.token(&key(0)).await, Waited::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_file_is_tried_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let secret = SecretSource::File(file.path().to_owned());
    let accounts = vec![account(0, Some(secret))];
    let stage = Stage::of(accounts, Arc::new(MemoryStore::new()), |server| {
        let refused = Failure::new(FailureKind::Misconfigured, "check client_secret");
        *server.failure.lock().unwrap() = Some(refused);
    });
    let stage = stage.ready().await;
    sleep(secs(60)).await;
    assert_eq!(stage.server.begun(), 1, "five minutes have not passed");
    *stage.server.failure.lock().unwrap() = None;
    std::fs::write(file.path(), "another").unwrap();
    sleep(secs(16)).await;
    assert!(header(&stage.shared[0]).is_some());
    assert_eq!(stage.server.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stored_token_that_no_longer_fits_its_place_is_not_used() {
    let stage = Stage::new(1).ready().await;
    stage.handle.shutdown(secs(10)).await;
    let mut changed = account(0, None);
    Arc::make_mut(&mut changed.attach).value = Template::parse("Bearer {token}\r\n").unwrap();
    let again = Stage::of(vec![changed], stage.store.clone(), |_| {});
    sleep(secs(1)).await;
    assert!(header(&again.shared[0]).is_none());
    assert_eq!(again.server.begun(), 1);
    assert_eq!(
        again.handle.accounts()[0].state,
        AccountState::Misconfigured
    );
}
