//! The client of the admin API of a running process.

use super::connection::{Connection, Reply};
use crate::admin::api::Problem;
use crate::admin::token;
use crate::base::directories::state_directory;
use crate::base::secret::Secret;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Which process, and how to be let in.
#[derive(clap::Args)]
pub struct AdminArgs {
    #[command(flatten)]
    address: AddressArgs,
    /// The file with the admin token, instead of the one in the state directory
    #[arg(long, value_name = "FILE", env = "SIDEKEY_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
}

/// Which process.
#[derive(clap::Args)]
pub struct AddressArgs {
    /// Where the running sidekey's admin listener is
    #[arg(
        long,
        value_name = "URL",
        env = "SIDEKEY_ADMIN",
        default_value = "http://127.0.0.1:7481"
    )]
    admin: Url,
}

/// Why a call was not answered as hoped.
#[derive(Debug)]
pub enum CallError {
    Address(Url),
    Token(token::TokenError),
    Unreachable {
        host: String,
        why: std::io::Error,
    },
    Refused(Problem),
    /// An answer that is none of sidekey's.
    Strange {
        status: u16,
    },
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(url) => {
                write!(f, "{url} is no admin address; expected http://HOST:PORT")
            }
            Self::Token(why) => why.fmt(f),
            Self::Unreachable { host, why } => write!(
                f,
                "no sidekey answers at {host} ({why}). Is it running? --admin names another address"
            ),
            Self::Refused(problem) => write!(f, "{}: {}", problem.title, problem.detail),
            Self::Strange { status } => {
                write!(
                    f,
                    "the answer (status {status}) is not sidekey's; is the address right?"
                )
            }
        }
    }
}

impl AddressArgs {
    /// `host:port`.
    pub fn host(&self) -> Result<String, CallError> {
        let plain = self.admin.scheme() == "http" && self.admin.path() == "/";
        match (plain, self.admin.host_str()) {
            (true, Some(host)) => Ok(format!(
                "{host}:{}",
                self.admin.port_or_known_default().unwrap_or(80)
            )),
            _ => Err(CallError::Address(self.admin.clone())),
        }
    }

    /// Asks a path that needs no token.
    pub fn get(&self, path: &str, limit: Duration) -> Result<Reply, CallError> {
        exchange(&self.host()?, "GET", path, &[], Bytes::new(), limit)
    }
}

impl AdminArgs {
    /// Calls the API; gives the answer's text.
    pub fn call(&self, method: &str, path: &str, limit: Duration) -> Result<String, CallError> {
        self.send(method, path, Bytes::new(), limit)
    }

    /// Calls the API with a body.
    pub fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<String, CallError> {
        // The API's types always serialize.
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.send("POST", path, body.into(), limit)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<String, CallError> {
        let token = self.token().map_err(CallError::Token)?;
        let bearer = format!("Bearer {}", token.expose());
        let fields = [
            ("authorization", bearer.as_str()),
            ("accept", "application/json"),
        ];
        let host = self.address.host()?;
        let reply = exchange(&host, method, path, &fields, body, limit)?;
        let status = reply.status;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if (200..300).contains(&status) {
            return Ok(text);
        }
        Err(parse(status, &text).map_or_else(|strange| strange, CallError::Refused))
    }

    fn token(&self) -> Result<Secret, token::TokenError> {
        if let Some(path) = &self.admin_token_file {
            return token::read_any(path);
        }
        let env = |name: &str| std::env::var(name).ok();
        let directory = state_directory(&env).ok_or(token::TokenError::NoDirectory)?;
        token::find(&directory)
    }
}

/// Reads an answer's text.
pub fn parse<T: DeserializeOwned>(status: u16, text: &str) -> Result<T, CallError> {
    serde_json::from_str(text).map_err(|_| CallError::Strange { status })
}

fn exchange(
    host: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: Bytes,
    limit: Duration,
) -> Result<Reply, CallError> {
    let call = async {
        let mut connection = Connection::open(host).await?;
        connection.send(method, path, fields, body, limit).await
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(call))
        .map_err(|why| CallError::Unreachable {
            host: host.to_owned(),
            why,
        })
}
