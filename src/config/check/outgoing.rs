//! The HTTP proxies that connections go out through.

use crate::base::client_tls::{ClientTls, Pem};
use crate::base::outgoing::Outgoing;
use crate::base::outgoing::environment::{self, Environment};
use crate::base::outgoing::except::{self, Except, Exception};
use crate::base::outgoing::proxy::{Address, Authorities, Login, Proxy, basic};
use crate::base::secret::Secret;
use crate::config::keys::table::outgoing::PROXY;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, is_source, read_file};
use crate::config::written::{Node, Place};
use http::HeaderValue;
use std::cell::OnceCell;
use std::sync::Arc;

/// Which way connections go; `None`: by themselves.
pub(super) type Way = Option<Arc<Outgoing>>;

/// What `proxy` at the top says, and the environment where it is asked.
pub(super) struct Proxies {
    pub upstreams: Way,
    pub token_requests: Way,
    environment: Variables,
}

/// The environment's, read when something first goes by them.
#[derive(Default)]
struct Variables(OnceCell<Way>);

const EXPECTED: &str = "`environment`, `none`, or an HTTP proxy's URL such as `http://proxy:3128`";
const EXPECTED_URL: &str = "an HTTP proxy's URL such as `http://proxy:3128`";
const AUTHORITIES: &str = "certificates of authorities, in PEM";

pub(super) fn read(root: &Reader<'_, '_>) -> Proxies {
    let environment = Variables::default();
    let section = root.section("proxy");
    let way = |name| {
        let written = section.as_ref().and_then(|it| environment.way(it, name));
        written.unwrap_or_else(|| environment.get(root.ctx))
    };
    let (upstreams, token_requests) = (way("upstreams"), way("token_requests"));
    Proxies {
        upstreams,
        token_requests,
        environment,
    }
}

impl Proxies {
    /// The `proxy` of an integration or its `oauth2`, or else what holds for all.
    pub fn of(&self, reader: &Reader<'_, '_>, default: &Way) -> Way {
        let written = self.environment.way(reader, "proxy");
        written.unwrap_or_else(|| default.clone())
    }
}

impl Variables {
    fn get(&self, ctx: &Context<'_>) -> Way {
        let read = || {
            let Environment { outgoing, ignored } = environment::read(ctx.env);
            for what in ignored {
                ctx.report(Mistake {
                    place: None,
                    ..Mistake::warning(Place::first(), what)
                });
            }
            outgoing
        };
        self.0.get_or_init(read).clone()
    }

    /// What is written under a key; `None` where nothing is.
    fn way(&self, reader: &Reader<'_, '_>, name: &str) -> Option<Way> {
        let ctx = reader.ctx;
        match reader.node(name)? {
            node @ Node::Map(place, _) if !is_source(node) => {
                let long = Reader::open(ctx, &PROXY, node, *place);
                Some(long.and_then(|long| long_form(&long)))
            }
            _ => Some(reader.text(name).and_then(|short| self.short(ctx, &short))),
        }
    }

    fn short(&self, ctx: &Context<'_>, short: &Scalar) -> Way {
        match short.text.as_str() {
            "environment" => self.get(ctx),
            "none" => None,
            _ => {
                let address = address(ctx, short, EXPECTED)?;
                let proxy = Arc::new(Proxy::new(address, Login::default()));
                Some(Arc::new(Outgoing::through(&proxy, Except::default())))
            }
        }
    }
}

fn long_form(reader: &Reader<'_, '_>) -> Way {
    let url = reader.text("url");
    let address = url.and_then(|url| address(reader.ctx, &url, EXPECTED_URL));
    let login = Login {
        authorization: authorization(reader),
        authorities: authorities(reader),
    };
    let exceptions = reader.texts("except").into_iter().filter_map(|written| {
        let exception = Exception::parse(&written.text);
        if exception.is_none() {
            let what = format!("`except` can't hold {}", written.named());
            let mistake = Mistake::error(written.place, what);
            reader.ctx.report(mistake.expected(except::EXPECTED));
        }
        exception
    });
    let except = Except::new(exceptions.collect());
    let proxy = Arc::new(Proxy::new(address?, login));
    Some(Arc::new(Outgoing::through(&proxy, except)))
}

/// Whoever is named in the URL itself is kept out of what is shown of the file.
fn address(ctx: &Context<'_>, written: &Scalar, expected: &str) -> Option<Address> {
    let has_user = written.text.contains('@');
    if has_user {
        ctx.hide(written.place);
    }
    let report = |what: String, expected: &str| {
        ctx.report(Mistake::error(written.place, what).expected(expected));
    };
    let named = match has_user {
        true => "this value".to_owned(),
        false => written.named(),
    };
    match written.text.parse::<Address>() {
        Ok(address) if address.user.is_none() => return Some(address),
        Ok(_) => report(
            "a user and a password do not belong into a proxy's URL".to_owned(),
            "`{url: …, username: …, password: {file: PATH}}`",
        ),
        Err(why) => report(format!("{named} can't be a proxy: {}", why.0), expected),
    }
    None
}

fn authorization(reader: &Reader<'_, '_>) -> Option<HeaderValue> {
    let (name, password) = (reader.text("username"), reader.text("password"));
    let place = reader.value_place("username");
    if password.is_some() && reader.node("username").is_none() {
        let what = "`password` without `username`";
        let mistake = Mistake::error(reader.key_place("password"), what);
        reader.ctx.report(mistake.expected("both, or none"));
    }
    let password = password.map(|password| Secret::new(password.text));
    let password = password.unwrap_or_else(|| Secret::new(String::new()));
    let made = basic(&name?.text, &password);
    made.map_err(|why| reader.ctx.report(Mistake::error(place, why.0)))
        .ok()
}

fn authorities(reader: &Reader<'_, '_>) -> Option<Authorities> {
    let named = reader.text("ca")?;
    let pem = read_file(reader.ctx, &named)?;
    let made = ClientTls::new(&Pem {
        ca: Some(&pem),
        ..Pem::default()
    });
    match made {
        Ok(tls) => Some(Authorities {
            tls: Arc::new(tls),
            pem: pem.as_slice().into(),
        }),
        Err(mistakes) => {
            let path = reader.ctx.path(&named.text);
            for mistake in mistakes {
                let what = format!("the file {} {}", path.display(), mistake.what);
                let mistake = Mistake::error(named.place, what);
                reader.ctx.report(mistake.expected(AUTHORITIES));
            }
            None
        }
    }
}
