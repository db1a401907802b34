//! Accounts that a configuration that was read anew describes otherwise.

use super::stage::{Stage, account, key};
use crate::account::{ConnectedAccount, SecretSource};
use crate::base::secret::Secret;
use crate::config::checked::ParameterSpec;
use crate::oauth::{Failure, FailureKind};
use crate::refresh::{Counts, Reload, Wanted};
use crate::store::memory::MemoryStore;
use crate::token::{Published, RejectedStatus, Shared, TokenPlace, Verdict};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

fn wanted(accounts: Vec<ConnectedAccount>) -> Vec<Wanted> {
    let wanted = accounts.into_iter().map(|account| Wanted {
        account: Arc::new(account),
        created: false,
    });
    wanted.collect()
}

fn generation(shared: &Shared) -> Option<u64> {
    match &shared.current() {
        Published::Valid(credential) => Some(credential.generation),
        Published::Unavailable(_) => None,
    }
}

impl Stage {
    async fn reload(&self, accounts: Vec<ConnectedAccount>) -> Counts {
        let plan = Reload::plan(&self.handle.by_key(), wanted(accounts), &|_| false);
        let counts = plan.counts();
        self.handle.reload(plan).await;
        counts
    }

    fn shared_of(&self, number: usize) -> Shared {
        self.handle.by_key()[&key(number)].shared.clone()
    }

