//! The authorization servers that rotations are killed against: one in the test's
//! own process, with or without a grace for reuse, and npm's oidc-provider.

use crate::support::conf::CLIENT_ID;
use crate::support::gate::Gate;
use crate::support::real::Oidc;
use crate::support::rotation::Rotating;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any test.
const GRACE: Duration = Duration::from_secs(3_600);

/// An authorization server as one lane sees it, which has one grant at a time.
pub trait Issuer: Send {
    fn token_endpoint(&self) -> String;
    /// The client's name, and its secret where it is not the one of all tests.
    fn client(&self) -> (&'static str, Option<String>);
    /// True where an old refresh token is taken again.
    fn allows_reuse(&self) -> bool;
    /// Seconds that its answer is waited for.
    fn timeout(&self) -> u8;
    /// A person consents: the refresh token of a new grant.
    fn consent(&mut self) -> String;
    /// From now on no answer to a rotation comes.
    fn withhold(&mut self);
    /// True once the server has rotated and withholds the answer.
    fn withholds(&self) -> bool;
    /// The end of it, when whoever asked is dead.
    fn let_go(&mut self);
    /// What those have sent who are dead is dealt with: else the next process may
    /// overtake them.
    fn come_to_rest(&self);
    /// What has become of the newest grant.
    fn books(&self) -> Books;
}

/// A grant in the server's own books.
pub struct Books {
    /// The refresh token that each rotation gave, and whether it came back.
    pub rotations: Vec<(String, bool)>,
    /// It ended because an old refresh token came again.
    pub revoked: bool,
}

impl Books {
    /// Rotations whose answer no client has: the new refresh token never came
    /// back, nor does it lie in the store.
    pub fn unreceived(&self, stored: &str) -> usize {
        let rotations = self.rotations.iter();
        let lost = rotations.filter(|(token, came_back)| !came_back && token != stored);
        lost.count()
    }
}

/// A server for this lane alone.
pub struct Own {
    server: Rotating,
    allows_reuse: bool,
    gate: Option<Gate>,
}

impl Own {
    pub fn start(allows_reuse: bool) -> Self {
        let server = Rotating::start(allows_reuse.then_some(GRACE));
        // The next rotation comes after a second; the token lives until it is stored.
        server.life(2);
        Self {
            server,
            allows_reuse,
            gate: None,
        }
    }
}

impl Issuer for Own {
    fn token_endpoint(&self) -> String {
        self.server.endpoint()
    }

    fn client(&self) -> (&'static str, Option<String>) {
        (CLIENT_ID, None)
    }

    fn allows_reuse(&self) -> bool {
        self.allows_reuse
    }

    fn timeout(&self) -> u8 {
        30
    }

    fn consent(&mut self) -> String {
        self.server.consent()
    }

    fn withhold(&mut self) {
        self.gate = Some(self.server.hold());
    }

    fn withholds(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.came() > 0)
    }

    fn let_go(&mut self) {
        self.server.let_go();
    }

    fn come_to_rest(&self) {
        self.server.server.come_to_rest();
    }

    fn books(&self) -> Books {
        let (rotations, revoked) = self.server.newest_grant();
        Books { rotations, revoked }
    }
}

/// One grant after the other at an oidc-provider that other lanes use as well.
/// It ends a grant as soon as an old refresh token comes.
pub struct Shared {
    oidc: Arc<Oidc>,
    grant: String,
}

impl Shared {
    pub fn of(oidc: &Arc<Oidc>) -> Self {
        Self {
            oidc: oidc.clone(),
            grant: String::new(),
        }
    }
}

impl Issuer for Shared {
    fn token_endpoint(&self) -> String {
        self.oidc.token_endpoint()
    }

    fn client(&self) -> (&'static str, Option<String>) {
        ("rotating", Some(Oidc::secret("rotating")))
    }

    fn allows_reuse(&self) -> bool {
        false
    }

    /// Many lanes share it.
    fn timeout(&self) -> u8 {
        30
    }

    fn consent(&mut self) -> String {
        let (grant, token) = self.oidc.seed();
        self.grant = grant;
        token
    }

    fn withhold(&mut self) {
        self.oidc.withhold(&self.grant);
    }

    fn withholds(&self) -> bool {
        self.oidc.rotations(&self.grant)["withholds"] == true
    }

    /// The provider does so itself when the connection is closed.
    fn let_go(&mut self) {}

    /// It answers one after the other.
    fn come_to_rest(&self) {
        self.oidc.rotations(&self.grant);
    }

    fn books(&self) -> Books {
        let books = self.oidc.rotations(&self.grant);
        let log = books["rotations"].as_array().unwrap();
        let tokens = |which: &'static str| log.iter().map(move |r| r[which].as_str().unwrap());
        let came_back: HashSet<&str> = tokens("consumed").collect();
        let issued = tokens("issued").map(|t| (t.to_owned(), came_back.contains(t)));
        Books {
            rotations: issued.collect(),
            revoked: books["revoked"] == true,
        }
    }
}
