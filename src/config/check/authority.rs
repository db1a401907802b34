//! `connect.authority` of a listener: who signs for the hosts that are
//! intercepted. The files are read here, so that what can't work is a mistake
//! with a place.

use super::tls::{Named, chain, file, private};
use crate::base::authority::{Authority, AuthorityMistake};
use crate::config::checked::HostMatch;
use crate::config::checked::connect::Target;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar};
use std::sync::Arc;
use std::time::SystemTime;

const CERTIFICATE: &str = "the certificate of an authority; `sidekey ca init` makes one";
const KEY: &str = "the private key of the first certificate in `certificate`";

/// What is written under `authority`; `None` where nothing is, or a mistake.
pub(super) fn read(connect: &Reader<'_, '_>) -> Option<Arc<Authority>> {
    connect.node("authority")?;
    let reader = connect.section("authority")?;
    let ctx = reader.ctx;
    let certificate = file(&reader, "certificate");
    let key = file(&reader, "key");
    // All of them before the first `?`: a mistake in one must not hide another's.
    let chain = certificate.as_ref().and_then(|file| chain(ctx, file));
    let private = key.as_ref().and_then(|file| private(ctx, file));
    let (certificate, key) = (certificate?, key?);
    match Authority::new(&chain?, &private?) {
        Ok(authority) => {
            warn(ctx, &certificate, &authority);
            return Some(Arc::new(authority));
        }
        Err(AuthorityMistake::Certificate(what)) => certificate.mistake(ctx, &what, CERTIFICATE),
        Err(AuthorityMistake::Key(what)) => key.mistake(ctx, &what, KEY),
    }
    None
}

fn warn(ctx: &Context<'_>, file: &Named, authority: &Authority) {
    if !authority.is_valid(SystemTime::now()) {
        let what = "the authority's certificate is not valid now, so no CONNECT is intercepted; \
                    `sidekey ca init` makes another";
        file.warning(ctx, what);
    }
    if !authority.is_limited() {
        let what = "the authority is not limited to certain hosts: whoever has its key can pass \
                    for every site to those who trust it; `sidekey ca init` makes one that is";
        file.warning(ctx, what);
    }
}

/// Under a pattern callers choose the names, each of which wants a signature.
pub(super) fn warn_of_patterns(ctx: &Context<'_>, authority: &Authority, pattern: &Scalar) {
    if authority.signs_slowly() {
        let what = format!(
            "the authority signs by RSA, which takes long, for each name under {} that a caller \
             asks for",
            pattern.named()
        );
        ctx.report(Mistake::warning(pattern.place, what));
    }
}

/// A host that it may not vouch for, callers would refuse.
pub(super) fn check_covers(
    ctx: &Context<'_>,
    authority: &Authority,
    target: &Target,
    written: &Scalar,
) {
    let covers = match &target.host {
        HostMatch::Exact(name) => authority.covers(name),
        HostMatch::Suffix(suffix) => authority.covers(&format!("any{suffix}")),
    };
    if !covers {
        let what = format!("the authority may not vouch for {}", written.named());
        let expected =
            "a host that its certificate permits; `sidekey ca init` makes one for these hosts";
        ctx.report(Mistake::error(written.place, what).expected(expected));
    }
}