    async fn settled(&self) {
        while !self.handle.first_attempts_ended() {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The header that is written now, and its value.
fn written(shared: &Shared) -> Option<(String, String)> {
    match &shared.current() {
        Published::Unavailable(_) => None,
        Published::Valid(credential) => match &credential.attach.token {
            TokenPlace::Header { name, value } => {
                Some((name.to_string(), value.to_str().unwrap().to_owned()))
            }
            TokenPlace::Query(_) => panic!("a header was wanted"),
        },
    }
}

fn written_in(header: &str, token: &str) -> Option<(String, String)> {
    Some((header.to_owned(), format!("Bearer {token}")))
}

fn attached(header: &str) -> ConnectedAccount {
    let mut account = account(0, None);
    Arc::make_mut(&mut account.attach).name = header.to_owned();
    account
}

fn counts(added: usize, changed: usize, removed: usize) -> Counts {
    Counts {
        added,
        removed,
        changed,
    }
}

fn with_secret(number: usize, secret: &str) -> ConnectedAccount {
    account(number, Some(SecretSource::Text(Secret::new(secret.into()))))
}

fn of_client(number: usize, client: &str) -> ConnectedAccount {
    let mut account = account(number, None);
    account.oauth.client_id = client.to_owned();
    account
}

#[tokio::test(start_paused = true)]
async fn what_is_as_it_was_asks_for_nothing() {
    let stage = Stage::new(3).ready().await;
    let same = (0..3).map(|number| account(number, None)).collect();
    assert_eq!(stage.reload(same).await, Counts::default());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.server.begun(), 3);
}

#[tokio::test(start_paused = true)]
async fn accounts_come_and_go_in_the_order_of_the_configuration() {
    let stage = Stage::new(2).ready().await;
    let next = vec![account(5, None), account(1, None)];
    assert_eq!(stage.reload(next).await, counts(1, 0, 1));
    stage.settled().await;
    let keys: Vec<_> = stage.handle.accounts().into_iter().map(|a| a.key).collect();
    assert_eq!(keys, [key(5), key(1)]);
    assert_eq!(stage.server.begun(), 3);
    sleep(Duration::from_hours(3)).await;
    let asked = stage.server.order.lock().unwrap().clone();
    let of_the_gone = asked.iter().filter(|a| **a == key(0).to_string()).count();
    assert_eq!(of_the_gone, 1, "nobody refreshes what is gone: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn another_secret_brings_a_token_and_the_old_one_serves_until_then() {
    let accounts = vec![with_secret(0, "old")];
    let stage = Stage::of(accounts, Arc::new(MemoryStore::new()), |_| {});
    let stage = stage.ready().await;
    let shared = stage.handle.by_key()[&key(0)].shared.clone();
    assert_eq!(generation(&shared), Some(1));
    assert_eq!(
        stage.reload(vec![with_secret(0, "new")]).await,
        counts(0, 1, 0)
    );
    assert_eq!(generation(&shared), Some(1));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(generation(&shared), Some(2));
    assert_eq!(stage.server.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_changes_while_a_token_is_asked_for_is_asked_with_too() {
    let accounts = vec![with_secret(0, "old")];
    let stage = Stage::of(accounts, Arc::new(MemoryStore::new()), |_| {});
    while stage.server.begun() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    stage.reload(vec![with_secret(0, "new")]).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.server.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_client_gets_a_cell_of_its_own_and_counts_on() {
    let stage = Stage::new(1).ready().await;
    let old = stage.handle.by_key()[&key(0)].shared.clone();
    assert_eq!(
        stage.reload(vec![of_client(0, "other")]).await,
        counts(0, 1, 0)
    );
    stage.settled().await;
    let new = stage.handle.by_key()[&key(0)].shared.clone();
    assert_eq!(
        generation(&old),
        Some(1),
        "requests under way keep what they had"
    );
    assert_eq!(generation(&new), Some(2));
}

#[tokio::test(start_paused = true)]
async fn another_way_to_attach_is_published_with_the_same_token() {
    let stage = Stage::new(1).ready().await;
    assert_eq!(
        stage.reload(vec![attached("x-token")]).await,
        counts(0, 1, 0)
    );
    assert_eq!(
        written(&stage.shared_of(0)),
        written_in("x-token", "token-1")
    );
    assert_eq!(stage.server.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_go_on_as_the_token_was_attached_when_they_began() {
    let stage = Stage::new(1).ready().await;
    let first = stage.shared_of(0);
    stage.reload(vec![attached("x-one")]).await;
    let second = stage.shared_of(0);
    stage.reload(vec![attached("x-two")]).await;
    let third = stage.shared_of(0);
    let all = [
        (&first, "authorization"),
        (&second, "x-one"),
        (&third, "x-two"),
    ];
    for (cell, name) in all {
        assert_eq!(written(cell), written_in(name, "token-1"));
    }
    let status = RejectedStatus::Unauthorized;
    let verdict = stage.asker.rejected(&key(0), 1, status).await;
    assert_eq!(verdict, Verdict::Replay);
    for (cell, name) in all {
        assert_eq!(written(cell), written_in(name, "token-2"));
    }
    *stage.server.failure.lock().unwrap() = Some(Failure::new(FailureKind::Transient, "down"));
    sleep(Duration::from_hours(2)).await;
    for (cell, _) in all {
        assert_eq!(written(cell), None, "a dead token is shown to nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn other_limits_of_a_parameter_are_seen_by_whoever_looks_at_the_account() {
    let limited = || {
        let mut account = account(0, None);
        let integration = Arc::get_mut(&mut account.integration).unwrap();
        integration.parameters = vec![ParameterSpec {
            name: "tenant".to_owned(),
            title: None,
            pattern: Some("[a-z]+".to_owned()),
            choices: None,
            default: None,
            secret: false,
        }];
        account
    };
    let stage = Stage::new(1).ready().await;
    assert_eq!(stage.reload(vec![limited()]).await, counts(0, 1, 0));
    let seen = stage.handle.connected_account(&key(0)).unwrap();
    assert_eq!(
        seen.integration.parameters[0].pattern.as_deref(),
        Some("[a-z]+")
    );
    assert_eq!(stage.reload(vec![limited()]).await, Counts::default());
    assert_eq!(stage.server.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_time_before_expiry_counts_for_the_token_that_is_held() {
    let before = |minutes| {
        let mut account = account(0, None);
        let integration = Arc::get_mut(&mut account.integration).unwrap();
        integration.refresh.before_expiry = Duration::from_mins(minutes);
        account
    };
    let stage = Stage::of(vec![before(5)], Arc::new(MemoryStore::new()), |_| {});
    let stage = stage.ready().await;
    assert_eq!(stage.reload(vec![before(30)]).await, counts(0, 1, 0));
    assert_eq!(stage.server.begun(), 1);
    sleep(Duration::from_mins(31)).await;
    assert_eq!(stage.server.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changes_hold_no_more_than_one() {
    let stage = Stage::new(1).ready().await;
    for number in 0..1_000 {
        stage.reload(vec![of_client(0, &number.to_string())]).await;
        stage.settled().await;
    }
    assert_eq!(stage.server.begun(), 1_001);
    assert_eq!(stage.handle.accounts().len(), 1);
}

/// The order is that of a reload which a person gets in the way of.
#[tokio::test]
async fn an_account_made_anew_amid_a_reload_is_not_taken_for_the_one_before_it() {
    let stage = Stage::new(1).ready().await;
    let turn = stage.handle.turn().await;
    stage.handle.create(account(7, None), turn).await.unwrap();
    let turn = stage.handle.turn().await;
    let before = stage.handle.by_key();
    let handle = stage.handle.clone();
    let person = tokio::spawn(async move {
        handle.remove(&key(7)).await.unwrap();
        let turn = handle.turn().await;
        handle.create(of_client(7, "second"), turn).await.unwrap();
    });
    // It waits; if it did not, it is to come between.
    for _ in 0..20 {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(stage.handle.is_created(&key(7)));
    let mut first = account(7, None);
    Arc::make_mut(&mut first.attach).name = "x-other".to_owned();
    let mut wanted = wanted(vec![account(0, None), first]);
    wanted[1].created = true;
    let plan = Reload::plan(&before, wanted, &|_| false);
    stage.handle.reload(plan).await;
    drop(turn);
    person.await.unwrap();
    let seen = stage.handle.connected_account(&key(7)).unwrap();
    assert_eq!(seen.oauth.client_id, "second");
    assert_eq!(seen.attach.name, "authorization");
}

#[tokio::test]
async fn what_has_come_into_the_configuration_meanwhile_is_not_removed() {
    let stage = Stage::new(1).ready().await;
    stage.handle.remove(&key(0)).await.unwrap();
    assert!(stage.handle.connected_account(&key(0)).is_some());
}
