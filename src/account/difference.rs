//! What has become of an account whose integration was read anew.

use super::connected::ConnectedAccount;

/// How an account differs from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    Nothing,
    /// Its tokens are used or scheduled otherwise, or people are told otherwise.
    Use,
    /// Its tokens are asked for otherwise.
    Client,
}

impl ConnectedAccount {
    /// Compares with what the same account was before.
    #[must_use]
    pub fn difference(&self, before: &Self) -> Difference {
        let (new, old) = (&self.integration, &before.integration);
        let same_use = self.attach == before.attach
            && self.parameters == before.parameters
            && (&new.key, &new.name, &new.refresh, &new.parameters)
                == (&old.key, &old.name, &old.refresh, &old.parameters);
        match self.oauth == before.oauth {
            false => Difference::Client,
            true if same_use => Difference::Nothing,
            true => Difference::Use,
        }
    }
}
