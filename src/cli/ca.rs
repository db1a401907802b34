//! `sidekey ca init`

use super::terminal;
use crate::base::authority::{self, Made};
use crate::base::directories::config_directory;
use crate::base::hosts::{address, host_name};
use crate::config;
use clap::Subcommand;
use jiff::Timestamp;
use rustls::pki_types::DnsName;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Make a local authority, for interception of CONNECT
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  \
    For the hosts that the configuration intercepts:\n    \
    sidekey ca init --config sidekey.yaml\n  \
    For these, in another folder:\n    \
    sidekey ca init --host api.example.com --host '*.crm.example.com' --out /etc/sidekey")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make ca.pem and ca-key.pem, believed for certain hosts only
    ///
    /// The certificate is limited to the hosts that `--host` names; else to those that
    /// `connect.intercept` lists; else to those of the routes' https upstreams. Whoever trusts it
    /// believes it for these hosts and the names under them, and for no others.
    Init(InitArgs),
}

#[derive(clap::Args)]
struct InitArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "SIDEKEY_CONFIG")]
    config: Option<PathBuf>,
    /// A host to vouch for: a name, `*.name` or an address; may be given several times
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// The folder for both files [default: the user's configuration folder for sidekey]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For how many days it is valid
    #[arg(long, value_name = "N", default_value_t = 730,
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Put it in the place of the one that is there
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn main(args: &Args) -> ExitCode {
    let What::Init(args) = &args.what;
    match init(args) {
        Ok(text) => terminal::print(&text),
        Err(why) => terminal::fail(why),
    }
}

fn init(args: &InitArgs) -> Result<String, String> {
    let env = |name: &str| std::env::var(name).ok();
    let hosts = hosts(args, &env)?;
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => config_directory(&env).ok_or("name a folder by --out: HOME is not set")?,
    };
    let life = Duration::from_secs(u64::from(args.days) * 24 * 3600);
    let made = authority::make(&hosts, SystemTime::now(), life)
        .map_err(|why| format!("no authority can be made: {why}"))?;
    let files = Files::in_folder(&folder);
    files.put(&made, args.force)?;
    Ok(files.told(&hosts, &made))
}

/// The hosts to vouch for, in lower case.
fn hosts(args: &InitArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    if !args.host.is_empty() {
        let hosts = args.host.iter().map(|host| {
            let wrong = || format!("`{host}` is no host: expected `api.example.com`, `*.example.com` or an address, without a port");
            named(host).ok_or_else(wrong)
        });
        return hosts.collect();
    }
    let Some(file) = &args.config else {
        return Err("say for which hosts: by --host, or by --config".to_owned());
    };
    let colour = terminal::has_colour(&io::stderr());
    let hosts = config::hosts_to_intercept(file, env).map_err(|mistakes| {
        format!(
            "the configuration can't be used\n\n{}",
            mistakes.render(colour)
        )
    })?;
    match hosts.is_empty() {
        false => Ok(hosts),
        true => Err(format!(
            "{} lists nothing under `connect.intercept` and has no route to an https upstream: \
             name the hosts by --host",
            file.display()
        )),
    }
}

