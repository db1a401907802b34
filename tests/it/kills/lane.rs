//! An account whose sidekey is killed over and over.

use super::issuers::Issuer;
use super::tally::Tallies;
use crate::support::conf::{CLIENT_ID, Conf};
use crate::support::rotation::{KEY, connect_to, stored_refresh_token};
use crate::support::sidekey::Launch;
use crate::support::{Answer, Server, Sidekey, eventually, eventually_some};
use std::path::PathBuf;
use std::time::Duration;

/// The latest moment, after the rotation's beginning, of a kill at random.
const RANDOM: Duration = Duration::from_millis(25);

/// Every process of a lane first completes one rotation, which shows what the
/// kill before it has lost; in its second it is killed.
pub struct Lane {
    server: Box<dyn Issuer>,
    upstream: Server,
    folder: tempfile::TempDir,
    tallies: Tallies,
    /// Where the last kill hit.
    last: Option<String>,
}

impl Lane {
    pub fn new(server: impl Issuer + 'static) -> Self {
        let mut lane = Self {
            server: Box::new(server),
            upstream: Server::start(|_| Answer::ok("content")),
            folder: tempfile::tempdir().unwrap(),
            tallies: Tallies::new(),
            last: None,
        };
        lane.reconnect();
        lane
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("sidekey.db")
    }

    fn reconnect(&mut self) {
        let token = self.server.consent();
        let (client, _) = self.server.client();
        connect_to(&self.store(), &self.server.token_endpoint(), client, &token);
    }

    fn launch(&self, fault_point: &str) -> Sidekey {
        Sidekey::launch(&Launch {
            yaml: self.yaml(),
            environment: vec![("SIDEKEY_FAULT_POINT".into(), fault_point.into())],
            own_build: true,
            ..Launch::default()
        })
    }

    fn yaml(&self) -> String {
        let store = format!("{{path: \"{}\", key: \"{KEY}\"}}", self.store().display());
        let upstream = format!("{}/", self.upstream.url());
        let mut conf = Conf::at(&self.server.token_endpoint(), &upstream)
            .oauth2("authorization_endpoint: http://127.0.0.1:9/authorize")
            .top(&format!("refresh: {{timeout: {}s}}", self.server.timeout()))
            .store(&store);
        if self.server.allows_reuse() {
            conf = conf.integration("refresh: {reuse_grace: 1h}");
        }
        let (client, secret) = self.server.client();
        let yaml = conf
            .yaml()
            .replace("client_credentials", "authorization_code")
            .replace(CLIENT_ID, client);
        match secret {
            Some(secret) => yaml.replace("{env: TEST_CLIENT_SECRET}", &format!("\"{secret}\"")),
            None => yaml,
        }
    }

    /// Waits until the first rotation is durable: a process in which the account
    /// is alive. Losses that show themselves are counted for the last kill.
    fn alive(&mut self, fault_point: &str) -> Sidekey {
        loop {
            let rotations = self.rotations();
            let sidekey = self.launch(fault_point);
            let lost = eventually_some("the first rotation", || {
                let logs = sidekey.logs();
                let lost = logs.contains("connect this account again");
                let written = logs.contains("passing after_write:1");
                // A refusal is written, too.
                let well = written && self.rotations() > rotations;
                (well || lost).then_some(lost)
            });
            if !lost {
                self.last = None;
                return sidekey;
            }
            let reported = sidekey.logs().contains("rotation_answer_lost");
            drop(sidekey);
            self.count_loss(reported);
            self.reconnect();
        }
    }

    /// The grant has ended: what does the server say?
    fn count_loss(&mut self, reported: bool) {
        let unreceived = self.unreceived(true);
        assert_eq!(usize::from(reported), unreceived, "of this grant");
        let last = self.last.take().expect("a loss without a kill");
        let tally = self.tallies.entry(last).or_default();
        tally.lost += 1;
        tally.reported += usize::from(reported);
        tally.unreceived += unreceived;
    }

    /// Rotations of the present grant that no client knows of.
    fn unreceived(&self, lost: bool) -> usize {
        let books = self.server.books();
        assert_eq!(books.revoked, lost, "the grant's end at the server");
        books.unreceived(&stored_refresh_token(&self.store()))
    }

    fn kill(&mut self, mut sidekey: Sidekey, point: &str) {
        sidekey.signal("KILL");
        sidekey.ended();
        self.killed(point);
    }

    fn killed(&mut self, point: &str) {
        self.tallies.entry(point.to_owned()).or_default().kills += 1;
        self.last = Some(point.to_owned());
    }

    /// Kills at a named point.
    pub fn kill_at(&mut self, point: &str) {
        if point == "request_written" {
            let sidekey = self.alive("none");
            self.server.withhold();
            eventually("the request", || self.server.withholds());
            self.kill(sidekey, point);
            self.server.let_go();
        } else {
            let sidekey = self.alive(&format!("{point}:2"));
            let held = format!("held at {point}:2");
            eventually(&held, || sidekey.logs().contains(&held));
            self.kill(sidekey, point);
            self.server.come_to_rest();
        }
    }

    /// Kills within a moment of the second rotation's beginning; a third one
    /// does not begin, however late the kill is.
    pub fn kill_at_random(&mut self) {
        let mut sidekey = self.alive("before_intent:3");
        let rotations = self.rotations();
        eventually("the second rotation", || {
            sidekey.logs().contains("passing before_intent:2")
        });
        let latest = u64::try_from(RANDOM.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..latest)));
        sidekey.signal("KILL");
        sidekey.ended();
        self.server.come_to_rest();
        let phase = phase(&sidekey.logs(), self.rotations() > rotations);
        self.killed(phase);
    }

    fn rotations(&self) -> usize {
        self.server.books().rotations.len()
    }

    /// The last kill, too, is looked at.
    pub fn finish(mut self) -> Tallies {
        // It begins no second rotation, in which its own end would hit.
        drop(self.alive("before_intent:2"));
        let unreceived = self.unreceived(false);
        if !self.server.allows_reuse() {
            assert_eq!(unreceived, 0, "nothing of this grant was lost");
        }
        self.tallies
    }
}

/// How far the second rotation had come.
fn phase(logs: &str, rotated: bool) -> &'static str {
    let passed = |point: &str| logs.contains(&format!("passing {point}:2"));
    match () {
        () if passed("after_publish") => "after_publish",
        () if passed("after_write") => "after_write",
        // The write may or may not have become durable.
        () if passed("before_write") => "writing the answer",
        () if passed("answer_received") => "answer_received",
        () if rotated => "request_written",
        // It may be on its way: the server tells later.
        () if passed("after_intent") => "sending the request",
        () => "before_intent",
    }
}
