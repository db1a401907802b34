use super::stage::{Stage, key};
use crate::refresh::{AccountState, ManualOutcome};

#[tokio::test(start_paused = true)]
async fn of_many_accounts_the_one_that_is_asked_for_goes_before_its_turn() {
    let stage = Stage::new(400);
    let outcome = stage.handle.refresh(&key(399)).await;
    assert_eq!(outcome, ManualOutcome::Refreshed);
    let fetched = stage.server.begun();
    assert!(fetched < 100, "{fetched} were fetched before it");
    let stage = stage.ready().await;
    assert_eq!(stage.server.begun(), 400, "each once");
    let accounts = stage.handle.accounts();
    assert!(accounts.iter().all(|a| a.state == AccountState::Connected));
}
