//! What requests read that began before the account's token was attached
//! otherwise: they end as they began, with new tokens where they need one.

use super::attach;
use crate::account::AttachPlan;
use crate::token::{Announced, Granted, Publisher};
use std::sync::Arc;

/// So many are looked after at once; requests of still earlier ones keep the
/// token that they have.
const MOST: usize = 8;

/// Cells of an account as it was, each with its way to attach; nearly always none.
#[derive(Default)]
pub struct Former(Option<Box<Cells>>);

#[derive(Default)]
struct Cells(Vec<(Publisher, Arc<AttachPlan>)>);

impl Former {
    /// One more; nothing of it is needed once nobody reads it.
    pub fn add(&mut self, publisher: Publisher, plan: Arc<AttachPlan>) {
        let kept = &mut self.0.get_or_insert_default().0;
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((publisher, plan));
    }

    /// Shows the readers of each the same, in its own way.
    pub fn publish(&mut self, published: &Announced) {
        let Some(Cells(kept)) = self.0.as_deref_mut() else {
            return;
        };
        kept.retain(|(publisher, _)| publisher.is_read());
        for (publisher, plan) in kept.iter() {
            match published {
                Announced::Unavailable(why) => {
                    publisher.publish(Announced::Unavailable(why.clone()));
                }
                // One that does not fit there leaves them what they have, which
                // is not shown longer than it is good.
                Announced::Valid(granted) if attach::build(plan, &granted.token).is_ok() => {
                    publisher.publish(Announced::Valid(Granted {
                        generation: granted.generation,
                        expiry: granted.expiry,
                        void_before: granted.void_before,
                        token: granted.token.clone(),
                        way: plan.clone(),
                    }));
                }
                Announced::Valid(_) => {}
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
    use crate::refresh::tests::stage::account;
    use crate::token::{Announced, Published, Unavailable, slot};

    #[test]
    fn what_nobody_reads_is_given_up_and_there_are_never_many() {
        let mut former = Former::default();
        let plan = account(0, None).attach;
        let read: Vec<_> = (0..20).map(|_| slot()).collect();
        let (publishers, readers): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        for publisher in publishers {
            former.add(publisher, plan.clone());
        }
        let count = |former: &Former| former.0.as_ref().map_or(0, |cells| cells.0.len());
        assert_eq!(count(&former), MOST);
        let gone = Announced::Unavailable(Unavailable::NotConnected);
        former.publish(&gone);
        let shown = |reader: &crate::token::Shared| {
            matches!(
                reader.current(),
                Published::Unavailable(Unavailable::NotConnected)
            )
        };
        assert_eq!(readers.iter().filter(|reader| shown(reader)).count(), MOST);
        drop(readers);
        former.publish(&gone);
        assert_eq!(count(&former), 0);
    }
}
