//! `sidekey run`

use super::terminal;
use crate::app;
use crate::config;
use crate::config::checked::{self, Config, Listener, LogFormat};
use clap::ValueEnum;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run the proxy
///
/// Reads the configuration, gets the first tokens, and answers applications
/// until SIGTERM or Ctrl-C. The file is read again when it changes, and on
/// SIGHUP. Asked to end, it fails /readyz, stops accepting, finishes
/// what is running and exits with 0; a second signal ends it at once.
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  sidekey run --config sidekey.yaml\n  \
    sidekey run --config sidekey.yaml --listen 127.0.0.1:8080 --log-format json\n  \
    SIDEKEY_CONFIG=/etc/sidekey.yaml sidekey run --log-level info,sidekey::refresh=debug")]
pub struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "SIDEKEY_CONFIG")]
    config: PathBuf,
    /// Where applications call, instead of the file's `listen` (127.0.0.1:7480)
    #[arg(long, value_name = "ADDR", env = "SIDEKEY_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where the admin API listens, instead of the file's `admin.listen` (127.0.0.1:7481)
    #[arg(long, value_name = "ADDR", env = "SIDEKEY_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// Where /livez, /readyz and /metrics listen by themselves, instead of `probes.listen`
    #[arg(long, value_name = "ADDR", env = "SIDEKEY_PROBES_LISTEN")]
    probes_listen: Option<SocketAddr>,
    /// error, warn, info, debug, trace, or directives such as info,sidekey::refresh=debug
    #[arg(long, value_name = "LEVEL", env = "SIDEKEY_LOG_LEVEL")]
    log_level: Option<String>,
    /// How the log and the access log are written
    #[arg(long, value_name = "FORMAT", env = "SIDEKEY_LOG_FORMAT")]
    log_format: Option<Format>,
    /// How workers wait for sockets, instead of the file's `workers.io` (auto)
    #[arg(long, value_name = "IO", env = "SIDEKEY_IO")]
    io: Option<Io>,
    /// Listen at the sockets of the sidekey that runs, which drains and ends once this one
    /// serves; where none runs, start as ever
    #[arg(long)]
    take_over: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Io {
    Auto,
    Epoll,
    #[value(name = "io_uring")]
    Ring,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
pub fn main(args: Args) -> ExitCode {
    let take_over = args.take_over;
    let source = args.source();
    let app::Reading { config, watched } = source.read();
    let config = match config {
        Ok(config) => config,
        Err(mistakes) => {
            let colour = terminal::has_colour(&io::stderr());
            return terminal::fail(format_args!(
                "the configuration can't be used\n\n{}",
                mistakes.render(colour)
            ));
        }
    };
    match app::run(config, source, watched, take_over) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => terminal::fail(failure),
    }
}

impl Args {
    fn source(self) -> app::Source {
        let file = self.config.clone();
        app::Source::new(&file, move || {
            let mut config = config::load(&self.config, &|name| std::env::var(name).ok())?;
            self.change(&mut config);
            Ok(config)
        })
    }

    /// What the command line says wins over the file.
    fn change(&self, config: &mut Config) {
        if let Some(address) = self.listen {
            config.listeners.truncate(1);
            if let Some(first) = config.listeners.first_mut() {
                first.address = address;
                config.warnings.extend(exposed(first));
            }
        }
        if let Some(address) = self.admin_listen {
            let derived = format!("http://{}", config.admin.listen);
            if config.admin.public_url == derived {
                config.admin.public_url = format!("http://{address}");
            }
            config.admin.listen = address;
        }
        config.probes = self.probes_listen.or(config.probes);
        if let Some(level) = &self.log_level {
            config.log.level.clone_from(level);
        }
        match self.log_format {
            Some(Format::Text) => config.log.format = LogFormat::Text,
            Some(Format::Json) => config.log.format = LogFormat::Json,
            None => {}
        }
        config.workers.io = match self.io {
            Some(Io::Auto) => checked::Io::Auto,
            Some(Io::Epoll) => checked::Io::Epoll,
            Some(Io::Ring) => checked::Io::Ring,
            None => config.workers.io,
        };
    }
}

/// The configuration's own listeners were looked at when it was read.
fn exposed(listener: &Listener) -> Option<String> {
    let open = !listener.address.ip().to_canonical().is_loopback() && listener.hosts.is_empty();
    open.then(|| {
        format!(
            "--listen {}: whoever reaches this address may use every account; `hosts` of the \
             listener limits the names by which it may be called",
            listener.address
        )
    })
}
