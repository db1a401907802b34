//! Client secrets that lie in files: a changed one is tried at once where the
//! old one was refused.

use super::{Event, Message, Scheduler, Stamp, fetch};

impl Scheduler {
    pub(super) fn look_at_secret(&self, at: usize) {
        let account = self.entries[at].account.clone();
        let inbox = self.setting.inbox.clone();
        if fetch::secret_file(&account).is_none() {
            return;
        }
        tokio::task::spawn_blocking(move || {
            if let Some(path) = fetch::secret_file(&account) {
                let _ = inbox.blocking_send(Message::Looked(at, fetch::stamp(path)));
            }
        });
    }

    pub(super) fn looked(&mut self, at: usize, stamp: Stamp) {
        let entry = &mut self.entries[at];
        let known = entry.stamp.replace(Box::new(stamp));
        if known.is_some() && known != entry.stamp {
            self.feed(at, Event::SecretChanged);
        }
    }
}
