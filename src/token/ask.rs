//! What workers ask of the cold wing.

use crate::base::id::AccountKey;
use tokio::sync::{mpsc, oneshot};

/// How many asks may be on their way at once; past that a request is answered
/// as if the cold wing had refused.
const QUEUE: usize = 16_384;

/// A message from a worker to the cold wing.
pub enum Ask {
    /// There is no valid token: tell me when there is one, or that there won't be.
    Token {
        account: AccountKey,
        reply: oneshot::Sender<Waited>,
    },
    /// An upstream rejected the token of this generation.
    Rejected {
        account: AccountKey,
        generation: u64,
        status: RejectedStatus,
        reply: oneshot::Sender<Verdict>,
    },
    /// A replay came back: was the rejection cured, or was it rejected again?
    ReplayEnded {
        account: AccountKey,
        /// The generation that the replay used.
        generation: u64,
        /// The status that had led to the replay.
        status: RejectedStatus,
        cured: bool,
    },
}

/// The status of a rejection; each has its own budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectedStatus {
    /// 401, or a 403 whose challenge says `invalid_token` (RFC 6750, 3.1).
    Unauthorized,
    /// 403, or another status that the integration lists in `retry_on`.
    Forbidden,
}

/// The answer to [`Ask::Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The refresh ended; look at the reader again.
    Look,
    /// Too many are waiting for this account, or it is unknown.
    Refused,
}

/// The answer to [`Ask::Rejected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A newer credential is published: send the request once more.
    Replay,
    /// Pass the upstream's own answer on.
    PassOn(PassOn),
}

/// Why a rejection is passed on without a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOn {
    /// A replay was rejected a short while ago; the budget allows no refresh yet.
    Budget,
    /// The refresh failed.
    RefreshFailed,
    /// The refresh brought the very token that was rejected.
    SameToken,
    /// Too many are waiting, or the account can't be refreshed.
    Refused,
}

/// The workers' half.
#[derive(Clone)]
pub struct Asker(mpsc::Sender<Ask>);

/// The cold wing's half.
pub type AskReceiver = mpsc::Receiver<Ask>;

/// Makes the channel between the wings.
#[must_use]
pub fn channel() -> (Asker, AskReceiver) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Asker(sender), receiver)
}

impl Asker {
    /// Waits until the refresh that would bring a token has ended. Dropping the
    /// future cancels nothing but the waiting.
    pub async fn token(&self, account: &AccountKey) -> Waited {
        let (reply, answer) = oneshot::channel();
        let account = account.clone();
        match self.0.try_send(Ask::Token { account, reply }) {
            Ok(()) => answer.await.unwrap_or(Waited::Refused),
            Err(_) => Waited::Refused,
        }
    }

    /// Reports a rejection and waits for the verdict.
    pub async fn rejected(
        &self,
        account: &AccountKey,
        generation: u64,
        status: RejectedStatus,
    ) -> Verdict {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Rejected {
            account: account.clone(),
            generation,
            status,
            reply,
        };
        match self.0.try_send(ask) {
            Ok(()) => answer.await.unwrap_or(Verdict::PassOn(PassOn::Refused)),
            Err(_) => Verdict::PassOn(PassOn::Refused),
        }
    }

    /// Reports a rejection for a request that can't be replayed; the token is
    /// refreshed all the same, and nobody waits for it.
    pub fn rejected_unheard(&self, account: &AccountKey, generation: u64, status: RejectedStatus) {
        let (reply, _) = oneshot::channel();
        let _ = self.0.try_send(Ask::Rejected {
            account: account.clone(),
            generation,
            status,
            reply,
        });
    }

    /// Reports how a replay ended. A full queue loses the report, which errs on
    /// the side of the older budget.
    pub fn replay_ended(
        &self,
        account: &AccountKey,
        generation: u64,
        status: RejectedStatus,
        cured: bool,
    ) {
        let account = account.clone();
        let _ = self.0.try_send(Ask::ReplayEnded {
            account,
            generation,
            status,
            cured,
        });
    }
}
