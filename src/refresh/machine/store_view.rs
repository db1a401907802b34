//! What is known of the account's record in the store.

use super::Rules;
use super::rare::Rare;
use crate::base::backoff::Backoff;
use crate::base::clock::{Moment, Now, Wall};
use crate::refresh::record::Intent;
use crate::refresh::status::LastError;
use crate::store::Lease;
use std::num::NonZeroU64;
use std::time::Duration;

/// A lease outlives the longest token request by this. The kill tests leave
/// behind hundreds of leases of dead processes, each of which is waited out.
const LEASE_MARGIN: Duration = if cfg!(all(feature = "fault-points", not(test))) {
    Duration::from_millis(200)
} else {
    Duration::from_secs(15)
};

/// The record as this process last saw or wrote it.
#[derive(Debug, Default)]
pub struct StoreView {
    /// `None`: there is no record. The first one has version 1.
    version: Option<NonZeroU64>,
    /// The highest fencing number seen.
    pub fencing: u64,
    /// The fencing number of the last lease that this process took.
    own_fencing: Option<NonZeroU64>,
    /// False while the store can't be used: then nothing is written either.
    pub usable: bool,
    /// The tokens in memory are not in the record yet.
    pub dirty: bool,
    /// A person's new connection overwrites whatever is there.
    pub force: bool,
    pub pending: Rare<Pending>,
}

/// What is under way with the record, or stuck.
#[derive(Debug, PartialEq)]
pub struct Pending {
    pub intent: Option<Intent>,
    /// The intent under which the present run sends a refresh token.
    pub leased_intent: Option<Intent>,
    /// Since when a rotation's answer has been missing, as the present run began.
    pub lost_since: Option<Wall>,
    /// Writing the tokens in memory has failed, and is tried again at `save_at`.
    pub unsaved: Option<LastError>,
    pub save_at: Option<Moment>,
    pub pauses: Backoff,
    /// Conflicts in a row.
    pub conflicts: u32,
    /// The lease that this machine took before the present one.
    own_before: Option<NonZeroU64>,
    /// Another's lease, and when it was first seen: another process's, or of this
    /// one's machine that had the account before it was removed and put back, and
    /// may be sending the same refresh token still.
    foreign: Option<Box<(Lease, Now)>>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            intent: None,
            leased_intent: None,
            lost_since: None,
            unsaved: None,
            save_at: None,
            pauses: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            conflicts: 0,
            own_before: None,
            foreign: None,
        }
    }
}

impl StoreView {
    /// That of the record; `None`: there is none.
    pub fn version(&self) -> Option<u64> {
        self.version.map(NonZeroU64::get)
    }

    /// True for the number of the last lease that this process took.
    pub fn is_own(&self, fencing: u64) -> bool {
        self.own_fencing.is_some_and(|own| own.get() == fencing)
    }

    /// Takes in what a read has shown; true when the record is not the one
    /// that was last seen or written here. `is_ours`: its tokens are this client's.
    pub fn saw(
        &mut self,
        now: Now,
        version: Option<u64>,
        lease: Option<Lease>,
        is_ours: bool,
        rules: &Rules,
    ) -> bool {
        let changed = self.version() != version;
        self.usable = true;
        self.version = version.and_then(NonZeroU64::new);
        if let Some(lease) = &lease {
            self.fencing = self.fencing.max(lease.fencing);
        }
        let is_foreign = |lease: &Lease| match *lease.owner == *rules.owner {
            true => is_ours && !self.is_own(lease.fencing),
            false => true,
        };
        let foreign = lease.filter(|l| is_foreign(l) && now.wall < l.deadline);
        self.pending.foreign = foreign.map(|lease| match self.pending.foreign.take() {
            Some(known) if known.0 == lease => known,
            _ => Box::new((lease, now)),
        });
        changed
    }

    /// True while another process may be refreshing: until its lease's deadline,
    /// and for no longer than `patience`, for clocks of two hosts may differ.
    pub fn is_leased_away(&self, now: Now, patience: Duration) -> bool {
        self.pending.foreign.as_ref().is_some_and(|foreign| {
            let (lease, seen) = &**foreign;
            now.wall < lease.deadline && !now.reached(seen.after(patience))
        })
    }

    /// A lease for this process, beginning now.
    pub fn take_lease(&mut self, now: Now, rules: &Rules) -> Lease {
        self.fencing += 1;
        self.pending.own_before = self.own_fencing;
        self.own_fencing = NonZeroU64::new(self.fencing);
        Lease {
            owner: (*rules.owner).to_owned(),
            fencing: self.fencing,
            deadline: now.wall.plus(length(rules)),
        }
    }

    /// Somebody else wrote the record first: the lease was not taken, and its
    /// number may be theirs.
    pub fn lease_missed(&mut self) {
        self.own_fencing = self.pending.own_before;
    }

    /// A lease that is over, so that its number is remembered.
    pub fn released(&self, rules: &Rules) -> Lease {
        Lease {
            owner: (*rules.owner).to_owned(),
            fencing: self.fencing,
            deadline: Wall::default(),
        }
    }

    /// Gives back the room for what is not pending any more.
    pub fn tidy(&mut self) {
        self.pending.tidy();
    }

    /// The record was written.
    pub fn written(&mut self, version: u64) {
        self.version = NonZeroU64::new(version);
        self.pending.own_before = None;
        self.give_up_ours();
        self.force = false;
    }

    /// Nothing in memory waits to be written any more.
    pub fn give_up_ours(&mut self) {
        self.dirty = false;
        self.pending.unsaved = None;
        self.pending.save_at = None;
        self.pending.conflicts = 0;
        self.pending.pauses.reset();
    }
}

/// How long a lease is given for.
pub fn length(rules: &Rules) -> Duration {
    rules.timeout.saturating_add(LEASE_MARGIN)
}
