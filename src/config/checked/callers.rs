//! Who may call a route, and who speaks for them.

use crate::base::caller_keys::KeyDigest;
use crate::base::issuer::TrustedIssuer;
use http::HeaderName;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

/// Everybody who may call; nobody else may.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Names by the digests of the keys that prove them.
    keys: HashMap<KeyDigest, Arc<str>>,
    /// Names by those in certificates.
    certificates: HashMap<String, Arc<str>>,
    any_certificate: Option<AnyCertificate>,
    /// Names by the users of processes, and by their groups.
    uids: HashMap<u32, Arc<str>>,
    gids: HashMap<u32, Arc<str>>,
    jwts: Vec<ByJwt>,
}

/// Whoever sends such a JWT may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByJwt {
    pub issuer: Arc<TrustedIssuer>,
    /// One of these must be its audience.
    pub audiences: Vec<String>,
    /// Each must have one of these values.
    pub claims: Vec<(String, Vec<String>)>,
    pub name: NameOf,
    /// The field that it is sent in.
    pub header: HeaderName,
}

/// What a caller with a JWT is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameOf {
    Given(Arc<str>),
    Claim(String),
}

/// Whoever shows a certificate that was verified may call.
#[derive(Clone, PartialEq, Eq)]
struct AnyCertificate {
    /// `None`: each by the first name in its certificate.
    name: Option<Arc<str>>,
}

impl Allowed {
    /// Lets in whoever has this key, under this name.
    pub fn add_key(&mut self, digest: KeyDigest, name: &str) {
        self.keys.insert(digest, Arc::from(name));
    }

    /// Lets in whoever's certificate has this name; `*`: whoever has one. Under
    /// `name`, or else under the certificate's.
    pub fn add_certificate(&mut self, certificate: &str, name: Option<&str>) {
        if certificate == "*" {
            let name = name.map(Arc::from);
            self.any_certificate = Some(AnyCertificate { name });
        } else {
            let name = Arc::from(name.unwrap_or(certificate));
            self.certificates.insert(certificate.to_owned(), name);
        }
    }

    /// Lets in processes of this user, under `name` or else as `uid=1000`.
    pub fn add_uid(&mut self, uid: u32, name: Option<&str>) {
        let name = name.map_or_else(|| format!("uid={uid}").into(), Arc::from);
        self.uids.insert(uid, name);
    }

    /// Lets in processes of this group, under `name` or else as `gid=1000`.
    pub fn add_gid(&mut self, gid: u32, name: Option<&str>) {
        let name = name.map_or_else(|| format!("gid={gid}").into(), Arc::from);
        self.gids.insert(gid, name);
    }

    /// Lets in whoever sends such a JWT.
    pub fn add_jwt(&mut self, jwt: ByJwt) {
        self.jwts.push(jwt);
    }

    /// The JWTs that let callers in, in the order of the configuration.
    #[must_use]
    pub fn jwts(&self) -> &[ByJwt] {
        &self.jwts
    }

    /// True where a caller's name may be one that nobody has written down.
    #[must_use]
    pub fn may_be_anybody(&self) -> bool {
        let of_claim = |jwt: &ByJwt| matches!(jwt.name, NameOf::Claim(_));
        self.jwts.iter().any(of_claim)
    }

    /// Who shows a certificate with these names, which was verified.
    #[must_use]
    pub fn by_certificate(&self, names: &[Box<str>]) -> Option<Arc<str>> {
        let known = names.iter().find_map(|name| self.certificates.get(&**name));
        if let Some(known) = known {
            return Some(known.clone());
        }
        let first = names.first()?;
        let any = self.any_certificate.as_ref()?;
        Some(any.name.clone().unwrap_or_else(|| Arc::from(&**first)))
    }

    /// Who a process of this user and group is; the user is the nearer one.
    #[must_use]
    pub fn by_process(&self, uid: u32, gid: u32) -> Option<&Arc<str>> {
        self.uids.get(&uid).or_else(|| self.gids.get(&gid))
    }

    /// False where nothing but a key lets anybody in.
    #[must_use]
    pub fn knows_connections(&self) -> bool {
        self.any_certificate.is_some()
            || !(self.certificates.is_empty() && self.uids.is_empty() && self.gids.is_empty())
    }

    /// Who has the key of this digest. Digests of keys that nobody can guess
    /// need no comparison in constant time.
    #[must_use]
    pub fn by_key(&self, digest: &KeyDigest) -> Option<&Arc<str>> {
        self.keys.get(digest)
    }

    /// Each name once, in order.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Arc<str>> {
        let any = self.any_certificate.iter();
        let any = any.filter_map(|any| any.name.as_ref());
        let keys = self.keys.values().chain(self.certificates.values());
        let processes = self.uids.values().chain(self.gids.values());
        let jwts = self.jwts.iter().filter_map(|jwt| match &jwt.name {
            NameOf::Given(name) => Some(name),
            NameOf::Claim(_) => None,
        });
        let all = keys.chain(processes).chain(any).chain(jwts);
        all.cloned().collect()
    }
}

/// Names alone.
impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Allowed").field(&self.names()).finish()
    }
}

/// Whose account speaks for a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Speaks {
    /// The route's, for everybody.
    #[default]
    One,
    /// The caller's own: this route takes requests, those of [`Speaks::For`] serve them.
    TheCallers,
    /// For requests of this caller that the route of this name has taken.
    For { caller: Arc<str>, route: Arc<str> },
}
