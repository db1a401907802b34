//! What requests read that began before the account's token was attached
//! otherwise: they end as they began, with new tokens where they need one.

use super::attach;
use crate::account::AttachPlan;
use crate::base::secret::Secret;
use crate::token::{Credential, Published, Publisher};
use std::sync::Arc;

/// So many are looked after at once; requests of still earlier ones keep the
/// token that they have.
const MOST: usize = 8;

/// Cells of an account as it was, each with its way to attach; nearly always none.
#[derive(Default)]
pub struct Former(Option<Box<Vec<(Publisher, Arc<AttachPlan>)>>>);

impl Former {
    /// One more; nothing of it is needed once nobody reads it.
    pub fn add(&mut self, publisher: Publisher, plan: Arc<AttachPlan>) {
        let kept = self.0.get_or_insert_default();
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((publisher, plan));
    }

    /// Shows the readers of each the same, in its own way; `token` is what
    /// `published` was made of.
    pub fn publish(&mut self, published: &Published, token: Option<&Secret>) {
        let Some(kept) = &mut self.0 else {
            return;
        };
        kept.retain(|(publisher, _)| publisher.is_read());
        for (publisher, plan) in kept.iter() {
            match (published, token) {
                (Published::Unavailable(why), _) => {
                    publisher.publish(Published::Unavailable(why.clone()));
                }
                (Published::Valid(credential), Some(token)) => {
                    // One that does not fit there leaves them what they have,
                    // which is not shown longer than it is good.
                    if let Ok(attach) = attach::build(plan, token) {
                        publisher.publish(Published::Valid(Arc::new(Credential {
                            generation: credential.generation,
                            expiry: credential.expiry,
                            void_before: credential.void_before,
                            token: token.clone(),
                            attach,
                        })));
                    }
                }
                (Published::Valid(_), None) => {}
            }
        }
        if kept.is_empty() {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Former, MOST};
    use crate::base::secret::Secret;
    use crate::refresh::tests::stage::account;
    use crate::token::{Published, Unavailable, slot};

    #[test]
    fn what_nobody_reads_is_given_up_and_there_are_never_many() {
        let mut former = Former::default();
        let plan = account(0, None).attach;
        let read: Vec<_> = (0..20).map(|_| slot()).collect();
        let (publishers, readers): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        for publisher in publishers {
            former.add(publisher, plan.clone());
        }
        let count = |former: &Former| former.0.as_ref().map_or(0, |kept| kept.len());
        assert_eq!(count(&former), MOST);
        let gone = Published::Unavailable(Unavailable::NotConnected);
        former.publish(&gone, Some(&Secret::new("t".to_owned())));
        let shown = |reader: &crate::token::Shared| {
            matches!(
                &*reader.current(),
                Published::Unavailable(Unavailable::NotConnected)
            )
        };
        assert_eq!(readers.iter().filter(|reader| shown(reader)).count(), MOST);
        drop(readers);
        former.publish(&gone, None);
        assert_eq!(count(&former), 0);
    }
}
