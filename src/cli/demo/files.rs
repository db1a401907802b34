//! The demonstration's configuration file and the secrets that it names, in a
//! directory of their own that goes when they are dropped.

use super::person;
use super::servers::{CLIENT_ID, CLIENT_SECRET, Servers};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub struct Files {
    directory: PathBuf,
    pub configuration: PathBuf,
    /// What stands in it; holds no secret, only where they are.
    pub text: String,
    /// The child's, for making a link to its page.
    pub admin_token: String,
}

impl Files {
    /// Writes them for these ports and servers.
    pub fn write(listen: u16, admin: u16, servers: &Servers) -> Result<Self, String> {
        let name = format!(
            "sidekey-demo-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let directory = std::env::temp_dir().join(name);
        let files = Self {
            configuration: directory.join("sidekey.yaml"),
            text: text(listen, admin, servers, &directory),
            admin_token: format!("demo-{:032x}", fastrand::u128(..)),
            directory,
        };
        files
            .create()
            .map_err(|why| format!("{}: {why}", files.directory.display()))?;
        Ok(files)
    }

    fn create(&self) -> io::Result<()> {
        // Fails where somebody made it first: what is in it must be ours.
        DirBuilder::new().mode(0o700).create(&self.directory)?;
        write(&self.directory.join("admin-token"), &self.admin_token)?;
        let store_key = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
        write(&self.directory.join("store-key"), &store_key)?;
        write(&self.directory.join("client-secret"), CLIENT_SECRET)?;
        write(&self.configuration, &self.text)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn text(listen: u16, admin: u16, servers: &Servers, directory: &Path) -> String {
    let Servers { token, api } = servers;
    let (directory, person) = (directory.display(), person::CLIENT_ID);
    format!(
        r#"# Written by `sidekey demo`.
listen: 127.0.0.1:{listen}                 # applications call here
admin:
  listen: 127.0.0.1:{admin}
  token: {{file: "{directory}/admin-token"}}
store: {{path: "{directory}/sidekey.db", key: {{file: "{directory}/store-key"}}}}
integrations:
  - key: demo
    oauth2:
      grant_type: client_credentials
      token_endpoint: http://{token}/token
      client_id: {CLIENT_ID}
      client_secret: {{file: "{directory}/client-secret"}}
    token: {{in: header, name: Authorization, value: "Bearer {{token}}"}}
  - key: demoSignIn                      # an account that a person connects
    name: Demonstration sign-in
    oauth2:
      grant_type: authorization_code
      authorization_endpoint: http://{token}/authorize
      token_endpoint: http://{token}/token
      token_endpoint_auth_method: none
      client_id: {person}
      scope: profile offline_access
accounts:
  - {{key: demoAccount, integration: demo}}
  - {{key: demoPerson, integration: demoSignIn}}
routes:
  - {{name: orders, path: /api/, upstream: "http://{api}/", account: demoAccount}}
  - {{name: profile, path: /me/, upstream: "http://{api}/profile/", account: demoPerson}}
log: {{access: false}}
"#
    )
}
