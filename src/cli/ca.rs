//! `sidekey ca init`

use super::terminal;
use crate::base::authority::{self, Made};
use crate::base::directories::config_directory;
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
    let host = text.to_ascii_lowercase();
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(_)) => return Some(host),
        Ok(IpAddr::V6(ip)) => return Some(format!("[{ip}]")),
        Err(_) => {}
    }
    let name = host.strip_prefix("*.").unwrap_or(&host);
    DnsName::try_from(name).is_ok().then_some(host)
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
        let failed = |file: &Path| {
            let file = file.display().to_string();
            move |why: io::Error| format!("{file} can't be written: {why}")
        };
        write(&self.key, made.key.expose(), 0o600, force).map_err(failed(&self.key))?;
        write(&self.certificate, &made.certificate, 0o644, force).map_err(|why| {
            if !force {
                // Alone it is of no use, and would be in the way of the next try.
                let _ = fs::remove_file(&self.key);
            }
            failed(&self.certificate)(why)
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

/// Written beside its place and then put there whole; in the place of another
/// only with `force`.
fn write(path: &Path, text: &str, mode: u32, force: bool) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    let put = written.and_then(|()| match force {
        true => fs::rename(&beside, path),
        // Unlike a rename it fails where another has come to be.
        false => fs::hard_link(&beside, path),
    });
    if !force || put.is_err() {
        fs::remove_file(&beside)?;
    }
    put.and_then(|()| File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all())
}
