//! From a file to a configuration, or to everything that is wrong with it.

use super::check::check;
use super::check::connect::intercepted_hosts;
use super::checked::{Config, UpstreamScheme};
use super::hidden;
use super::mistakes::{Mistake, Mistakes, Source};
use super::scalar::Context;
use super::stamp::Stamps;
use super::written::{self, MAX_BYTES};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Reads a configuration file. `env` gives the value of an environment variable.
///
/// # Errors
/// All mistakes of the file, not only the first.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
    let name = path.display().to_string();
    let text = read(path).map_err(|why| Mistakes::unreadable(&name, &why))?;
    run(&name, &folder_of(path), &text, env).0
}

/// As [`load`], for a text; relative paths in it start at the folder of `name`.
///
/// # Errors
/// All mistakes of the text, not only the first.
pub fn load_text(
    name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Mistakes> {
    run(name, &folder_of(Path::new(name)), text, env).0
}

/// The hosts for which a local authority is to vouch: those that listeners
/// intercept; where there are none, those of all upstreams by HTTPS. The
/// authority that the file names need not be there yet.
///
/// # Errors
/// All mistakes of the file; where it lists such hosts, those of these lists.
pub fn hosts_to_intercept(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Mistakes> {
    let name = path.display().to_string();
    let text = read(path).map_err(|why| Mistakes::unreadable(&name, &why))?;
    let ctx = Context::new(folder_of(path), env);
    let listed = written::read(&text).map(|root| intercepted_hosts(&ctx, &root));
    let (source, list) = ctx.into_parts(&name, &text);
    let mistakes = Mistakes::new(source, list);
    if mistakes.errors() > 0 {
        return Err(mistakes);
    }
    let mut hosts = listed.unwrap_or_default();
    if hosts.is_empty() {
        let config = run(&name, &folder_of(path), &text, env).0?;
        // Those that wait for their account lead nowhere yet.
        let waits = |route: &usize| config.awaited.iter().any(|awaited| awaited.route == *route);
        let known = config
            .routes
            .iter()
            .enumerate()
            .filter(|(at, _)| !waits(at));
        let upstreams = known.map(|(_, route)| &route.upstream);
        let secure = upstreams.filter(|upstream| upstream.scheme == UpstreamScheme::Https);
        hosts.extend(secure.map(|upstream| upstream.host.clone()));
    }
    hosts.sort_unstable();
    hosts.dedup();
    Ok(hosts)
}

/// Checks a file for the command line: what there is to say of it, and whether
/// it can be used.
#[must_use]
pub fn check_report(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    colour: bool,
) -> (String, bool) {
    let name = path.display().to_string();
    let (config, mistakes) = match read(path) {
        Err(why) => (None, Mistakes::unreadable(&name, &why)),
        Ok(text) => {
            let (result, mistakes) = run(&name, &folder_of(path), &text, env);
            (result.ok(), mistakes)
        }
    };
    let counted = match (mistakes.errors(), mistakes.warnings()) {
        (0, 0) => "no mistakes".to_owned(),
        (errors, 0) => plural(errors, "mistake"),
        (0, warnings) => format!("no mistakes, {}", plural(warnings, "warning")),
        (errors, warnings) => {
            format!(
                "{}, {}",
                plural(errors, "mistake"),
                plural(warnings, "warning")
            )
        }
    };
    let mut report = mistakes.render(colour);
    if !report.is_empty() {
        report.push('\n');
    }
    let to_register = config.as_ref().map(to_register).unwrap_or_default();
    let through = config.as_ref().map(through_proxies).unwrap_or_default();
    let report = format!("{report}{name}: {counted}\n{through}{to_register}");
    (report, config.is_some())
}

/// What goes through which proxy, and which of them `run` will ignore.
fn through_proxies(config: &Config) -> String {
    let said = config.proxies_in_words();
    let said = said
        .iter()
        .map(|line| format!("through the proxy {line}\n"));
    let ours = config.addresses();
    let proxies = config.proxies();
    let own = proxies.iter().filter_map(|proxy| {
        let ours = ours.iter().find(|ours| proxy.is_at(**ours))?;
        let proxy = proxy.in_words();
        Some(format!(
            "the proxy {proxy} is sidekey's own listener {ours}, and `run` will ignore it\n"
        ))
    });
    said.chain(own).collect()
}

/// What a person must enter at the authorization servers.
fn to_register(config: &Config) -> String {
    let uris = config.redirect_uris();
    let lines = uris.iter().map(|(uri, accounts)| {
        let accounts: Vec<_> = accounts.iter().map(|key| key.as_str()).collect();
        format!(
            "redirect URI to register: {uri} (for {})\n",
            accounts.join(", ")
        )
    });
    lines.collect()
}

fn plural(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// The result, and everything that was remarked on either way.
fn run(
    name: &str,
    folder: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Result<Config, Mistakes>, Mistakes) {
    let root = match written::read(text) {
        Ok(root) => root,
        Err(error) => {
            let source = Source {
                name: name.to_owned(),
                text: text.to_owned(),
                secrets: hidden::stretches(text),
                files: Vec::new(),
                stamps: Stamps::new(),
            };
            let mistake = Mistake::error(error.place, error.what);
            let mistakes = Mistakes::new(source, vec![mistake]);
            return (Err(mistakes.clone()), mistakes);
        }
    };
    let ctx = Context::new(folder.to_owned(), env);
    let config = check(&ctx, &root);
    let (source, list) = ctx.into_parts(name, text);
    let mistakes = Mistakes::new(source, list);
    match config {
        Some(mut config) if mistakes.errors() == 0 => {
            config.warnings = mistakes.warning_lines();
            config.files = mistakes.files().to_vec();
            config.stamps = mistakes.stamps().clone();
            (Ok(config), mistakes)
        }
        _ => (Err(mistakes.clone()), mistakes),
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|why| format!("can't be read: {why}"))?;
    String::from_utf8(bytes).map_err(|_| "can't be read: it is not UTF-8 text".to_owned())
}