fn named(text: &str) -> Option<String> {
    if let Ok(IpAddr::V6(ip)) = text.parse() {
        return Some(format!("[{ip}]"));
    }
    let name = text.strip_prefix("*.");
    let host = host_name(name.unwrap_or(text))?;
    let is_one = match address(&host) {
        Some(_) => name.is_none(),
        None => DnsName::try_from(host.as_str()).is_ok(),
    };
    is_one.then(|| text.to_ascii_lowercase())
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn in_folder(folder: &Path) -> Self {
        Self {
            certificate: folder.join("ca.pem"),
            key: folder.join("ca-key.pem"),
        }
    }

    fn put(&self, made: &Made, force: bool) -> Result<(), String> {
        let there = [&self.key, &self.certificate]
            .into_iter()
            .find(|file| file.exists());
        if let Some(file) = there.filter(|_| !force) {
            return Err(format!(
                "{} is there already, and callers may trust it: --force puts another in its \
                 place, --out names another folder",
                file.display()
            ));
        }
        let folder = self.key.parent().unwrap_or(Path::new("."));
        let made_folder = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made_folder.map_err(|why| format!("{} can't be made: {why}", folder.display()))?;
        let whole = [
            Whole::beside(&self.key, made.key.expose(), 0o600)?,
            Whole::beside(&self.certificate, &made.certificate, 0o644)?,
        ];
        let mut taken = Vec::new();
        put(&whole, force, &mut taken).map_err(|why| {
            // An empty file is of no use, nor one without the other.
            for path in taken {
                let _ = fs::remove_file(path);
            }
            format!("{} can't be written: {why}", folder.display())
        })
    }

    fn told(&self, hosts: &[String], made: &Made) -> String {
        let whole = |file: &Path| {
            let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            file.display().to_string()
        };
        let (certificate, key) = (whole(&self.certificate), whole(&self.key));
        let until = Timestamp::try_from(made.until).map(|until| until.strftime("%F").to_string());
        let until = until.unwrap_or_default();
        let quoted: Vec<_> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
        format!(
            "made {certificate} and {key}, valid until {until}\n\
             for: {}\n\n\
             In the configuration, at a listener in its long form:\n  \
             connect:\n    \
             intercept: [{}]\n    \
             authority: {{certificate: \"{certificate}\", key: \"{key}\"}}\n\n\
             Callers have to trust it (Node's variable adds to what is trusted, the others stand in \
             its place):\n  \
             curl             --cacert {certificate}\n  \
             Python requests  REQUESTS_CA_BUNDLE={certificate}\n  \
             Node             NODE_EXTRA_CA_CERTS={certificate}\n  \
             Java             keytool -importcert -noprompt -alias sidekey -file {certificate} \
             -keystore trust.p12 -storetype PKCS12 -storepass changeit\n                   \
             java -Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit\n\n\
             Whoever reads {key} can pass for these hosts: keep it where only sidekey reads it.\n",
            hosts.join(", "),
            quoted.join(", "),
        )
    }
}

/// A file that is written, beside its place.
struct Whole<'a> {
    path: &'a Path,
    beside: PathBuf,
}

impl<'a> Whole<'a> {
    fn beside(path: &'a Path, text: &str, mode: u32) -> Result<Self, String> {
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(mode);
        let failed = |why| format!("{} can't be written: {why}", path.display());
        let mut file = made.open(&beside).map_err(failed)?;
        let whole = Self { path, beside };
        let written = file.write_all(text.as_bytes());
        written.and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(whole)
    }
}

/// Puts all of them into their places; into those of others only with `force`.
/// Else places are taken by empty files first, which fails where another has come
/// to be: a rename would not, and not every file system has hard links.
fn put<'a>(whole: &[Whole<'a>], force: bool, taken: &mut Vec<&'a Path>) -> io::Result<()> {
    for file in whole.iter().filter(|_| !force) {
        File::create_new(file.path)?;
        taken.push(file.path);
    }
    for file in whole {
        fs::rename(&file.beside, file.path)?;
    }
    let folder = whole.first().and_then(|file| file.path.parent());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Nothing is left behind beside the place.
impl Drop for Whole<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::{Whole, fs, named, put};

    #[test]
    fn none_is_put_in_the_place_of_another_without_force() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&two, "mine").unwrap();
        let whole = || {
            let beside = |path| Whole::beside(path, "new", 0o600).unwrap();
            [beside(&one), beside(&two)]
        };
        let mut taken = Vec::new();
        assert!(put(&whole(), false, &mut taken).is_err());
        assert_eq!(taken, [&one], "what is to be removed");
        assert_eq!(fs::read(&two).unwrap(), b"mine");
        put(&whole(), true, &mut Vec::new()).unwrap();
        for path in [&one, &two] {
            assert_eq!(fs::read(path).unwrap(), b"new");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn hosts_are_what_the_configuration_may_list() {
        for (text, host) in [
            ("API.example.com", Some("api.example.com")),
            ("*.Crm.example.com", Some("*.crm.example.com")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("api.example.com.", None),
            ("[1.2.3.4]", None),
            ("*.1.2.3.4", None),
            ("*.[::1]", None),
            ("*", None),
            ("*.", None),
            ("a.*.example", None),
            ("api.example.com:443", None),
            ("", None),
        ] {
            assert_eq!(named(text).as_deref(), host, "{text}");
        }
    }
}
